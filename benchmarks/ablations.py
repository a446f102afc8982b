"""Trains TDGAN without one part after the other and writes the table into docs/results.md.

    python benchmarks/ablations.py --seeds 0 1 2

Each row is a variant of configs/tdgan_ablations.py. Finished trainings and measurements are not
repeated and unfinished ones go on, so that the command may be stopped and given again; rows without
a training say so in the table. `--table` trains nothing and writes what is there.
"""

import argparse
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.comparisons import paired_difference
from tdgan_jax.exchange.selected_runs import open_selected_run
from tdgan_jax.files import read_json, write_atomically, write_json
from tdgan_jax.probing.disentanglement import probe_matrix, summary
from tdgan_jax.probing.disentanglement_tables import spread
from tdgan_jax.probing.probed_examples import load_probed_examples
from tdgan_jax.probing.probed_features import probed_features
from tdgan_jax.runs.folder import RESULT_FILE, recognisers

ROOT = Path(__file__).parent.parent
CONFIG = "configs/tdgan_ablations.py"
CLASSIFIER = "configs/classifier_synthetic.py:ablations"
WITHOUT = runpy.run_path(str(ROOT / CONFIG))["WITHOUT"]
# By variant: what the table calls it.
ROWS = {
    "": "everything",
    **{variant: variant.replace("_", " ") for variant in WITHOUT},
    "random_pairing": "random pairing, anew each epoch",
    "few_identities": "8 people in the face branch instead of 32",
    "classifier": "plain classifier",
}
BEGIN, END = "<!-- ablations: begin -->", "<!-- ablations: end -->"
PROBES_FILE = "probes.json"
FIT_SPLIT, TEST_SPLIT = "train[:50%]", "test"


def train_row(variant: str, seed: int, folder: Path, data_dir: str) -> int:
    """Trains one variant, or goes on with it; returns the exit code."""
    command = [sys.executable, str(ROOT / "launch.py"), "--config", configuration(variant)]
    command += ["--workdir", str(folder), f"--config.seed={seed}", "--quiet"]
    if data_dir:
        command.append(f"--config.data.directory={data_dir}")
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode


def configuration(variant: str) -> str:
    """The configuration of a row as the command line names it."""
    if variant == "classifier":
        return CLASSIFIER
    return f"{CONFIG}:{variant}" if variant else CONFIG


def measured(folder: Path, data_dir: str) -> dict[str, Any]:
    """What the table says of a finished run; probes that are stored are not repeated."""
    result = read_json(folder / RESULT_FILE)
    path = folder / PROBES_FILE
    if not path.exists():
        run = open_selected_run(folder, data_dir=data_dir)
        examples = load_probed_examples(
            run.config, "synthetic_faces/64", fit_split=FIT_SPLIT, test_split=TEST_SPLIT
        )
        features = probed_features(run, examples.parts)
        write_json(path, probe_matrix(features, examples.labels))
    matrix = read_json(path)
    identity = {name: feature["identity"]["linear"]["accuracy"] for name, feature in matrix.items()}
    return {
        "accuracy": next(iter(recognisers(result).values()))["accuracy"],
        "identity_from_expression": identity["expression"],
        "identity_from_face": identity.get("face"),
        "information_gap": summary(matrix)["information_gap"],
        "minutes": result["seconds"] / 60,
    }


def table(rows: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
    """Markdown, one row a variant with its command.

    Args:
        rows: By variant and seed what `measured` gives; a variant without seeds is not measured.
    """
    header = [
        "",
        "seeds",
        "accuracy",
        "difference, paired by seed",
        "identity from the expression feature",
        "identity from the face feature",
        "information gap",
        "minutes",
        "command",
    ]
    lines = [header, ["---"] * len(header)]
    base = _accuracies(rows.get("", {}))
    for variant, title in ROWS.items():
        command = f"`python launch.py --config {configuration(variant)}`"
        seeds = rows.get(variant, {})
        if not seeds:
            lines.append([title, "0", "not yet measured", *[""] * 5, command])
            continue
        difference = paired_difference(base, _accuracies(seeds), unit="seed")
        columns = [
            spread(seed[key] for seed in seeds.values())
            for key in (
                "accuracy",
                "identity_from_expression",
                "identity_from_face",
                "information_gap",
            )
        ]
        minutes = spread(seed["minutes"] for seed in seeds.values()).partition(" ")[0]
        against = _spoken(difference) if variant else ""
        row = [title, str(len(seeds)), columns[0], against, *columns[1:], minutes, command]
        lines.append(row)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _accuracies(seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, float]:
    return {str(seed): row["accuracy"] for seed, row in seeds.items()}


def _spoken(difference: Any) -> str:
    if difference is None:
        return ""
    if difference.low is None:
        return f"{difference.mean:+.3f}"
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def write_table(path: Path, markdown: str) -> None:
    """Puts the table between the two marks of a document.

    Raises:
        UserError: If the document has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError(f"{path} must hold {BEGIN} and {END} once each, in this order")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    write_atomically(path, f"{before}\n{markdown}{after}".encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains and measures the rows and writes the table.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 the work failed, 2 wrong use, or that of a training that failed.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=[*ROWS], default=[*ROWS], metavar="VARIANT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="parent of the run folders")
    parser.add_argument("--data-dir", default="", help="prepared datasets")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results.md")
    parser.add_argument("--table", action="store_true", help="train nothing, write what is there")
    args = parser.parse_args(arguments)

    found: dict[str, dict[int, dict[str, Any]]] = {}
    try:
        for seed in args.seeds:
            for variant in args.rows:
                name = "_".join(filter(None, ("tdgan_ablations", variant)))
                folder = (args.runs / name / f"seed_{seed}").absolute()
                if not args.table and (code := train_row(variant, seed, folder, args.data_dir)):
                    return code
                if (folder / RESULT_FILE).exists():
                    print(f"{folder}: measuring", file=sys.stderr, flush=True)
                    found.setdefault(variant, {})[seed] = measured(folder, args.data_dir)
        write_table(args.out, table(found))
    except UserError as error:
        print(f"ablations.py: {error}", file=sys.stderr)
        return error.exit_code
    print(table(found), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
