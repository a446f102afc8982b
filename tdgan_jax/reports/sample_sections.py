"""Sections of the report that show what a training has drawn on its way.

`runs` maps a short name to the files of its run.
"""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from tdgan_jax.files import read_file
from tdgan_jax.reports import page
from tdgan_jax.runs.folder import AVERAGE_FACES_SHEET, RunFiles

_SAMPLES_ALONE = 5
_SAMPLES_BESIDE_OTHERS = 2
_LARGE_IMAGE_BYTES = 400_000


def samples_section(runs: Mapping[str, RunFiles]) -> str:
    """Sample sheets from the first to the last, evenly spread over the training."""
    parts = []
    limit = _SAMPLES_ALONE if len(runs) == 1 else _SAMPLES_BESIDE_OTHERS
    for name, run in runs.items():
        if len(runs) > 1:
            parts.append(f"<h3>{escape(name)}</h3>")
        if not run.samples:
            parts.append(page.missing(f"{name}: no sample sheet in samples/ yet."))
            continue
        cards = [_sample_card(path) for path in spread_out(run.samples, limit)]
        parts.append(page.grid(cards, "wide"))
    return "".join(parts)


def average_faces_section(runs: Mapping[str, RunFiles]) -> str:
    """IF-GAN's targets, which differ from fold to fold; empty for other families."""
    sheets = {name: run.path / AVERAGE_FACES_SHEET for name, run in runs.items()}
    cards = [_picture_card(name, path) for name, path in sheets.items() if path.is_file()]
    if not cards:
        return ""
    text = "The mean image of each expression over the training images alone: what is to be drawn."
    return page.lead(text) + page.grid(cards, "wide")


def spread_out(items: Sequence[Any], limit: int) -> list[Any]:
    """The first, the last and evenly spaced ones between them, at most `limit`."""
    if len(items) <= limit:
        return list(items)
    return [items[round(index * (len(items) - 1) / (limit - 1))] for index in range(limit)]


def _sample_card(path: Path) -> str:
    match = re.fullmatch(r"epoch_(\d+)_step_(\d+)", path.stem)
    title = f"Epoch {int(match[1])}, step {int(match[2]):,}" if match else path.stem
    return _picture_card(title, path)


def _picture_card(title: str, path: Path) -> str:
    try:
        content, media_type = _small_image(path)
    except (OSError, UnidentifiedImageError):
        return page.card(escape(title), page.missing(f"{path.name} cannot be read as an image."))
    return page.card(escape(title), page.image(content, media_type, f"{path.stem}, {title}"))


def _small_image(path: Path) -> tuple[bytes, str]:
    """The file itself, or a JPEG of it when it is large."""
    content = read_file(path)
    with Image.open(io.BytesIO(content)) as image:
        image.load()  # finds a torn file
        if len(content) <= _LARGE_IMAGE_BYTES:
            return content, "image/png"
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, format="JPEG", quality=90)
    return buffer.getvalue(), "image/jpeg"
