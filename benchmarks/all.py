"""Runs the benchmarks one after the other and writes one JSON file and one table.

    python benchmarks/all.py --out benchmarks.json

Beside `benchmarks.json` stands `benchmarks.md`. Each benchmark is a process of its own: none leaves
memory, threads or settings to the next, and no step is slowed by the memory of two torch twins. One
that fails is written down as failed, and the others go on. `README.md` beside this file says what
each measures. `--quick` takes the smallest sizes, to try the command; its figures mean nothing.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tdgan_jax.machine import usable_cores

FOLDER = Path(__file__).parent
TRAIN_STEP = (
    "--config configs/tdgan_raf.py --batch-size 16 --commonest --repeats 2 --torch",
    "--config configs/tdgan_raf.py --batch-size 1 --commonest --repeats 1"
    " --config.model.width_multiplier=0.125 --config.model.image_size_px=32 --torch",
)
IFGAN_STEP = (
    "--config configs/ifgan_ck_plus.py --batch-size 2 --repeats 1 --torch",
    "--config configs/ifgan_ck_plus.py:tiny --batch-size 2 --repeats 1 --torch",
)
# The script, and after a colon what is special about it, to arguments: in full, and quickly.
BENCHMARKS = {
    "train_step": tuple(f"{arguments} eager" for arguments in TRAIN_STEP),
    "train_step:channels_last": tuple(f"{arguments} channels_last" for arguments in TRAIN_STEP),
    "train_step:compiled": tuple(f"{arguments} compiled" for arguments in TRAIN_STEP),
    "ifgan_step": tuple(f"{arguments} eager" for arguments in IFGAN_STEP),
    "ifgan_step:channels_last": tuple(f"{arguments} channels_last" for arguments in IFGAN_STEP),
    "recognition": ("--torch --repeats 2", "--torch --repeats 1 --batch-size 8"),
    "generation": ("--torch --repeats 2", "--torch --repeats 1 --batch-size 2"),
    "input_pipeline": ("", "--images 32 --batch-size 8 --repeats 1"),
    "face_detection": ("", "--images 2"),
    "fold_strategies": (
        "--config configs/tdgan_yale.py --folds 2",
        "--config configs/tdgan_yale.py:tiny --folds 2 --repeats 1",
    ),
    "growth": (
        "--batch-sizes 16 64",
        "--config configs/tdgan_synthetic.py:tiny --batch-sizes 2 4 --image-sizes 32 --repeats 1",
    ),
}


def machine() -> dict[str, Any]:
    """The processor, the cores that may be used and the system; no name of the machine."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        model = next(named, f": {model}").partition(": ")[2]
    return {
        "cpu": model,
        "cores": usable_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def run_benchmark(name: str, arguments: str, extra: Sequence[str] = ()) -> dict[str, Any]:
    """Runs one benchmark.

    Args:
        name: That of its file, and after a colon that of the variant.
        arguments: Its command line.
        extra: More of it.

    Returns:
        What it printed, or its `error`; `command`; and the `seconds` that it took as a whole.
    """
    command = [f"benchmarks/{script_of(name)}.py", *arguments.split(), *extra]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command], cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True
    )
    seconds = time.monotonic() - start
    if done.returncode:
        found = {"error": f"ended with status {done.returncode}; its message stands above"}
    else:
        found = json.loads(done.stdout)
    return found | {"command": " ".join(["python", *command]), "seconds": seconds}


def script_of(name: str) -> str:
    """The script of a benchmark, without its suffix."""
    return name.partition(":")[0]


def rows(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The table: what was measured, in JAX, in PyTorch, and their ratio."""
    table = []
    for name, result in results.items():
        if "error" in result:
            table.append((name, result["error"], "", ""))
        elif script_of(name) in ("train_step", "ifgan_step"):
            what = f"{result['config']}, batch {result['batch_size']}, {result['precision']}"
            ours = f"{result['images_per_second']:.2f} images/s"
            for variant, twin in result.get("torch", {}).items():
                theirs = f"{variant} {twin['images_per_second']:.2f}"
                table.append((what, ours, theirs, f"{twin['ratio']:.2f}"))
        elif name in ("recognition", "generation"):
            what = f"{name}, {result['model']}, batch {result['batch_size']}"
            ours = f"{result['images_per_second']:.1f} images/s"
            table.append((what, ours, f"eager {result['torch']:.1f}", f"{result['ratio']:.2f}"))
        elif name == "input_pipeline":
            for system, speed in result["images_per_second"].items():
                table.append((f"input of {system}", f"{speed:.0f} images/s", "", ""))
        elif name == "face_detection":
            table.append(("face detection", f"{result['images_per_second']:.1f} images/s", "", ""))
        elif name == "fold_strategies":
            for way, ratio in result["ratio"].items():
                speed = f"{result['fold_steps_per_second'][way]:.2f} steps/s"
                what = f"{result['folds']} folds of {result['config']}, {way}"
                table.append((what, f"{speed}, {ratio:.2f} of sequential", "", ""))
        else:
            table += [_growth_row(result["config"], point) for point in result["points"]]
    return table + _input_rows(results)


def _growth_row(config: str, point: dict[str, Any]) -> tuple[str, str, str, str]:
    what = (
        f"{config}, batch {point['batch_size']}, {point['image_size_px']} px, "
        f"{point['num_devices']} device(s)"
    )
    memory = point["memory_bytes"]
    figures = [f"{point['images_per_second']:.1f} images/s"]
    figures += [] if memory is None else [f"{memory / 2**20:.0f} MiB a device"]
    return what, ", ".join(figures), "", ""


def _input_rows(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """How many times as many images the feeds make as the steps consume."""
    table = []
    made = results.get("input_pipeline", {}).get("images_per_second", {})
    for system, step in (("tdgan", "train_step"), ("ifgan", "ifgan_step")):
        consumed = results.get(step, {}).get("images_per_second")
        if consumed and system in made:
            times = f"{made[system] / consumed:.0f} times what the step consumes"
            table.append((f"input of {system}", times, "", ""))
    return table


def table(document: dict[str, Any]) -> str:
    """The results as Markdown."""
    of_machine = document["machine"]
    lines = [
        f"{of_machine['cpu']}, {of_machine['cores']} core(s), Python {of_machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in document["versions"].items())
        + ".",
        "",
        "| what | JAX | PyTorch, images/s | JAX over PyTorch |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows(document["results"])),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmarks and writes both files.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 if a benchmark failed, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Runs all benchmarks.")
    parser.add_argument("--out", default="benchmarks.json", metavar="FILE.json")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes, for a try")
    parser.add_argument("--overwrite", action="store_true", help="replace the two files")
    args = parser.parse_args(arguments)
    out = Path(args.out)
    if out.suffix != ".json":
        print(f"all.py: --out is {out}; it must end in .json", file=sys.stderr)
        return 2
    beside = out.with_suffix(".md")
    if existing := [str(file) for file in (out, beside) if file.exists() and not args.overwrite]:
        print(f"all.py: {existing[0]} exists; give --overwrite or another --out", file=sys.stderr)
        return 2
    extra = [] if args.threads is None else ["--threads", str(args.threads)]
    results = {}
    for name in args.only:
        print(f"== {name}", file=sys.stderr, flush=True)
        results[name] = run_benchmark(name, BENCHMARKS[name][args.quick], extra)
        print(f"   {results[name]['seconds']:.0f} s", file=sys.stderr, flush=True)
    versions: dict[str, str] = {}
    for result in results.values():
        versions |= result.pop("versions", {})
    versions.pop("python", None)  # the machine's
    document = {"machine": machine(), "versions": versions, "results": results}
    for file, text in ((out, json.dumps(document, indent=1) + "\n"), (beside, table(document))):
        unfinished = file.with_name(file.name + ".unfinished")
        unfinished.write_text(text)
        unfinished.replace(file)
    print(table(document), end="")
    return int(any("error" in result for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
