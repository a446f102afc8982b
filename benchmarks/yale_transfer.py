"""Transfers expressions between the people of the Yale photographs: the model card's figures.

    python -m benchmarks.yale_transfer --yale yalefaces.zip

Each neutral face gets the happy, sad and surprised expressions of three other people, 45 pairs an
expression. `pretrained` says whether the expression is right; the person is right if the nearest of
the 15 neutral faces, by gradients and a thumbnail, is that of the face image. Copying the face
image and copying the expression image are the yardsticks. One JSON object goes to stdout.
"""

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tdgan_jax
from benchmarks.measuring import print_measurement
from benchmarks.pretrained import canonical_condition, yale_pictures
from tdgan_jax.api import Generates
from tdgan_jax.data.images import to_pil
from tdgan_jax.errors import UserError
from tdgan_jax.inference.faces import face_finder
from tdgan_jax.probing.judges import face_description

EXPRESSIONS = ("happiness", "sadness", "surprise")
STEPS_TO_OTHERS = (1, 5, 9)  # in the circle of people, those whose expressions are put on a face


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of the generator and of copying either image, by expression.

    Raises:
        UserError: If the file or a model cannot be read, or a face is not found.
    """
    if not zipfile.is_zipfile(args.yale):
        raise UserError(f"--yale: {args.yale} is no zip file")
    generator = tdgan_jax.load(args.model)
    if not isinstance(generator, Generates):
        raise UserError(f"--model: {args.model} does not generate faces")
    recogniser: Any = tdgan_jax.load("pretrained").without("contempt")
    faces = yale_faces(args.yale, generator.face_crop)
    people = sorted({person for person, _ in faces})
    neutral = [faces[person, "neutral"] for person in people]
    tightness = _tightness(generator.face_crop, recogniser.face_crop)
    owners = np.repeat(np.arange(len(people)), len(STEPS_TO_OTHERS))
    others = (owners + np.tile(STEPS_TO_OTHERS, len(people))) % len(people)
    face_images = [neutral[owner] for owner in owners]
    names = ("generator", "copy_face", "copy_expression")
    result: dict[str, Any] = {"people": len(people)} | {name: {} for name in names}
    for expression in EXPRESSIONS:
        expression_images = [faces[people[other], expression] for other in others]
        generated = generator.transfer(face_images, expression_images)
        drawn = [to_pil(np.rint(np.asarray(x) * 255).astype(np.uint8), 1) for x in generated]
        for name, pictures in zip(names, (drawn, face_images, expression_images), strict=True):
            labels, _ = recogniser.predict([_centre(picture, tightness) for picture in pictures])
            expression_right = np.array(labels) == expression
            person_right = _nearest(pictures, neutral) == owners
            result[name][expression] = {
                "expression_right": float(expression_right.mean()),
                "person_right": float(person_right.mean()),
                "both_right": float((expression_right & person_right).mean()),
                "pairs": len(owners),
            }
    return result


def yale_faces(archive: Path, crop: Any) -> dict[tuple[str, str], Image.Image]:
    """The faces as the generator's crop cuts them, by person and expression.

    Raises:
        UserError: If no face is found in a photograph.
    """
    find = face_finder("mtcnn", crop)
    faces = {}
    for name, picture in yale_pictures(archive).items():
        found = find(picture)
        if not found:
            raise UserError(f"{archive}: no face found in {name}")
        person = name.partition(".")[0]
        faces[person, str(canonical_condition(name))] = found[0].image.convert("L")
    return faces


def _tightness(generated: Any, recognised: Any) -> float:
    """The part of a generated picture's side that the recogniser's crop would show."""
    return (1 + recognised["margin"]) / (1 + generated["margin"])


def _centre(picture: Image.Image, part: float) -> Image.Image:
    edge = picture.width * (1 - part) / 2
    return picture.crop((edge, edge, picture.width - edge, picture.height - edge))


def _nearest(pictures: Sequence[Image.Image], known: Sequence[Image.Image]) -> np.ndarray:
    """The number of the known face that is most like each picture, `[N]`."""
    size = min(picture.width for picture in pictures)

    def described(images: Sequence[Image.Image]) -> np.ndarray:
        return face_description(
            np.stack([np.asarray(x.resize((size, size)), np.float32)[..., None] for x in images])
            / 255
        )

    reference = described(known)
    deviation = reference.std(axis=0) + 1e-6
    differences = (described(pictures)[:, None] - reference[None]) / deviation
    return np.square(differences).sum(axis=-1).argmin(axis=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Transfers expressions on the Yale photographs.")
    parser.add_argument(
        "--yale", type=Path, required=True, metavar="ZIP", help="the owner's yalefaces.zip"
    )
    parser.add_argument("--model", default="pretrained_tdgan", metavar="M")
    args = parser.parse_args(arguments)
    return print_measurement("yale_transfer.py", lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())
