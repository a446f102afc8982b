"""`tdgan-jax transfer`: puts the expression of one picture on the face of another."""

import argparse
from pathlib import Path
from typing import Any

from tdgan_jax.cli.model_arguments import (
    GENERATOR,
    add_model_arguments,
    generating,
    open_face_finder,
    open_model,
    progress_bar,
)
from tdgan_jax.printing import print_text, printable

_EXAMPLES = """\
examples:
  tdgan-jax transfer --face anna.jpg --expression happy.jpg --out anna_happy.png --model M
  tdgan-jax transfer --face a.png b.png --expression c.png d.png e.png --out grid.png --model M
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "transfer",
        help="put the expression of one picture on the face of another",
        description="Writes the generated picture; with several faces or expressions a grid of "
        "all combinations, with the faces along the left and the expressions along the top edge.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--face", nargs="+", required=True, metavar="F", help="pictures that give the face"
    )
    parser.add_argument(
        "--expression",
        nargs="+",
        required=True,
        metavar="E",
        help="pictures that give the expression",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="O.png", help="the picture to write"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the noise (default: 0)"
    )
    add_model_arguments(parser, model=GENERATOR)
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the picture or the grid.

    Raises:
        UserError: If a picture cannot be read or shows no face, or the output cannot be written.
    """
    from tdgan_jax.inference.outputs import check_file, check_no_input

    check_file(args.out, (".png",), "--out", overwrite=args.overwrite)
    check_no_input(args.out, [*args.face, *args.expression], model=args.model)

    from tdgan_jax.inference.faces import read_faces
    from tdgan_jax.inference.generation import transfer_sheet
    from tdgan_jax.reports.grids import save_png

    model = generating(open_model(args), args)
    find_faces = open_face_finder(args, model)
    faces = read_faces(args.face, find_faces)
    expressions = read_faces(args.expression, find_faces)
    sheet = transfer_sheet(
        model,
        faces,
        expressions,
        seed=args.seed,
        each=lambda pairs: progress_bar(args, pairs, unit="picture", total=len(pairs)),
    )
    save_png(sheet, args.out)
    print_text(f"wrote {printable(args.out)}")
    return 0
