"""Trains IF-GAN, its baseline and IF-GAN without attention with several seeds; writes the table.

    python benchmarks/ifgan_ablations.py --config configs/ifgan_synthetic.py --seeds 0 1 2 \
        --runs runs --out docs/ifgan_ablations.md

Finished runs are not repeated, unfinished ones go on. Accuracies are those of the test part (unseen
people) with the parameters chosen on the validation part. Two more columns say what the classifier
goes by: its accuracy when one half of each pair, input or generated face, is another image's.
Further flags go to every training: `--config.training.epochs=2`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tdgan_jax.configuration import load_config
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.data.splits import splits_of
from tdgan_jax.exchange.selected_runs import open_selected_run
from tdgan_jax.families.ifgan.tuple_reliance import tuple_accuracies
from tdgan_jax.files import write_atomically

ROOT = Path(__file__).parent.parent
VARIANTS = {
    "": "IF-GAN",
    "without_attention": "IF-GAN without attention",
    "baseline": "ResNet with island loss (baseline)",
}
COLUMNS = ("accuracy", "input_shuffled", "generated_shuffled")


def main() -> int:
    """Trains what is missing; returns the first exit code that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/ifgan_synthetic.py", metavar="FILE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="parent of the run folders")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="default: standard output only")
    args, overrides = parser.parse_known_args()

    if load_config(args.config).data.num_folds:
        parser.error("this script is for configurations without folds")
    figures: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for seed in args.seeds:
        for variant in VARIANTS:
            config = f"{args.config}:{variant}" if variant else args.config
            workdir = args.runs / load_config(config).name / f"seed_{seed}"
            command = [sys.executable, str(ROOT / "launch.py"), "--config", config, "--quiet"]
            command += ["--workdir", str(workdir), f"--config.seed={seed}", *overrides]
            code = subprocess.run(command).returncode
            if code:
                return code
            figures[variant].append(run_figures(workdir))
            print(f"{config}, seed {seed}: {json.dumps(figures[variant][-1])}", file=sys.stderr)
    command = f"python benchmarks/ifgan_ablations.py --config {args.config} --seeds"
    text = page(figures, " ".join([command, *map(str, args.seeds), *overrides]))
    print(text)
    if args.out is not None:
        write_atomically(args.out, text.encode())
    return 0


def run_figures(workdir: Path) -> dict[str, float]:
    """A run's test accuracy and, with a generator, those with one half of the pairs shuffled."""
    result = json.loads((workdir / "result.json").read_text())
    figures = {"accuracy": result["classifier"]["accuracy"], "seconds": result["seconds"]}
    run = open_selected_run(workdir)
    if "generator" in run.parameters:
        source = run.config.data.expressions
        examples = load_test_examples(
            run.config, source.dataset, source.builder_config, splits_of(run.config).test
        )
        figures |= tuple_accuracies(run.config, run.parameters, examples)
    return figures


def page(figures: dict[str, list[dict[str, float]]], command: str) -> str:
    """Markdown: one row a variant, mean and standard deviation over the seeds."""
    lines = [
        "# IF-GAN and its ablations",
        "",
        f"`{command}`; test accuracy on unseen people, mean ± standard deviation over the seeds.",
        "",
        "| | accuracy | input shuffled | generated face shuffled | seeds | seconds a run |",
        "|---|---|---|---|---|---|",
    ]
    for variant, rows in figures.items():
        cells = [spread([row[name] for row in rows if name in row]) for name in COLUMNS]
        seconds = np.mean([row["seconds"] for row in rows])
        cells += [", ".join(f"{row['accuracy']:.3f}" for row in rows), f"{seconds:.0f}"]
        lines.append(f"| {' | '.join([VARIANTS[variant], *cells])} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    """Mean ± sample standard deviation; "none" without values."""
    if not values:
        return "none"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


if __name__ == "__main__":
    sys.exit(main())
