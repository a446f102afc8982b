"""Runs configurations with several seeds and prints tables of test accuracies and concordances.

    python benchmarks/seeds.py --config configs/tdgan_synthetic.py --seeds 0 1 2

Finished runs are not repeated, unfinished ones go on. With several configurations the figures of
their first recognisers are compared to those of the first configuration, seed by seed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tdgan_jax.configuration import load_config
from tdgan_jax.evaluation.comparisons import paired_difference
from tdgan_jax.runs.folder import recognisers

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Trains each seed in turn; returns the first exit code that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, nargs="+", metavar="FILE[:VARIANT]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="parent of the run folders")
    args = parser.parse_args()

    results: dict[str, list[dict]] = {}
    for config in args.config:
        for seed in args.seeds:
            workdir = args.runs / load_config(config).name / f"seed_{seed}"
            command = [sys.executable, str(ROOT / "launch.py"), "--config", config]
            command += ["--workdir", str(workdir), f"--config.seed={seed}"]
            code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
            if code:
                return code
            results.setdefault(config, []).append(json.loads((workdir / "result.json").read_text()))
    for config, of_it in results.items():
        print(f"{config}\n\n{table(of_it)}\n")
    first = results[args.config[0]]
    for config in args.config[1:]:
        shared = first_figures(results[config][0])
        for name in (name for name in first_figures(first[0]) if name in shared):
            print(f"{config}, {name}: {compared(first, results[config], name)}")
    return 0


def compared(first: list[dict], second: list[dict], name: str = "accuracy") -> str:
    """How far a figure of the first recognisers of two configurations lies apart, by seed."""
    found = paired_difference(_by_seed(first, name), _by_seed(second, name), unit="seed")
    if found is None:
        return "no seed in common with the first configuration"
    ends = "" if found.low is None else f", 95 % interval {found.low:+.3f} to {found.high:+.3f}"
    return f"{found.mean:+.3f} against the first configuration, {found.num_pairs} pairs{ends}"


def _by_seed(results: list[dict], name: str) -> dict[str, float]:
    return {str(result["seed"]): first_figures(result)[name] for result in results}


def first_figures(result: dict) -> dict[str, float]:
    """Accuracy of the first recogniser and, where it knows affect, its concordances."""
    figures = next(iter(recognisers(result).values()))
    affect = figures.get("affect") or {}
    concordances = {f"concordance of {name}": found["ccc"] for name, found in affect.items()}
    return {"accuracy": figures["accuracy"], **concordances}


def table(results: list[dict]) -> str:
    """Markdown: one row a seed, then mean and standard deviation."""
    rows = [accuracies(result) for result in results]
    names = list(rows[0])
    header = ["seed", "steps", "seconds", *(name.replace("_", " ") for name in names)]
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    for result, row in zip(results, rows, strict=True):
        cells = [str(result["seed"]), str(result["steps"]), f"{result['seconds']:.0f}"]
        lines.append(" | ".join(cells + [f"{row[name]:.3f}" for name in names]))
    spread = [np.array([row[name] for row in rows]) for name in names]
    deviation = 1 if len(rows) > 1 else 0
    summary = [f"{values.mean():.3f} ± {values.std(ddof=deviation):.3f}" for values in spread]
    lines.append(" | ".join(["mean", "", "", *summary]))
    return "\n".join(f"| {line} |" for line in lines)


def accuracies(result: dict) -> dict[str, float]:
    """Test accuracies of the recognisers, concordances, accuracies of the yardsticks."""
    named = {name: figures["accuracy"] for name, figures in recognisers(result).items()}
    concordances = {n: v for n, v in first_figures(result).items() if n != "accuracy"}
    return named | concordances | result.get("yardsticks", {})


if __name__ == "__main__":
    sys.exit(main())
