"""Arguments of commands that look for faces in photographs and cut them out for a dataset."""

import argparse
from typing import TYPE_CHECKING, Any

from tdgan_jax.errors import UsageError

if TYPE_CHECKING:
    from tdgan_jax.faces.alignment import CropSettings, Style
    from tdgan_jax.faces.preparation import Cropping

# As in `faces.alignment.Style` and `faces.preparation.NoFacePolicy`, which need JAX.
STYLES: dict[str, "Style"] = {"eyes": "eyes", "box": "box", "eyes-and-nose": "eyes_and_nose"}
NO_FACE_POLICIES = ("fail", "skip", "whole-image", "largest")


def add_crop_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--detect` and how faces are cut out.

    Args:
        parser: The parser of the command.
    """
    group = parser.add_argument_group("faces")
    group.add_argument(
        "--detect",
        choices=("mtcnn", "none"),
        help="find the face in each photograph and store it alone, or store whole images (default: "
        "none for datasets whose images are faces, else mtcnn)",
    )
    group.add_argument(
        "--no-face",
        choices=NO_FACE_POLICIES,
        help="at a photograph without a face: fail; skip it; take the whole image; or take the "
        "largest of the fainter faces that a second search finds, and skip it if there is none. "
        "All are counted and listed in faces.csv. Of several faces the largest is taken "
        "(default: fail)",
    )
    group.add_argument(
        "--crop",
        choices=tuple(STYLES),
        help="how a face is cut out: eyes brings the eyes to the same places in all images, box is "
        "the detector's box, eyes-and-nose brings three points to the same places, as IF-GAN's "
        "paper does (default: eyes)",
    )
    group.add_argument(
        "--crop-size", type=int, metavar="PX", help="side of the stored faces (default: 128)"
    )
    group.add_argument(
        "--crop-margin",
        type=float,
        metavar="SHARE",
        help="what is added around a face, as a share of its side (default: 0.2)",
    )


def cropping_from(args: argparse.Namespace, default_detect: str) -> "Cropping | None":
    """Reads the arguments.

    Args:
        args: The parsed arguments.
        default_detect: `mtcnn` or `none`, for a user who says neither.

    Returns:
        How faces are cut out, or None for whole images.

    Raises:
        UsageError: If faces are not looked for, but it is said how to cut them out.
        UserError: If the size or the margin is impossible.
    """
    if (args.detect or default_detect) == "none":
        for name in ("no_face", "crop", "crop_size", "crop_margin"):
            if getattr(args, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} is for faces that are looked for; add --detect mtcnn")
        return None
    from tdgan_jax.faces.preparation import Cropping

    settings = _settings(args.crop, args.crop_margin)
    if args.crop_size is not None:
        settings = settings._replace(size_px=args.crop_size)
    settings.check()
    return Cropping(settings, args.no_face or "fail")


def crop_from(args: argparse.Namespace) -> dict[str, Any] | None:
    """Reads `--crop` and `--crop-margin` alone, as JSON; None if neither is given.

    Raises:
        UserError: If the margin is impossible.
    """
    if args.crop is None and args.crop_margin is None:
        return None
    settings = _settings(args.crop, args.crop_margin)
    settings.check()
    return settings.as_json()


def _settings(style: str | None, margin: float | None) -> "CropSettings":
    from tdgan_jax.faces.alignment import IFGAN_CROP, CropSettings

    settings = CropSettings(style=STYLES[style or "eyes"])
    if settings.style == "eyes_and_nose":
        settings = IFGAN_CROP
    return settings if margin is None else settings._replace(margin=margin)
