"""Measures how far trained runs have disentangled expression and identity: probes and transfer.

    python benchmarks/disentanglement.py --runs runs/*/seed_? --dataset synthetic_faces/64

Each run's measurement is stored in a file of its own, and in the run folder for its report; it is
not repeated when the command is given again. At the end all of them stand in `disentanglement.md`
and `disentanglement.json`. Probes: `tdgan_jax/probing/disentanglement.py` says what the figures
mean. Transfer, for runs with a generator: over all pairs of a face and an expression image of
another person with another expression, judged by a plain classifier (`--expression-judge`, or
trained here, with a seed that no run should have) and by an identity classifier that learned from
other pictures of the same people.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tdgan_jax
from tdgan_jax.configuration import load_config
from tdgan_jax.data.examples import with_expression
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.training_images import check_unseen
from tdgan_jax.exchange.selected_runs import SelectedRun, open_selected_run
from tdgan_jax.files import read_json, write_atomically, write_json
from tdgan_jax.probing.disentanglement import probe_matrix, summary
from tdgan_jax.probing.disentanglement_tables import disentanglement_tables
from tdgan_jax.probing.judges import expression_judge, identity_judge
from tdgan_jax.probing.probed_examples import ProbedExamples, load_probed_examples
from tdgan_jax.probing.probed_features import probed_features
from tdgan_jax.probing.transfer_quality import (
    Judges,
    TransferGrid,
    copy_expression,
    copy_face,
    judge_accuracies,
    make_grid,
    transfer_quality,
    unit_range,
)
from tdgan_jax.runs.folder import DISENTANGLEMENT_FILE, RESULT_FILE
from tdgan_jax.training.loop import train

JUDGE_SEED = 1000
FORMAT = 1  # raised when stored measurements are no longer comparable


class Judging(NamedTuple):
    """What generators of one image format are judged with.

    Attributes:
        grid: Faces and expression images.
        judges: Classifiers that no generator was trained with.
        figures: The judges' accuracy on real images, and what the trivial generators reach.
    """

    grid: TransferGrid
    judges: Judges
    figures: dict[str, Any]


def measure(
    folder: Path, args: argparse.Namespace, judgings: dict[tuple[int, int], Judging]
) -> dict[str, Any]:
    """Everything about one run: probes, their summary, and the transfer if it has a generator.

    Args:
        folder: A finished run.
        args: The command line.
        judgings: By size and channels of the images; filled when one is needed.
    """
    run = open_selected_run(folder, data_dir=args.data_dir)
    examples = load_probed_examples(
        run.config,
        args.dataset,
        fit_split=args.fit_split,
        test_split=args.test_split,
        with_unlabelled=args.with_unlabelled,
    )
    check_unseen(run.config, examples.test, args.dataset, args.test_split)
    judging = None
    if "decoder" in run.parameters and not args.no_transfer:
        image_format = (run.config.model.image_size_px, run.config.model.image_channels)
        if image_format not in judgings:
            judgings[image_format] = make_judging(run, examples, args)
        judging = judgings[image_format]
    features = probed_features(run, examples.parts)
    _say(f"{folder}: probing {', '.join(features)} of {len(examples.labels.subjects)} images")
    matrix = probe_matrix(features, examples.labels)
    transfer = None
    if judging is not None:
        _say(f"{folder}: judging the generator")
        model: Any = tdgan_jax.load(folder)
        quality = transfer_quality(
            model.transfer,
            judging.grid,
            judging.judges,
            own_judge=lambda images: model.expression_discriminator_logits(images).argmax(axis=1),
        )
        transfer = {"generator": quality} | judging.figures
    recogniser = run.program.training.recognisers[0]
    return {
        "run": str(folder),
        "configuration": run.config.name,
        "family": run.config.family,
        "seed": run.config.seed,
        "accuracy": read_json(folder / RESULT_FILE)[recogniser]["accuracy"],
        "matrix": matrix,
        "summary": summary(matrix),
        "transfer": transfer,
    }


def make_judging(run: SelectedRun, examples: ProbedExamples, args: argparse.Namespace) -> Judging:
    """Makes the grid and the judges for images like those of a run.

    Raises:
        UserError: If the examples or the expression judge do not serve, or that judge knows some of
            the test people.
    """
    test = with_expression(examples.test)
    grid, rest = make_grid(test, num_people=args.grid_people)
    if len(examples.parts) < 2 or not len(rest):
        raise UserError(
            "judging identities takes --fit-split, and several pictures of each person with each "
            "expression in the test split; give --no-transfer for probes alone"
        )
    judge_folder = args.expression_judge or trained_judge(args)
    judge_run = open_selected_run(judge_folder, data_dir=args.data_dir)
    check_unseen(judge_run.config, test, args.dataset, args.test_split)
    for field in ("image_size_px", "image_channels"):
        if judge_run.config.model[field] != run.config.model[field]:
            raise UserError(
                f"model.{field} of the expression judge {judge_folder} is not that of the runs"
            )
    background, known = examples.parts[0], test.select(rest)
    judges = Judges(
        expression_judge(judge_run, test.expression_names),
        identity_judge(
            unit_range(background.images),
            background.identities,
            unit_range(known.images),
            known.identities,
        ),
    )
    figures = {
        "judge_accuracy": judge_accuracies(judges, grid, test),
        "copy_face": transfer_quality(copy_face, grid, judges),
        "copy_expression": transfer_quality(copy_expression, grid, judges),
    }
    return Judging(grid, judges, figures)


def trained_judge(args: argparse.Namespace) -> Path:
    """Trains the expression judge beside the measurements, or finds it finished."""
    folder = args.out / "expression_judge"
    _say(f"{folder}: training the expression judge")
    overrides = [f"seed={JUDGE_SEED}"]
    if args.data_dir:
        overrides.append(f"data.directory={args.data_dir}")
    train(load_config(args.judge_config, overrides), folder)
    return folder


def stored_or_measured(
    folder: Path, args: argparse.Namespace, judgings: dict[tuple[int, int], Judging]
) -> dict[str, Any]:
    """A run's measurement, taken from its file if that was made with the same settings."""
    result = read_json(folder / RESULT_FILE)
    judge = str(args.expression_judge or args.judge_config)
    settings = {
        "format": FORMAT,
        "run": str(folder.absolute()),
        "step": result["step"],
        "seconds": result["seconds"],  # tells a repeated training from the first
        "dataset": [args.dataset, args.fit_split, args.test_split],
        "transfer": None if args.no_transfer else [args.grid_people, judge],
    }
    if args.with_unlabelled:
        settings["with_unlabelled"] = True
    path = args.out / f"{'_'.join(folder.absolute().parts[-2:])}.json"
    if path.exists():
        stored = read_json(path)
        if stored["settings"] == settings:
            _say(f"{folder}: measured before")
            return stored
    measurement = {"settings": settings} | measure(folder, args, judgings)
    write_json(path, measurement)
    write_json(folder / DISENTANGLEMENT_FILE, measurement)  # for its report
    return measurement


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Measures how far runs have disentangled expression and identity."
    )
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--dataset", default="synthetic_faces/64", metavar="NAME[/CONFIG]")
    parser.add_argument(
        "--fit-split", default="train", help="what probes are fitted on; '': folds of the test"
    )
    parser.add_argument("--test-split", default="test", help="people whom no run has learned from")
    parser.add_argument(
        "--with-unlabelled",
        action="store_true",
        help="probe identity on test images without a known expression too (other light, ...)",
    )
    parser.add_argument("--data-dir", default="", help="prepared datasets; default: the runs' own")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/disentanglement"), help="folder of the measurements"
    )
    parser.add_argument("--no-transfer", action="store_true", help="probes alone")
    parser.add_argument("--grid-people", type=int, default=10, help="of the transfer grid")
    parser.add_argument(
        "--expression-judge", type=Path, metavar="RUN", help="a run of the family classifier"
    )
    parser.add_argument(
        "--judge-config",
        default="configs/classifier_synthetic.py:judge",
        metavar="FILE[:VARIANT]",
        help="what the expression judge is trained with, if no run of it is given",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures each run and writes the tables.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 the work failed, 2 wrong use.
    """
    args = _parser().parse_args(arguments)
    judgings: dict[tuple[int, int], Judging] = {}
    try:
        measurements = [stored_or_measured(folder, args, judgings) for folder in args.runs]
        tables = disentanglement_tables(measurements)
        write_json(args.out / "disentanglement.json", measurements)
        write_atomically(args.out / "disentanglement.md", tables.encode())
    except UserError as error:
        print(f"disentanglement.py: {error}", file=sys.stderr)
        return error.exit_code
    print(tables, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
