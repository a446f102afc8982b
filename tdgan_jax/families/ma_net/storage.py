"""MA-Net's stored forms: shapes of its network, and its weights for PyTorch."""

from functools import partial

from tdgan_jax.families.ma_net import weights as tables
from tdgan_jax.families.ma_net.architecture import ma_net_architecture
from tdgan_jax.families.ma_net.networks import make_ma_net, split_networks
from tdgan_jax.families.ma_net.parity import compare_with_onnx, compare_with_twin, write_onnx
from tdgan_jax.families.shapes import network_shapes
from tdgan_jax.families.stored import StoredFamily

MA_NET_STORAGE = StoredFamily(
    stems=tables.FILE_STEMS,
    prefixes=tables.MODULE_PREFIXES,
    released_names=(),
    shapes=partial(network_shapes, make_ma_net, split_networks),
    find_architecture=ma_net_architecture,
    from_torch=tables.ma_net_from_torch,
    to_torch=tables.torch_from_ma_net,
    compare_with_twin=compare_with_twin,
    write_onnx=write_onnx,
    compare_with_onnx=compare_with_onnx,
)
