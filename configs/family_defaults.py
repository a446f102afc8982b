"""The fields of each family with the values that they have where nothing says otherwise."""

from collections.abc import Callable

from ml_collections import ConfigDict

from configs.classifier_family import classifier_of
from configs.ifgan_family import ifgan_config
from configs.tdgan_family import tdgan_config

DEFAULTS: dict[str, Callable[[], ConfigDict]] = {
    "tdgan": tdgan_config,
    "ifgan": ifgan_config,
    "classifier": lambda: classifier_of(tdgan_config()),
}
