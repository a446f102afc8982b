"""`tdgan-jax interpolate`: animates the way between two expressions, or between two faces."""

import argparse
from pathlib import Path
from typing import Any

from tdgan_jax.cli.model_arguments import (
    GENERATOR,
    add_model_arguments,
    generating,
    open_face_finder,
    open_model,
    positive,
    progress_bar,
)
from tdgan_jax.errors import UsageError
from tdgan_jax.printing import print_text, printable

_EXAMPLES = """\
examples:
  tdgan-jax interpolate --face anna.jpg --expression sad.jpg happy.jpg --out smile.gif --model M
  tdgan-jax interpolate --face a.png b.png --expression c.png --out morph.gif --strip morph.png
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "interpolate",
        help="animate the way between two expressions or two faces",
        description="Keeps the face and moves between two expressions, or keeps the expression "
        "and moves between two faces; features are mixed linearly, the noise stays the same.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--face", nargs="+", required=True, metavar="F", help="one or two pictures of faces"
    )
    parser.add_argument(
        "--expression",
        nargs="+",
        required=True,
        metavar="E",
        help="two or one pictures of expressions",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="O.gif", help="the animation to write"
    )
    parser.add_argument(
        "--frames", type=positive, default=16, metavar="N", help="at least 2 (default: 16)"
    )
    parser.add_argument(
        "--strip",
        type=Path,
        metavar="S.png",
        help="also write a row of pictures: what is kept, the start, some frames, the end",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the noise (default: 0)"
    )
    add_model_arguments(parser, model=GENERATOR)
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the animation, and the strip.

    Raises:
        UsageError: If there are not two pictures of one kind and one of the other.
        UserError: If a picture cannot be read or shows no face, or an output cannot be written.
    """
    from tdgan_jax.inference.outputs import check_file, check_no_input

    if sorted((len(args.face), len(args.expression))) != [1, 2]:
        raise UsageError(
            "give one --face and two --expression pictures, or two --face and one --expression"
        )
    if args.frames < 2:
        raise UsageError(f"--frames {args.frames}: an animation has at least 2 frames")
    check_file(args.out, (".gif",), "--out", overwrite=args.overwrite)
    if args.strip is not None:
        check_file(args.strip, (".png",), "--strip", overwrite=args.overwrite)
    for path in (args.out, args.strip):
        if path is not None:
            check_no_input(path, [*args.face, *args.expression], model=args.model)

    from tdgan_jax.files import write_atomically
    from tdgan_jax.inference.faces import read_faces
    from tdgan_jax.inference.generation import interpolation
    from tdgan_jax.reports.grids import save_png

    with progress_bar(args, None, unit="step", total=3) as bar:
        model = generating(open_model(args), args)
        find_faces = open_face_finder(args, model)
        faces = read_faces(args.face, find_faces)
        expressions = read_faces(args.expression, find_faces)
        bar.update()
        animation, strip = interpolation(
            model, faces, expressions, num_frames=args.frames, seed=args.seed
        )
        bar.update()
        if args.strip is not None:
            save_png(strip, args.strip)
        write_atomically(args.out, animation)
        bar.update()
    written = [args.out] if args.strip is None else [args.out, args.strip]
    print_text(f"wrote {' and '.join(map(printable, written))}")
    return 0
