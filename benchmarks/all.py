"""Runs the benchmarks one after the other, writes each result as it appears, and makes the tables.

    python -m benchmarks.all --out benchmarks.jsonl
    bash benchmarks/accelerator.sh --out accelerator.jsonl

Beside `benchmarks.jsonl`, a JSON object a line, stands `benchmarks.md`. Each benchmark is a process
of its own: none leaves memory, threads or settings to the next. One that fails is written down as
failed, and the others go on; the same command then measures again what has no figure yet.
`entries.py` lists them, `README.md` says what each measures. `--quick` takes the smallest sizes,
to try the command: its figures mean nothing.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.entries import Entry, accelerator_entries, table_entries
from benchmarks.tables import markdown
from tdgan_jax.machine import GLIBC_SETTINGS, HUGE_PAGES, usable_cores

ROOT = Path(__file__).parent.parent
BUDGET_SECONDS = 480.0
# An entry of the tour that takes longer than so many times its guess is ended.
PATIENCE = 3.0
# With less left no small one is begun; one that hangs is ended some time after the budget.
QUICK_SECONDS, QUICK_PATIENCE_SECONDS = 15.0, 60.0
# Small programs are compiled in a third of the time; how fast they are does not matter.
QUICK_FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
if importlib.metadata.version("jaxlib").startswith("0.10."):  # later ones know only emitters
    QUICK_FLAGS += " --xla_cpu_use_fusion_emitters=false"


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


def run_entry(entry: Entry, arguments: str, *, quick: bool, limit_s: float | None) -> dict:
    """Runs one benchmark.

    Args:
        entry: Which one.
        arguments: Its command line.
        quick: Whether speed does not matter.
        limit_s: Seconds after which it is ended; None: never.

    Returns:
        What it printed, or its `error`; `name`, `command`, `machine`, and the `seconds` it took.
    """
    command = ["-m", f"benchmarks.{entry.script}", *arguments.split()]
    variables = {GLIBC_SETTINGS: HUGE_PAGES, "PYTHONPATH": str(ROOT)} | os.environ
    if quick:
        variables["JAX_NUM_CPU_DEVICES"] = "1"
        variables["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_FLAGS}"
    start = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that what it starts can be ended with it
    ) as process:
        try:
            printed, _ = process.communicate(timeout=limit_s)
            found = json.loads(printed)
        except subprocess.TimeoutExpired:
            found = {"error": f"ended after {limit_s:.0f} s without a figure"}
        except ValueError:
            found = {"error": f"ended with status {process.returncode}; its message stands above"}
        finally:
            if process.poll() is None:  # also where this command itself is interrupted
                os.killpg(process.pid, signal.SIGKILL)
    told = {"name": entry.name, "command": " ".join(["python", *command]), "machine": machine()}
    return told | found | {"seconds": time.monotonic() - start}


def measured(
    entries: Sequence[Entry], args: argparse.Namespace, extra: str
) -> Iterator[dict[str, Any]]:
    """The results of entries in the order in which they are there.

    Args:
        entries: What is to be measured.
        args: The command line: `quick`, `budget` and `jobs`.
        extra: More arguments for those that take them.
    """
    end = time.monotonic() + args.budget if args.budget else None

    def run(entry: Entry) -> dict[str, Any]:
        limit = None
        if end is not None:
            left = end - time.monotonic()
            needed = QUICK_SECONDS if args.quick else entry.expected_seconds
            if left < needed:
                return {"name": entry.name, "skipped": f"{max(left, 0):.0f} s were left"}
            limit = min(left, PATIENCE * entry.expected_seconds)
            if args.quick:
                limit = left + QUICK_PATIENCE_SECONDS
        print(f"== {entry.name}", file=sys.stderr, flush=True)
        arguments = entry.quick if args.quick else entry.arguments
        takes_threads = entry.script not in ("many_examples", "short_trainings")
        arguments += extra if takes_threads else ""
        return run_entry(entry, arguments, quick=args.quick, limit_s=limit)

    with ThreadPoolExecutor(args.jobs) as pool:
        for future in as_completed([pool.submit(run, entry) for entry in entries]):
            yield future.result()


def read_results(out: Path) -> list[dict[str, Any]]:
    """The results of before; a last line that was cut is left out."""
    results = []
    for line in out.read_text().splitlines() if out.exists() else ():
        try:
            results.append(json.loads(line))
        except ValueError:
            print(f"all.py: a line of {out} is cut and left out", file=sys.stderr)
    return results


def has_figure(result: dict[str, Any]) -> bool:
    """Whether a benchmark was neither skipped nor failed."""
    return not {"error", "skipped"} & result.keys()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Runs all benchmarks.")
    parser.add_argument("--out", default="benchmarks.jsonl", metavar="FILE.jsonl")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        metavar="NAME",
        help="those whose names begin so, e.g. train_step:tdgan (default: all)",
    )
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument(
        "--quick", "--smoke", action="store_true", help="the smallest sizes, for a try"
    )
    parser.add_argument(
        "--accelerator",
        action="store_true",
        help=f"the tour of an accelerator, in {BUDGET_SECONDS:.0f} seconds",
    )
    parser.add_argument(
        "--budget", type=float, metavar="S", help="seconds after which nothing is begun"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="at once, where no figure counts (default: 1)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmarks and writes both files.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 if a benchmark failed, 2 wrong use.
    """
    args = _parser().parse_args(arguments)
    if args.accelerator and args.budget is None:
        args.budget = BUDGET_SECONDS
    out = Path(args.out)
    entries = list(accelerator_entries() if args.accelerator else table_entries())
    entries = [entry for entry in entries if entry.name.startswith(tuple(args.only))]
    if args.list:
        print("\n".join(entry.name for entry in entries))
        return 0
    for is_wrong, message in (
        (out.suffix != ".jsonl", f"--out is {out}; it must end in .jsonl"),
        (not entries, f"--only {' '.join(args.only)}: no such benchmark; --list names them"),
        (args.jobs < 1, "--jobs must be at least 1"),
        (args.jobs > 1 and not args.quick, "--jobs above 1 needs --quick: no figure counts then"),
    ):
        if is_wrong:
            print(f"all.py: {message}", file=sys.stderr)
            return 2
    results = {result["name"]: result for result in read_results(out)}
    wanted = [entry for entry in entries if not has_figure(results.get(entry.name, {"error": ""}))]
    extra = "" if args.threads is None else f" --threads {args.threads}"
    new = []
    is_cut = out.exists() and out.read_text()[-1:] not in ("\n", "")
    with out.open("a") as file:
        file.write("\n" * is_cut)
        for result in measured(wanted, args, extra):
            file.write(f"{json.dumps(result)}\n")
            file.flush()
            new.append(result)
            results[result["name"]] = result
            said = result.get("skipped") or result.get("error") or f"{result['seconds']:.0f} s"
            print(f"   {result['name']}: {said}", file=sys.stderr, flush=True)
            out.with_suffix(".md").write_text(markdown(list(results.values())))
    print(markdown(list(results.values())), end="")
    return int(any("error" in result for result in new))


if __name__ == "__main__":
    sys.exit(main())
