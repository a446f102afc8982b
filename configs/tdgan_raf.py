"""TDGAN on RAF-DB with the first 20 identities of CASIA-WebFace (Xie, Hu, Chen 2021).

    python launch.py --config configs/tdgan_raf.py

Paper: 81.91 % (expression module, chosen on the test split). Accuracy and time here: not yet
measured. Both datasets must be asked for from their owners.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.tdgan.fields import full_size_or_tiny


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (the paper's) and "tiny"."""
    config = new_config("tdgan")
    config.name = "tdgan_raf"
    config.data.faces.dataset = "casia_webface"
    config.data.expressions.dataset = "raf_db"
    return full_size_or_tiny(config, variant)
