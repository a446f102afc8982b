"""The systems by name: the only file that knows their names.

A new system is its folder, its name and its case here.
"""

from tdgan_jax.errors import UserError
from tdgan_jax.families.family import Family

NAMES = ("tdgan", "ifgan", "classifier", "esr", "ma_net", "emotion_gcn")


def family_named(name: object) -> Family:
    """The record of a system.

    Args:
        name: As configurations and `model.json` say it.

    Raises:
        UserError: If there is none of that name.
    """
    match name:
        case "tdgan":
            from tdgan_jax.families.tdgan.family import TDGAN as family
        case "ifgan":
            from tdgan_jax.families.ifgan.family import IFGAN as family
        case "classifier":
            from tdgan_jax.families.classifier.family import CLASSIFIER as family
        case "esr":
            from tdgan_jax.families.esr.family import ESR as family
        case "ma_net":
            from tdgan_jax.families.ma_net.family import MA_NET as family
        case "emotion_gcn":
            from tdgan_jax.families.emotion_gcn.family import EMOTION_GCN as family
        case _:
            raise UserError(
                f"there is no system of the family {name!r}; this version knows {', '.join(NAMES)}"
            )
    return family
