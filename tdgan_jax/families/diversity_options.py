"""The diversity loss as a configuration names it (spec ESR and MA-Net, Part B)."""

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config
from tdgan_jax.errors import unknown_name
from tdgan_jax.families.loop_fields import Limits
from tdgan_jax.losses import Diversity

# "released" is what the program computes, which is 0 or nearly so for new networks; "acting" has a
# similarity of 1 on the diagonal, means where that one sums, and a gradient from the first step on.
KINDS = {
    "none": None,
    "released": Diversity(),
    "acting": Diversity(diagonal="unit", term="logdet", reduction="mean"),
}
DIVERSITY_LIMITS: Limits = {"loss.diversity_weight": (0, 1e6), "loss.diversity_gamma": (0, 1e6)}


def diversity_fields() -> Config:
    """The fields of a section `loss`."""
    loss: Config = ConfigDict()
    loss.diversity = "released"  # or "acting" or "none"
    loss.diversity_weight = 1.0
    loss.diversity_gamma = 10.0  # gamma
    return loss


def diversity_of(loss: Config) -> Diversity | None:
    """What a configuration's section `loss` asks for; None: nothing.

    Raises:
        UsageError: If the kind is unknown.
    """
    if loss.diversity not in KINDS:
        raise unknown_name("loss.diversity", loss.diversity, KINDS)
    options = KINDS[loss.diversity]
    return options and options._replace(gamma=loss.diversity_gamma)
