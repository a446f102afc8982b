"""The TFDS builders, one folder a dataset.

The wheel holds the folders here. In a checkout they stand in `data_builders/` beside this package,
which is then a part of it.
"""

from pathlib import Path

_checkout = Path(__file__).resolve().parents[2]
# A foreign package of that name in site-packages is none of ours.
if (_checkout / "launch.py").is_file() and (_checkout / "tdgan_jax").is_dir():
    __path__.append(str(_checkout / "data_builders"))
