"""What the page shows of a file: the pictures, tables and messages of the commands.

Every answer is a folder of its own below the one that the server deletes at its end. Uploaded files
are named without their temporary folder.
"""

import collections
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tdgan_jax.errors import UserError
from tdgan_jax.printing import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tdgan_jax.api import Model
    from tdgan_jax.inference.recognition import Recognised
    from tdgan_jax.inference.records import Row

SECONDS_BETWEEN_COUNTS = 1.0
_BATCH_SIZE = 32


class Table(NamedTuple):
    """The rows of `predict`.

    Attributes:
        columns: Their names in order.
        rows: A value, or None, by the name of each column.
        file: The same as csv.
    """

    columns: list[str]
    rows: "list[Row]"
    file: Path


class PhotographAnswer(NamedTuple):
    """A photograph with what was recognised.

    Attributes:
        message: Empty if there is a face.
        annotated: The picture with boxes and bars.
        circumplex: Valence and arousal; None if the model does not know them.
        table: The rows.
    """

    message: str
    annotated: Path
    circumplex: Path | None
    table: Table


class VideoAnswer(NamedTuple):
    """A video with what was recognised; without a face there are no curves."""

    message: str
    annotated: Path
    curves: Path | None
    table: Table


def photograph_answer(path: str, model: "Model", detect: str, folder: Path) -> PhotographAnswer:
    """Recognises the faces of a photograph.

    Args:
        path: The uploaded file.
        model: The recogniser.
        detect: `mtcnn`, or `none` for a face that has been cut out.
        folder: Where the answer goes.

    Raises:
        UserError: If the file cannot be read; the message is that of `predict`.
    """
    from tdgan_jax.demo.curves import draw_circumplex
    from tdgan_jax.inference.annotation import annotate

    if _is_video(path):
        raise UserError(f"{_name(path)} is a video; upload it under Video")
    (result,) = _recognised(path, model, detect)
    _refuse_unread([result])
    assert result.picture.image is not None
    answer = _new_folder(folder)
    annotated = answer / f"{Path(path).stem}_seen.png"
    annotate(result.picture.image, result.records, model.expression_names).save(annotated)
    table = _written([result], model, answer / f"{Path(path).stem}.csv")
    circumplex = _drawn(draw_circumplex(result.records), answer / "circumplex.png")
    return PhotographAnswer(_message_of([result]), annotated, circumplex, table)


def video_answer(
    path: str, model: "Model", detect: str, folder: Path, *, every: int
) -> Generator[int | VideoAnswer]:
    """Recognises the faces of a video; closing the generator stops it and leaves no partial file.

    Args:
        path: The uploaded file.
        model: The recogniser.
        detect: `mtcnn`, or `none` for frames that are a face.
        folder: Where the answer goes.
        every: Frames whose number is a multiple of this are looked at.

    Yields:
        The number of frames looked at so far, about once a second; at last the answer.

    Raises:
        UserError: If the file is no video or cannot be read, or PyAV is missing.
    """
    from tdgan_jax.demo.curves import draw_curves
    from tdgan_jax.inference.annotated_video import video_writer
    from tdgan_jax.inference.videos import VIDEO_SUFFIXES

    if not _is_video(path):
        suffixes = " ".join(sorted(VIDEO_SUFFIXES))
        raise UserError(f"{_name(path)} is no video; the names of videos end in {suffixes}")
    answer = _new_folder(folder)
    annotated = answer / f"{Path(path).stem}_seen.mp4"
    results = []
    told = time.monotonic()
    with video_writer(annotated, model.expression_names) as write:
        for result in _recognised(path, model, detect, every=every):
            write(result)
            # The frames themselves would fill the memory.
            results.append(result._replace(picture=result.picture._replace(image=None)))
            if time.monotonic() - told > SECONDS_BETWEEN_COUNTS:
                told = time.monotonic()
                yield len(results)
        _refuse_unread(results)
    table = _written(results, model, answer / f"{Path(path).stem}.csv")
    records = [record for result in results for record in result.records]
    figure = draw_curves(records, model.expression_names)
    curves = _drawn(figure, answer / f"{Path(path).stem}_curves.png")
    yield VideoAnswer(_message_of(results), annotated, curves, table)


def transfer_answer(
    faces: Sequence[str], expressions: Sequence[str], model: Any, detect: str, folder: Path
) -> Path:
    """Puts expressions on faces: a picture, or a grid as that of `transfer`.

    Args:
        faces: Uploaded pictures.
        expressions: The same.
        model: A model that generates.
        detect: `mtcnn`, or `none` for faces that have been cut out.
        folder: Where the answer goes.

    Raises:
        UserError: If a picture is missing, cannot be read or shows no face.
    """
    from tdgan_jax.inference.generation import transfer_sheet
    from tdgan_jax.reports.grids import save_png

    if not (faces and expressions):
        raise UserError("give at least one picture of a face and one of an expression")
    sheet = transfer_sheet(
        model, _faces(faces, model, detect), _faces(expressions, model, detect), seed=0
    )
    path = _new_folder(folder) / "transfer.png"
    save_png(sheet, path)
    return path


def interpolation_answer(
    faces: Sequence[str],
    expressions: Sequence[str],
    model: Any,
    detect: str,
    folder: Path,
    *,
    num_frames: int,
) -> tuple[Path, Path]:
    """Moves between two expressions or two faces: the animation and the strip of `interpolate`.

    Args:
        faces: One or two uploaded pictures.
        expressions: Two or one.
        model: A model that generates.
        detect: As for `transfer_answer`.
        folder: Where the answer goes.
        num_frames: At least 2.

    Raises:
        UserError: If the numbers are others, or a picture cannot be read or shows no face.
    """
    from tdgan_jax.inference.generation import interpolation
    from tdgan_jax.reports.grids import save_png

    if sorted((len(faces), len(expressions))) != [1, 2]:
        raise UserError("give one face and two expressions, or two faces and one expression")
    animation, strip = interpolation(
        model,
        _faces(faces, model, detect),
        _faces(expressions, model, detect),
        num_frames=num_frames,
        seed=0,
    )
    answer = _new_folder(folder)
    (answer / "interpolation.gif").write_bytes(animation)
    save_png(strip, answer / "strip.png")
    return answer / "interpolation.gif", answer / "strip.png"


def _recognised(
    path: str, model: "Model", detect: str, *, every: int = 1
) -> "Iterator[Recognised]":
    from tdgan_jax.inference import faces, inputs, recognition

    file = inputs.InputFile(Path(path), Path(Path(path).name))
    found = recognition.recognise(
        lambda reader: inputs.read_pictures([file], reader, every=every),
        model,
        faces.face_search(detect, model.face_crop),
        batch_size=_BATCH_SIZE,
    )
    for result in found:
        records = [record._replace(file=_name(path)) for record in result.records]
        yield result._replace(records=records)


def _faces(paths: Sequence[str], model: "Model", detect: str) -> list[Any]:
    from tdgan_jax.inference.faces import face_finder, read_faces

    try:
        return read_faces(paths, face_finder(detect, model.face_crop))
    except UserError as error:
        message = str(error)
        for path in paths:
            message = message.replace(printable(path), _name(path))
        raise UserError(message) from error


def _drawn(figure: "Figure | None", path: Path) -> Path | None:
    if figure is None:
        return None
    figure.savefig(path, dpi=130)
    return path


def _refuse_unread(results: "Sequence[Recognised]") -> None:
    from tdgan_jax.inference.records import DECODE_ERROR

    if all(result.status == DECODE_ERROR for result in results):
        record = results[0].records[0]
        raise UserError(f"{record.file}: {record.reason}")


def _written(results: "Sequence[Recognised]", model: "Model", path: Path) -> Table:
    from tdgan_jax.inference.records import columns, row_of
    from tdgan_jax.inference.rows import row_writer

    names = model.expression_names
    rows = [row_of(record, names) for result in results for record in result.records]
    with row_writer(path, names) as write:
        write(rows)
    return Table(columns(names), rows, path)


def _message_of(results: "Sequence[Recognised]") -> str:
    """Empty if everything has a face; else how many pictures have which status, as `predict`."""
    from tdgan_jax.inference.faces import OK
    from tdgan_jax.inference.records import NO_FACE

    counts = collections.Counter(result.status for result in results)
    if counts.keys() == {OK}:
        return ""
    if counts.keys() == {NO_FACE}:
        return "no face found"
    return ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))


def _is_video(path: str) -> bool:
    from tdgan_jax.inference.inputs import is_video

    return is_video(Path(path))


def _name(path: str) -> str:
    return printable(Path(path).name)


def _new_folder(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder, prefix="answer_"))
