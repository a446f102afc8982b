"""Measures the memory of `predict` on a long video, which must not grow with its length.

    python benchmarks/video_memory.py --minutes 1 10

Draws videos of a face that moves in front of a wall, 208x160 pixels, and runs `tdgan-jax predict`
on each, with the annotated video. `peak_mib` is the largest resident memory of the process, and
`resident_mib` its memory after each tenth of the video, from the rows that it has written.
`frames_per_second` includes the start. One JSON object goes to stdout. Needs Linux.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tdgan_jax.data_builders.synthetic_faces.drawing import draw
from tdgan_jax.data_builders.synthetic_faces.factors import sample_expression, sample_identity

from benchmarks.contact_sheet import STUDIO
from tdgan_jax.errors import UserError

if __package__:
    from benchmarks.measuring import print_measurement, say
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    from measuring import print_measurement, say

SIZE_PX, FACE_PX = (208, 160), 130
PLACES = 40  # after which the movement begins anew
PARTS = 10


def drawn_frames() -> list[Image.Image]:
    """One movement of the face to the right and back."""
    gray = draw(sample_identity(12), sample_expression(12, "happiness", 0), STUDIO, seed=(12,))
    face = Image.fromarray(gray).resize((FACE_PX, FACE_PX))
    frames = []
    for number in range(PLACES):
        frame = Image.new("RGB", SIZE_PX, (90, 110, 140))
        frame.paste(face, (abs(number - PLACES // 2) * 3 + 5, 20))
        frames.append(frame)
    return frames


def write_video(path: Path, seconds: float, rate: int) -> int:
    """Writes a video; gives the number of its frames.

    Raises:
        UserError: If PyAV is missing.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise UserError("making videos needs PyAV: pip install 'tdgan-jax[video]'") from error
    images, count = drawn_frames(), round(seconds * rate)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
        for number in range(count):
            pixels = np.asarray(images[number % PLACES])
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return count


def resident_mib(process: int, field: str) -> float:
    """A figure of a process's memory; 0 when it has ended."""
    with contextlib.suppress(OSError, ProcessLookupError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def watched(
    process: subprocess.Popen[bytes], done: Callable[[], int], total: int
) -> dict[str, Any]:
    """The memory of a process, watched until it ends.

    Args:
        process: With a pipe for its errors.
        done: How much of its work is done.
        total: All of its work.

    Returns:
        `peak_mib`, and `resident_mib` after each eleventh of the work.

    Raises:
        UserError: If the process fails.
    """
    peak, parts = 0.0, []
    while process.poll() is None:
        peak = max(peak, resident_mib(process.pid, "VmHWM"))
        if done() >= total * (len(parts) + 1) / (PARTS + 1):
            parts.append(round(resident_mib(process.pid, "VmRSS"), 1))
        time.sleep(0.1)
    error = process.stderr.read() if process.stderr is not None else b""
    if process.returncode:
        raise UserError(error.decode(errors="replace").strip())
    return {"peak_mib": round(peak, 1), "resident_mib": parts}


def run(video: Path, frames: int, model: str, work: Path) -> dict[str, Any]:
    """Recognises the faces of a video and watches the memory meanwhile.

    Raises:
        UserError: If the program fails.
    """
    command = [sys.executable, "-m", "tdgan_jax", "predict", str(video), "--model", model]
    command += ["--annotate", str(work / "seen.mp4"), "--overwrite", "--quiet"]
    rows = work / "rows.csv"
    started = time.perf_counter()
    with (
        open(rows, "wb") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE) as process,
    ):
        memory = watched(process, lambda: rows.read_bytes().count(b"\n") - 1, frames)
    return {
        "frames": frames,
        "rows": rows.read_bytes().count(b"\n") - 1,
        "frames_per_second": frames / (time.perf_counter() - started),
        **memory,
    }


def measure(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Makes and recognises videos of all lengths.

    Args:
        args: The command line.
        work: An empty folder.
    """
    result = {}
    for minutes in args.minutes:
        say(f"{minutes:g} minutes")
        video = work / f"{minutes:g}.mp4"
        frames = write_video(video, 60 * minutes, args.rate)
        result[f"{minutes:g} minutes"] = run(video, frames, args.model, work)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Measures the memory of predict on long videos.")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10], metavar="M")
    parser.add_argument("--rate", type=int, default=25, help="frames a second (default: 25)")
    parser.add_argument("--model", default="pretrained", metavar="M")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        return print_measurement("video_memory.py", lambda: measure(args, Path(work)))


if __name__ == "__main__":
    sys.exit(main())
