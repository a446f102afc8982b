"""`tdgan-jax import`: makes a model out of weights from elsewhere."""

import argparse
from pathlib import Path
from typing import Any

from tdgan_jax.families.known import NAMES
from tdgan_jax.printing import print_text

_EXAMPLES = """\
examples:
  tdgan-jax import Dataset/examples --model tdgan --out released
  tdgan-jax import exported_ifgan --model ifgan --out M
  tdgan-jax import weights.pth --model tdgan --labels happiness,sadness,neutral --out M
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "import",
        help="make a model out of PyTorch or safetensors weights",
        description="Reads state dicts (.pkl, .pth, .pt; pickled code is never executed) or "
        "safetensors: a file for each network, named as in the released program (of IF-GAN: as in "
        "an export), or one for all. "
        "Sizes are found in the weights; model.json, where it stands beside them, tells the rest.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", type=Path, metavar="DIR", help="folder with the weights, or their one file"
    )
    parser.add_argument(
        "--model", required=True, choices=NAMES, help="the system that they belong to"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="M", help="the folder to make")
    parser.add_argument(
        "--labels",
        metavar="A,B,C",
        help="names of the expressions in the order of the logits (default: those of model.json, "
        "or of the published weights)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model that exists")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the model and prints what it is and what had to be assumed.

    Raises:
        UserError: If the weights cannot be used, or the model cannot be written.
    """
    from tdgan_jax.cli.interruption import sigterm_cleans_up
    from tdgan_jax.cli.model_arguments import stage_bar
    from tdgan_jax.exchange.importing import STAGES, import_weights
    from tdgan_jax.exchange.new_folder import check_new_folder
    from tdgan_jax.inference.outputs import check_no_overlap

    check_new_folder(args.out, overwrite=args.overwrite)
    check_no_overlap(args.out, args.source)
    labels = None if args.labels is None else args.labels.split(",")
    with sigterm_cleans_up(), stage_bar(args, STAGES) as say:
        imported = import_weights(
            args.source, args.model, args.out, labels=labels, overwrite=args.overwrite, say=say
        )
    description = imported.description
    sizes = description.architecture
    print_text(
        f"imported {imported.num_tensors} tensors to {args.out}: {description.family}, "
        f"{sizes['image_size_px']}x{sizes['image_size_px']}x{sizes['image_channels']}, "
        f"{len(description.expression_names)} expressions, {description.num_identities} identities"
    )
    for assumption in imported.assumptions:
        print_text(f"  assumed: {assumption}")
    return 0
