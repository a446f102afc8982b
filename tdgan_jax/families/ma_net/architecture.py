"""What the state dict of a MA-Net tells about its network."""

from collections.abc import Mapping

from tdgan_jax.errors import UserError
from tdgan_jax.families.stored import FoundArchitecture
from tdgan_jax.torch_weights.cbam import USUAL_REDUCTION, attention_reduction
from tdgan_jax.torch_weights.mapping import StateDict

# What the weights do not tell, with the value that is assumed.
USUAL = {"image_size_px": 224, "second_direction": "forward"}
# One of each kind of layer, with its number of dimensions.
DECIDING = {
    "conv1.weight": 4,
    "layer3_1_p4.0.cbam.ChannelGate.mlp.1.weight": 2,
    "layer4_2.1.conv2_2_4.weight": 4,
    "fc_1.weight": 2,
    "fc_2.weight": 2,
}


def ma_net_architecture(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    """Finds the architecture that weights belong to.

    Only what decides is looked at; whether all tensors fit is seen when they are mapped.

    Args:
        state_dicts: The state dict, by the name `network`.

    Returns:
        The arguments of `make_ma_net`.

    Raises:
        UserError: If a deciding tensor is missing.
    """
    state_dict = state_dicts["network"]
    for key, rank in DECIDING.items():
        value = state_dict.get(key)
        if value is None or value.ndim != rank or not value.size:
            found = f"no {key}" if value is None else f"{key} of the shape {value.shape}"
            raise UserError(f"these are not the weights of a MA-Net: there is {found}")
    width, channels = state_dict["conv1.weight"].shape[:2]
    architecture = {
        "image_channels": channels,
        "width": width,
        "attention_reduction": attention_reduction([state_dict]) or USUAL_REDUCTION,
        **USUAL,
    }
    return FoundArchitecture(
        architecture,
        num_expressions=state_dict["fc_1.weight"].shape[0],
        num_identities=0,
        untold=tuple(USUAL),
        rounded=("attention_reduction",),
    )
