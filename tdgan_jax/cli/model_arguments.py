"""Arguments of the commands that use a trained model, and opening it."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tdgan_jax.errors import UsageError
from tdgan_jax.printing import print_text

if TYPE_CHECKING:
    from tdgan_jax.api import Analyses, Model
    from tdgan_jax.inference.faces import FaceFinder, FaceSearch

RECOGNISER = "pretrained"
GENERATOR = "pretrained_tdgan"


def add_model_arguments(parser: argparse.ArgumentParser, *, model: str = RECOGNISER) -> None:
    """Adds `--model`, `--detect`, `--overwrite` and `--quiet`.

    Args:
        parser: Of the command.
        model: The shipped model that it takes by default.
    """
    parser.add_argument(
        "--model",
        default=model,
        metavar="M",
        help="a run folder, an export, an imported folder, or a model that comes with the package: "
        f"pretrained recognises, pretrained_tdgan also generates (default: {model})",
    )
    parser.add_argument(
        "--detect",
        choices=("mtcnn", "none"),
        default="mtcnn",
        help="find the faces in the pictures, or take each picture for a face that has been cut "
        "out already (default: mtcnn)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no remarks")


def open_model(args: argparse.Namespace) -> "Analyses":
    """Loads the model that `--model` names.

    Raises:
        UserError: If there is none.
    """
    from tdgan_jax import api
    from tdgan_jax.cli.train import use_compilation_cache
    from tdgan_jax.families.recogniser import WholePhotograph

    use_compilation_cache()
    # Whoever writes --detect none has said that pictures are faces.
    warnings.simplefilter("ignore", WholePhotograph)
    return api.load(args.model)


def generating(model: "Model", args: argparse.Namespace) -> Any:
    """A model that puts expressions on faces: the given one.

    Raises:
        UsageError: If it does not.
    """
    from tdgan_jax.api import Generates

    if not isinstance(model, Generates):
        raise UsageError(
            f"the model {args.model} recognises expressions and puts none on a face; name a TDGAN "
            "with --model"
        )
    return model


def open_face_finder(args: argparse.Namespace, model: "Model") -> "FaceFinder":
    """What finds the faces of a picture for a model, as `--detect` says.

    Where they cannot be cut out as the model's training images were, that is said on stderr.
    """
    from tdgan_jax.inference import faces

    _remark_on_crops(args, model)
    return faces.face_finder(args.detect, model.face_crop)


def open_face_search(args: argparse.Namespace, model: "Model") -> "FaceSearch":
    """The same for several pictures at a time, as `--smallest-face` says."""
    from tdgan_jax.inference import faces

    _remark_on_crops(args, model)
    smallest = faces.smallest_face(args.smallest_face)
    return faces.face_search(args.detect, model.face_crop, smallest)


def _remark_on_crops(args: argparse.Namespace, model: "Model") -> None:
    from tdgan_jax.inference import faces

    remark = faces.crop_remark(args.detect, model.face_crop)
    if remark is not None and not args.quiet:
        print_text(f"tdgan-jax: {remark}", aside=True)


def progress_bar(
    args: argparse.Namespace,
    items: Iterable[Any] | None,
    *,
    unit: str,
    total: int | None,
    done: int = 0,
) -> Any:
    """A bar on stderr for work that takes longer than two seconds; none without a terminal.

    Args:
        args: With `quiet`.
        items: What is gone through; None for a bar that is moved by hand.
        unit: What is counted.
        total: How many there are, if that is known.
        done: How many of them were done before.

    Returns:
        The bar: an iterable of the items, and a context manager.
    """
    from tqdm import tqdm

    return tqdm(
        items,
        total=total,
        initial=done,
        unit=unit,
        delay=2,
        disable=not shows_progress(args),
        file=sys.stderr,
    )


def shows_progress(args: argparse.Namespace) -> bool:
    """Whether anybody sees a bar: with a terminal, and without `quiet`."""
    return not args.quiet and sys.stderr.isatty()


@contextlib.contextmanager
def stage_bar(args: argparse.Namespace, num_stages: int) -> Iterator[Callable[[str], None]]:
    """A `progress_bar` for a few stages of different kinds.

    Args:
        args: With `quiet`.
        num_stages: How many there are.

    Yields:
        A function that is told what each stage does when it begins.
    """
    with progress_bar(args, None, unit="stage", total=num_stages) as bar:

        def say(stage: str) -> None:
            bar.set_description(stage)
            bar.update()

        yield say


def share(text: str) -> float:
    """Reads a number from 0 to 1 from the command line.

    Raises:
        argparse.ArgumentTypeError: If it is something else.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def positive(text: str) -> int:
    """Reads a whole number above zero from the command line.

    Raises:
        argparse.ArgumentTypeError: If it is something else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
