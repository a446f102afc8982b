"""`tdgan-jax export`: a model's weights for other programs."""

import argparse
from pathlib import Path
from typing import Any

from tdgan_jax.cli.crop_arguments import STYLES
from tdgan_jax.cli.model_arguments import share
from tdgan_jax.errors import UsageError
from tdgan_jax.printing import print_text

_EXAMPLES = """\
examples:
  tdgan-jax export runs/tdgan_synthetic/seed_0 --format torch --out exported
  tdgan-jax export runs/tdgan_synthetic/seed_0 --format safetensors --precision float16 --out small
  tdgan-jax export runs/tdgan_synthetic/seed_0 --format onnx --out exported_onnx
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "export",
        help="write a model's weights for other programs",
        description="Writes a folder with the weights, model.json (architecture, names of the "
        "expressions, preprocessing) and a measured parity: the files are loaded again and "
        "compared with the model. torch: for TDGAN the six files of the released program, for "
        "IF-GAN a file a network, for the others those of their programs; safetensors: one file "
        "with the same keys, needs no PyTorch; onnx: recogniser.onnx and generator.onnx.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="M", help="a run folder, an export or an imported folder")
    parser.add_argument(
        "--format",
        required=True,
        choices=("torch", "safetensors", "onnx"),
        help="what other programs read",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        choices=("float32", "float16", "bfloat16"),
        help="of the stored weights, for --format safetensors; they are float32 again when the "
        "model is opened (default: float32)",
    )
    parser.add_argument(
        "--crop",
        choices=tuple(STYLES),
        help="how predict shall cut faces out of photographs, for a model whose training images "
        "were faces already, cut by their owner: the way whose faces look most like those. eyes: "
        "the eyes at the same places in all; box: a square about the detector's box; "
        "eyes-and-nose: three points at the same places, as IF-GAN's are (default: eyes; of other "
        "models the way is known). "
        "Pictures that are faces already need none: predict --detect none",
    )
    parser.add_argument(
        "--crop-margin",
        type=float,
        metavar="SHARE",
        help="what is added around such a face, as a share of its side (default: 0.2)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="RUN|NAME[/CONFIG]:SPLIT",
        help="fit the temperature of the probabilities, and measure how frequent the answers are, "
        "on the validation images of a run, or on a part of a prepared dataset that was not "
        "trained on (default: as the model has them)",
    )
    parser.add_argument(
        "--average-with",
        metavar="M",
        help="the mean of the weights of both models, one of which was trained from the weights of "
        "the other",
    )
    parser.add_argument(
        "--balance",
        type=share,
        metavar="SHARE",
        help="how much more often rare expressions shall be answered than in the labels that the "
        "model learned from: 0: not at all, 1: as if all were equally frequent; needs --calibrate "
        "now or before (default: as the model has it)",
    )
    parser.add_argument("--data-dir", default="", help="prepared datasets, for --calibrate")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that exists")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the export and prints its parity.

    Raises:
        UserError: If there is no model, or it cannot be written.
        UsageError: If the options do not fit the format or the model.
    """
    from tdgan_jax.cli.crop_arguments import crop_from
    from tdgan_jax.cli.interruption import sigterm_cleans_up
    from tdgan_jax.cli.model_arguments import stage_bar
    from tdgan_jax.cli.train import use_compilation_cache
    from tdgan_jax.exchange.exporting import STAGES, export_model
    from tdgan_jax.exchange.new_folder import check_new_folder
    from tdgan_jax.inference.outputs import check_no_overlap

    check_new_folder(args.out, overwrite=args.overwrite)
    check_no_overlap(args.out, args.model)
    if args.average_with is not None:
        check_no_overlap(args.out, args.average_with)
        if args.calibrate is not None or args.balance is not None:
            raise UsageError(
                "--average-with goes without --calibrate and --balance: export the mean first, "
                "then calibrate that export"
            )
    use_compilation_cache()
    described = _described(args)
    with sigterm_cleans_up(), stage_bar(args, STAGES) as say:
        parity = export_model(
            args.model,
            args.format,
            args.out,
            precision=args.precision,
            crop=crop_from(args),
            described=described,
            average_with=args.average_with,
            overwrite=args.overwrite,
            say=say,
        )
    if args.calibrate is not None:
        print_text(f"temperature fitted on {args.calibrate}: {described['temperature']:.3f}")
    print_text(f"exported to {args.out}, compared with what {parity['reloaded_with']} loads")
    if "tensors" in parity:
        print_text(f"  bit-identical tensors: {parity['tensors']} of {parity['tensors']}")
    for output, difference in parity.get("largest_differences", {}).items():
        print_text(f"  largest difference of {output.replace('_', ' ')}: {difference:.1e}")
    return 0


def _described(args: argparse.Namespace) -> dict[str, Any]:
    """Fields of the description that the options ask for."""
    from tdgan_jax.api import load
    from tdgan_jax.evaluation.calibration import calibration_of, part_of_dataset

    described: dict[str, Any] = {}
    if args.calibrate is None and args.balance is None:
        return described
    model: Any = load(args.model)
    if args.calibrate is not None:
        part = (
            _validation_images(args)
            if Path(args.calibrate).is_dir()
            else part_of_dataset(args.calibrate, data_dir=args.data_dir)
        )
        described |= calibration_of(model, part)._asdict()
    if args.balance is not None:
        if args.calibrate is None:
            model.balanced(args.balance)  # refuses a model that was never calibrated
        described["balance"] = args.balance
    return described


def _validation_images(args: argparse.Namespace) -> Any:
    """The images that a run was validated on."""
    from tdgan_jax.exchange.selected_runs import read_config
    from tdgan_jax.training.data import load_validation

    config = read_config(Path(args.calibrate))
    if args.data_dir:
        config.data.directory = args.data_dir
    return load_validation(config)
