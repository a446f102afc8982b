"""TDGAN on RAF-DB with the first 20 identities of CASIA-WebFace (Xie, Hu, Chen 2021).

    python launch.py --config configs/tdgan_raf.py

Paper: 81.91 % (expression module, chosen on the test split). Accuracy and time here: not yet
measured. Both datasets must be asked for from their owners.
"""

from ml_collections import ConfigDict

from configs.tdgan_family import shrink_to_tiny, tdgan_config
from tdgan_jax.configuration import unknown_variant


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (the paper's) and "tiny"."""
    config = tdgan_config()
    config.name = "tdgan_raf"
    config.data.faces.dataset = "casia_webface"
    config.data.expressions.dataset = "raf_db"
    if variant == "tiny":
        return shrink_to_tiny(config)
    if variant:
        raise unknown_variant(variant, ("tiny",))
    return config
