"""Mapping tables of TDGAN's encoder and head (spec TDGAN 8)."""

from tdgan_jax.torch_weights.mapping import CONVOLUTION, LINEAR, SAME, Entry, Path


def _unit(key: str, path: Path) -> list[Entry]:
    return [
        Entry(f"{key}.conv.weight", (*path, "conv", "kernel"), CONVOLUTION),
        Entry(f"{key}.bn.weight", (*path, "norm", "scale"), SAME),
        Entry(f"{key}.bn.bias", (*path, "norm", "bias"), SAME),
    ]


def _inception_residual_block(key: str, path: Path) -> list[Entry]:
    entries = []
    for branch in range(3):
        for depth in range(branch + 1):
            entries += _unit(f"{key}.branch{branch}.{depth}", (*path, "branches", branch, depth))
    return [
        *entries,
        Entry(f"{key}.conv2d.weight", (*path, "merge", "kernel"), CONVOLUTION),
        Entry(f"{key}.conv2d.bias", (*path, "merge", "bias"), SAME),
    ]


def encoder_table(num_blocks: int = 4) -> list[Entry]:
    """Table of an encoder (spec TDGAN 8.1)."""
    entries = _unit("conv1.0", ("conv1",)) + _unit("conv2.0", ("conv2",))
    for block in range(num_blocks):
        entries += _inception_residual_block(f"repeat.{block}", ("blocks", block))
    return entries + _unit("conv3.0", ("conv3",)) + _unit("conv4.0", ("conv4",))


def head_table() -> list[Entry]:
    """Table of a head (spec TDGAN 8.2)."""
    entries = []
    for layer in ("fc1", "fc2", "fc3"):
        entries.append(Entry(f"{layer}.weight", (layer, "kernel"), LINEAR))
        entries.append(Entry(f"{layer}.bias", (layer, "bias"), SAME))
    return entries
