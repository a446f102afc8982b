"""Writing and running ONNX files: what all systems' exports share."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

RECOGNISER_FILE = "recogniser.onnx"
GENERATOR_FILE = "generator.onnx"


def write_onnx_network(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    output: str | Sequence[str],
    path: Path,
) -> None:
    """Writes one network whose inputs share a free batch.

    Args:
        network: Takes one input, or two and any number of further ones as `*rest`.
        inputs: Examples of the inputs by name; at least two rows each.
        output: Name of the output, or of each of several.
        path: The file.
    """
    batch = torch.export.Dim("batch")
    # `*noise` is one argument, a tuple, to torch.export.
    shapes = [{0: batch} for _ in inputs]
    dynamic_shapes = (*shapes[:2], tuple(shapes[2:])) if len(inputs) > 2 else tuple(shapes)
    with _quiet():
        torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=[output] if isinstance(output, str) else list(output),
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what the exporter says about its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def run_onnx(path: Path, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The output of `run_onnx_outputs` for a network that has one."""
    (output,) = run_onnx_outputs(path, inputs).values()
    return output


def run_onnx_outputs(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs a file's network with onnxruntime on the CPU: the first row alone, the others together.

    So a network whose batch is not free fails.

    Args:
        path: One of the files.
        inputs: float32 arrays by the name of the input, of at least two rows each.

    Returns:
        The outputs by their names, all rows joined.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    parts = [
        session.run(None, {name: array[rows] for name, array in inputs.items()})
        for rows in (slice(1), slice(1, None))
    ]
    return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))
