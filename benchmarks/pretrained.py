"""Recomputes the figures of the model card from the shipped weights.

    python benchmarks/pretrained.py --yale yalefaces.zip --out pretrained.json

Wants the datasets `ferplus/without_test` and `fer2013/without_private_test`, or the `--sets` that
are named. On their test photographs, each with the classes of its labels: accuracy with interval,
per class, calibration; the same with the mean of the photograph and its mirror image, and for
photographs made smaller, blurred, darker or brighter, or turned before the model sees them, and by
how sharp they are as they came. On the Yale photographs, of which none was trained on, with the
faces found as `predict` finds them: answers by expression, and photographs a second. `--model`
takes any other model.
"""

import argparse
import json
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

import tdgan_jax
from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import Examples, load_examples, with_expression
from tdgan_jax.data.images import to_array, to_pil
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.recognition import recognition_figures
from tdgan_jax.expressions import canonical_name
from tdgan_jax.files import write_atomically
from tdgan_jax.inference.faces import face_finder
from tdgan_jax.runs.folder import environment
from tdgan_jax.steps.state import Answers

SIZES_PX = (40, 32, 24, 16)  # of photographs of 48 pixels
BLURS_PX = (0.5, 1.0, 2.0)  # deviation of a Gaussian, in their pixels
BRIGHTNESSES = (0.4, 0.7, 1.4, 2.0)  # what gray values are multiplied with
TURNS_DEGREES = (-30, -15, 15, 30)
SETS = ("ferplus/without_test:test", "fer2013/without_private_test:test")
YALE_EXPRESSIONS = ("happy", "surprised", "sad", "normal")
FAILURES = 10


def main() -> int:
    """Prints the tables and writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pretrained", metavar="M")
    parser.add_argument("--sets", nargs="*", default=SETS, metavar="NAME/CONFIG:SPLIT")
    parser.add_argument("--data-dir", default=None, help="where prepared datasets are kept")
    parser.add_argument("--yale", type=Path, metavar="ZIP", help="the owner's yalefaces.zip")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    args = parser.parse_args()

    if args.yale is not None and not zipfile.is_zipfile(args.yale):
        raise UserError(f"--yale: {args.yale} is no zip file")
    model: Any = tdgan_jax.load(args.model)
    figures: dict[str, Any] = {"environment": environment([])}
    for name in args.sets:
        source, _, split = name.partition(":")
        dataset, _, config = source.partition("/")
        builder = open_dataset(dataset, config or None, args.data_dir)
        examples = with_expression(load_examples(builder, split, np.asarray))
        figures[name] = photograph_figures(model, examples)
    if args.yale is not None:
        figures["yale"] = yale_figures(model, args.yale)
    print(tables(figures))
    if args.out is not None:
        write_atomically(args.out, json.dumps(figures, indent=2).encode())
    return 0


def photograph_figures(model: Any, examples: Examples) -> dict[str, Any]:
    """Figures on photographs of faces, as they are and made worse.

    Classes that the dataset does not have are left out of the answers.

    Raises:
        UserError: If the model does not have one of the dataset's classes.
    """
    names = set(examples.expression_names)
    if not names - set(model.expression_names) and len(names) < len(model.expression_names):
        model = model.without(*(set(model.expression_names) - names))
    if set(model.expression_names) != names:
        raise UserError(
            f"the model names {', '.join(model.expression_names)}; the dataset "
            f"{', '.join(examples.expression_names)}"
        )
    order = [model.expression_names.index(name) for name in examples.expression_names]
    images = [np.asarray(image) for image in examples.images]

    def accuracy(change: Callable[[Image.Image], Image.Image]) -> float:
        changed = [to_array(change(to_pil(image, 1))) for image in images]
        return float((answers(model, changed)[:, order].argmax(1) == examples.expressions).mean())

    logits = answers(model, images)[:, order]
    logits_of_mirrored = answers(model, [image[:, ::-1] for image in images])[:, order]
    right = logits.argmax(axis=1) == examples.expressions
    whole = recognition_figures({"model": Answers(logits)}, examples, examples.expression_names)[
        "model"
    ]
    return whole | {
        "with_mirror_image": float(
            ((logits_of_mirrored + logits).argmax(axis=1) == examples.expressions).mean()
        ),
        "by_size_px": {size: accuracy(lambda x, s=size: x.resize((s, s))) for size in SIZES_PX},
        "by_blur_px": {
            blur: accuracy(lambda x, b=blur: x.filter(ImageFilter.GaussianBlur(b)))
            for blur in BLURS_PX
        },
        "by_brightness": {
            factor: accuracy(lambda x, f=factor: x.point(lambda v: min(255, v * f)))
            for factor in BRIGHTNESSES
        },
        "by_turn_degrees": {
            angle: accuracy(lambda x, a=angle: x.rotate(a, Image.Resampling.BILINEAR))
            for angle in TURNS_DEGREES
        },
        "by_sharpness": by_sharpness(images, right),
        "confident_errors": confident_errors(logits, examples),
    }


def answers(model: Any, images: Sequence[np.ndarray]) -> np.ndarray:
    """Log-probabilities `[N, C]` of uint8 images of any sizes, in the model's order."""
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(model.predict([to_pil(x, 1) for x in images])[1], 1e-30))


def by_sharpness(images: Sequence[np.ndarray], right: np.ndarray) -> dict[str, float]:
    """Accuracy of the blurred third of the photographs, the middle one and the sharp one.

    Sharpness is the variance of the Laplacian over that of the grey values.
    """
    sharpness = np.array([_sharpness(image[..., 0].astype(np.float64)) for image in images])
    thirds = np.array_split(np.argsort(sharpness), 3)
    return {
        name: float(right[part].mean())
        for name, part in zip(("blurred", "middle", "sharp"), thirds, strict=True)
    }


def _sharpness(gray: np.ndarray) -> float:
    inner = gray[1:-1, 1:-1]
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    return float(laplacian.var() / max(gray.var(), 1.0))


def confident_errors(logits: np.ndarray, examples: Examples) -> list[dict[str, Any]]:
    """The errors of which the model is surest."""
    labels = examples.expressions
    answered = logits.argmax(axis=1)
    wrong = np.flatnonzero(answered != labels)
    surest = wrong[np.argsort(-logits[wrong].max(axis=1), kind="stable")][:FAILURES]
    names = examples.expression_names
    return [
        {
            "file": str(examples.files[i]),
            "label": names[labels[i]],
            "answer": names[answered[i]],
            "probability": float(np.exp(logits[i].max())),
        }
        for i in surest
    ]


def yale_figures(model: Any, archive: Path) -> dict[str, Any]:
    """Answers for the photographs with an expression, and photographs a second with detection."""
    pictures = yale_pictures(archive)
    find = face_finder("mtcnn", model.face_crop)

    def recognise(names: Sequence[str]) -> tuple[list[str], np.ndarray]:
        faces = [find(pictures[name]) for name in names]
        if empty := [name for name, found in zip(names, faces, strict=True) if not found]:
            raise UserError(f"{archive}: no face found in {', '.join(empty)}")
        return model.predict([found[0].image for found in faces])

    names = list(pictures)
    recognise(names[:32])  # compiles
    started = time.perf_counter()
    labels, _ = recognise(names)
    seconds = time.perf_counter() - started
    counts: dict[str, dict[str, int]] = {}
    for name, label in zip(names, labels, strict=True):
        row = counts.setdefault(str(canonical_condition(name)), {})
        row[label] = row.get(label, 0) + 1
    return {"answers": counts, "photographs_per_second": len(names) / seconds}


def yale_pictures(archive: Path) -> dict[str, Image.Image]:
    """The photographs with an expression in RGB, by names like `subject01.happy`."""
    with zipfile.ZipFile(archive) as stored:
        return {
            Path(name).name: Image.open(stored.open(name)).convert("RGB")
            for name in sorted(stored.namelist())
            if canonical_condition(name) is not None
        }


def canonical_condition(name: str) -> str | None:
    """The expression in a name like `subject01.happy`; None for the other conditions."""
    condition = Path(name).name.removesuffix(".gif").rpartition(".")[2]
    return canonical_name(condition) if condition in YALE_EXPRESSIONS else None


def tables(figures: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = []
    for name, found in figures.items():
        if name not in ("environment", "yale"):
            lines += [*_photograph_tables(name, found), ""]
    if yale := figures.get("yale"):
        lines += ["| Yale | right | answers |", "|---|---|---|"]
        for name, row in yale["answers"].items():
            said = ", ".join(f"{label} {count}" for label, count in row.items())
            lines.append(f"| {name} | {row.get(name, 0)} of {sum(row.values())} | {said} |")
        lines.append(f"\n{yale['photographs_per_second']:.1f} photographs/s with detection")
    return "\n".join(lines)


def _photograph_tables(name: str, found: dict[str, Any]) -> list[str]:
    interval = found["accuracy_interval"]
    lines = [f"| {name} | |", "|---|---|"]
    lines.append(
        f"| accuracy, {found['num_examples']} photographs | {found['accuracy']:.3f} "
        f"({interval['low']:.3f} to {interval['high']:.3f}) |"
    )
    if other := found.get("without_duplicates"):
        lines.append(f"| without duplicates of training images | {other['accuracy']:.3f} |")
    for field in (
        *("mean_class_accuracy", "macro_f1", "expected_calibration_error"),
        "with_mirror_image",
    ):
        lines.append(f"| {field.replace('_', ' ')} | {found[field]:.3f} |")
    for title, field in (
        ("{} pixels", "by_size_px"),
        ("blurred by {} pixels", "by_blur_px"),
        ("gray values times {}", "by_brightness"),
        ("turned by {} degrees", "by_turn_degrees"),
    ):
        lines += [f"| {title.format(key)} | {value:.3f} |" for key, value in found[field].items()]
    lines += [f"| the {name} third | {x:.3f} |" for name, x in found["by_sharpness"].items()]
    lines += ["", "| class | images | recall | precision |", "|---|---|---|---|"]
    for label in found["labels"]:
        row = found["per_class"][label]
        cells = ["-" if row[x] is None else f"{row[x]:.3f}" for x in ("recall", "precision")]
        lines.append(f"| {label} | {row['num_examples']} | {' | '.join(cells)} |")
    lines += ["", "| sure and wrong | label | answer | probability |", "|---|---|---|---|"]
    for row in found["confident_errors"]:
        fields = (row["file"], row["label"], row["answer"], f"{row['probability']:.3f}")
        lines.append(f"| {' | '.join(fields)} |")
    return lines


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"pretrained.py: {error}")
