"""`tdgan-jax attention`: draws what points of a face attend to in an IF-GAN."""

import argparse
import math
from pathlib import Path
from typing import Any

from tdgan_jax.cli.model_arguments import (
    add_model_arguments,
    open_face_finder,
    open_model,
    progress_bar,
)
from tdgan_jax.errors import UsageError
from tdgan_jax.printing import print_text, printable

_EXAMPLES = """\
examples:
  tdgan-jax attention anna.jpg --query 0.35,0.4 0.5,0.75 --out attention.png --model M
  tdgan-jax attention face.png --detect none --query 0.5,0.7 --out attention.png --model M
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "attention",
        help="draw the attention maps of an IF-GAN for chosen points",
        description="Writes a row: the face as the model sees it with the points, the average "
        "face drawn from it, and for each point where the last attention module looks (the "
        "lighter, the more).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", metavar="IMAGE", help="a picture; its largest face is taken")
    parser.add_argument(
        "--query",
        nargs="+",
        required=True,
        type=point,
        metavar="X,Y",
        help="points as fractions of the face's width and height from its upper left corner: "
        "0.5,0.5 is the middle",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="O.png", help="the picture to write"
    )
    add_model_arguments(parser)
    return parser


def point(text: str) -> tuple[float, float]:
    """Reads X,Y.

    Raises:
        argparse.ArgumentTypeError: If it is no pair of numbers from 0 to 1.
    """
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a point X,Y with fractions from 0 to 1")
    return x, y


def run(args: argparse.Namespace) -> int:
    """Writes the picture.

    Raises:
        UsageError: If the model has no attention.
        UserError: If the picture cannot be read or shows no face, or the output cannot be written.
    """
    from tdgan_jax.inference.outputs import check_file, check_no_input

    check_file(args.out, (".png",), "--out", overwrite=args.overwrite)
    check_no_input(args.out, [args.image], model=args.model)

    import numpy as np

    from tdgan_jax.api import Attends
    from tdgan_jax.inference.attention_sheet import attention_sheet
    from tdgan_jax.inference.faces import read_faces
    from tdgan_jax.reports.grids import save_png

    with progress_bar(args, None, unit="step", total=2) as bar:
        model = open_model(args)
        if not isinstance(model, Attends):
            raise UsageError("attention maps are those of an IF-GAN; name one with --model")
        (face,) = read_faces([args.image], open_face_finder(args, model))
        bar.update()
        points = np.array(args.query)
        maps = model.attention_maps(face, points)
        (seen,), (drawn,) = model.prepared(face), model.average_faces(face)
        save_png(attention_sheet(seen, drawn, points, maps), args.out)
        bar.update()
    print_text(f"wrote {printable(args.out)}")
    return 0
