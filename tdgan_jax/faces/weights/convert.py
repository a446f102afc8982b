"""Converts the weights inside the PyPI wheel `mtcnn` 1.0.0 to `mtcnn.safetensors`.

    pip download mtcnn==1.0.0 --no-deps
    python convert.py mtcnn-1.0.0-py3-none-any.whl mtcnn.safetensors

Needs `joblib`, `lz4`, `numpy` and `safetensors`, not TensorFlow. The wheel's weight files are
pickles, which run code when they are read: the wheel is read only if it is the one whose content
was looked at, and this is done once, in a throw-away environment, never where the package is used.
"""

import argparse
import hashlib
import pathlib
import tempfile
import zipfile

import joblib
import numpy as np
from safetensors.numpy import save_file

WHEEL_SHA256 = "0a96b4868e56db9ae984449519642be6dba03240e608a67e928ebb47833e9144"

# The arrays of each file, in its order: a layer and what belongs to it.
LAYERS = {
    "p_net": (
        ("conv1", ("kernel", "bias", "slope")),
        ("conv2", ("kernel", "bias", "slope")),
        ("conv3", ("kernel", "bias", "slope")),
        ("box", ("kernel", "bias")),
        ("face", ("kernel", "bias")),
    ),
    "r_net": (
        ("conv1", ("kernel", "bias", "slope")),
        ("conv2", ("kernel", "bias", "slope")),
        ("conv3", ("kernel", "bias", "slope")),
        ("dense", ("kernel", "bias", "slope")),
        ("box", ("kernel", "bias")),
        ("face", ("kernel", "bias")),
    ),
    "o_net": (
        ("conv1", ("kernel", "bias", "slope")),
        ("conv2", ("kernel", "bias", "slope")),
        ("conv3", ("kernel", "bias", "slope")),
        ("conv4", ("kernel", "bias", "slope")),
        ("dense", ("kernel", "bias", "slope")),
        ("box", ("kernel", "bias")),
        ("landmarks", ("kernel", "bias")),
        ("face", ("kernel", "bias")),
    ),
}


def read_wheel(wheel: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the weights of the three networks.

    Args:
        wheel: The wheel `mtcnn` 1.0.0.

    Returns:
        float32 arrays by `network/layer/part`; kernels `[height, width, in, out]` or `[in, out]`,
        biases and the slopes of PReLU `[channels]`.

    Raises:
        ValueError: If the file is another one, or does not hold the expected arrays.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise ValueError(f"{wheel} has SHA-256 {digest}, not {WHEEL_SHA256}")
    weights = {}
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        for network, layers in LAYERS.items():
            file = f"mtcnn/assets/weights/{network.replace('_', '')}.lz4"
            arrays = joblib.load(archive.extract(file, folder))
            names = [f"{network}/{layer}/{part}" for layer, parts in layers for part in parts]
            for name, array in zip(names, arrays, strict=True):
                # Keras keeps the slopes of a convolution's PReLU as [1, 1, channels].
                weights[name] = array.reshape(-1) if name.endswith("/slope") else array
    return weights


def main() -> None:
    """Writes the file and prints its SHA-256."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    save_file(read_wheel(args.wheel), args.out)
    print(hashlib.sha256(args.out.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
