"""Recomputes the figures of the model card from the shipped weights.

    python benchmarks/pretrained.py --yale yalefaces.zip --out pretrained.json

Wants the dataset `fer2013` with its configuration `without_private_test`; `--fer2013 full --split
private_test` takes the whole archive. On its test photographs: accuracy with interval, per class,
calibration; the same for photographs made smaller or blurred before the model enlarges them, and by
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
YALE_EXPRESSIONS = ("happy", "surprised", "sad", "normal")
FAILURES = 10


def main() -> int:
    """Prints the tables and writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pretrained", metavar="M")
    parser.add_argument(
        "--fer2013", default="without_private_test", choices=("without_private_test", "full")
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--data-dir", default=None, help="where prepared datasets are kept")
    parser.add_argument("--yale", type=Path, metavar="ZIP", help="the owner's yalefaces.zip")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    args = parser.parse_args()

    if args.yale is not None and not zipfile.is_zipfile(args.yale):
        raise UserError(f"--yale: {args.yale} is no zip file")
    model: Any = tdgan_jax.load(args.model)
    builder = open_dataset("fer2013", args.fer2013, args.data_dir)
    examples = with_expression(load_examples(builder, args.split, np.asarray))
    figures: dict[str, Any] = {"environment": environment([])}
    figures["fer2013"] = photograph_figures(model, examples)
    if args.yale is not None:
        figures["yale"] = yale_figures(model, args.yale)
    print(tables(figures))
    if args.out is not None:
        write_atomically(args.out, json.dumps(figures, indent=2).encode())
    return 0


def photograph_figures(model: Any, examples: Examples) -> dict[str, Any]:
    """Figures on photographs of faces, as they are and made worse.

    Raises:
        UserError: If the dataset's classes are not the model's.
    """
    if set(examples.expression_names) != set(model.expression_names):
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
    right = logits.argmax(axis=1) == examples.expressions
    whole = recognition_figures({"model": Answers(logits)}, examples, examples.expression_names)[
        "model"
    ]
    return whole | {
        "by_size_px": {size: accuracy(lambda x, s=size: x.resize((s, s))) for size in SIZES_PX},
        "by_blur_px": {
            blur: accuracy(lambda x, b=blur: x.filter(ImageFilter.GaussianBlur(b)))
            for blur in BLURS_PX
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
    with zipfile.ZipFile(archive) as stored:
        pictures = {
            Path(name).name: Image.open(stored.open(name)).convert("RGB")
            for name in sorted(stored.namelist())
            if canonical_condition(name) is not None
        }
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


def canonical_condition(name: str) -> str | None:
    """The expression in a name like `subject01.happy`; None for the other conditions."""
    condition = Path(name).name.removesuffix(".gif").rpartition(".")[2]
    return canonical_name(condition) if condition in YALE_EXPRESSIONS else None


def tables(figures: dict[str, Any]) -> str:
    """The figures in Markdown."""
    fer = figures["fer2013"]
    interval = fer["accuracy_interval"]
    lines = ["| FER-2013 | |", "|---|---|"]
    lines.append(
        f"| accuracy, {fer['num_examples']} photographs | {fer['accuracy']:.3f} "
        f"({interval['low']:.3f} to {interval['high']:.3f}) |"
    )
    if other := fer.get("without_duplicates"):
        lines.append(f"| without duplicates of training images | {other['accuracy']:.3f} |")
    for field in ("mean_class_accuracy", "macro_f1", "expected_calibration_error"):
        lines.append(f"| {field.replace('_', ' ')} | {fer[field]:.3f} |")
    for title, field in (("{} pixels", "by_size_px"), ("blurred by {} pixels", "by_blur_px")):
        lines += [f"| {title.format(key)} | {value:.3f} |" for key, value in fer[field].items()]
    lines += [f"| the {name} third | {x:.3f} |" for name, x in fer["by_sharpness"].items()]
    lines += ["", "| class | images | recall | precision |", "|---|---|---|---|"]
    for name in fer["labels"]:
        row = fer["per_class"][name]
        cells = ["-" if row[x] is None else f"{row[x]:.3f}" for x in ("recall", "precision")]
        lines.append(f"| {name} | {row['num_examples']} | {' | '.join(cells)} |")
    lines += ["", "| sure and wrong | label | answer | probability |", "|---|---|---|---|"]
    for row in fer["confident_errors"]:
        fields = (row["file"], row["label"], row["answer"], f"{row['probability']:.3f}")
        lines.append(f"| {' | '.join(fields)} |")
    if yale := figures.get("yale"):
        lines += ["", "| Yale | right | answers |", "|---|---|---|"]
        for name, row in yale["answers"].items():
            said = ", ".join(f"{label} {count}" for label, count in row.items())
            lines.append(f"| {name} | {row.get(name, 0)} of {sum(row.values())} | {said} |")
        lines.append(f"\n{yale['photographs_per_second']:.1f} photographs/s with detection")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"pretrained.py: {error}")
