"""Finds the family that a configuration names."""

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.classifier.training import classifier_family
from tdgan_jax.families.family import Family
from tdgan_jax.families.ifgan.training import ifgan_family
from tdgan_jax.families.tdgan.training import tdgan_family


def make_family(
    config: Config, identity_names: tuple[str, ...], expression_names: tuple[str, ...]
) -> Family:
    """The functions of the configuration's system.

    Raises:
        UsageError: If the system is unknown.
    """
    if config.family == "tdgan":
        return tdgan_family(
            config,
            num_identities=len(identity_names),
            num_expressions=len(expression_names),
        )
    if config.family == "classifier":
        return classifier_family(config, num_expressions=len(expression_names))
    if config.family == "ifgan":
        return ifgan_family(config, num_expressions=len(expression_names))
    raise UsageError(f"family is {config.family!r}; known: tdgan, ifgan, classifier")
