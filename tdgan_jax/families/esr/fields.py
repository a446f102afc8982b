"""Fields that all configurations of ESR share; the values are the papers' for AffectNet.

A stage of the training adds a branch: `training.first_stage_epochs`, then for each further branch
`training.later_stage_epochs` (spec ESR A.7, A.8).
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config
from tdgan_jax.families.diversity_options import DIVERSITY_LIMITS, diversity_fields
from tdgan_jax.families.image_fields import (
    SAMPLING_LIMITS,
    add_loop_sections,
    changed_by_variant,
    jitter_flip_and_affine,
    sampled_data_fields,
    turn_shift_and_erase,
)
from tdgan_jax.families.loop_fields import Limits, general_fields, log_of_tiny, ten_folds

LIMITS: Limits = {
    **SAMPLING_LIMITS,
    **DIVERSITY_LIMITS,
    "model.num_branches": (1, 99),
    "model.attention_reduction": (1, 1024),
    "training.first_stage_epochs": (1, 10**6),
    "training.later_stage_epochs": (1, 10**6),
    "training.first_base_rate_factor": (0, 1),
    "training.other_rate_factor": (0, 1),
}


def esr_config() -> Config:
    """The diversified ESR-9 in full size; the dataset is left open."""
    config = general_fields()
    config.model = _model()
    config.data = sampled_data_fields()
    config.data.channel_order = "bgr"
    config.training = _training()

    config.loss = diversity_fields()
    # What the second term compares: "channel_attention", or "spatial_columns" as the released
    # program on FER+.
    config.loss.channel_source = "channel_attention"

    add_loop_sections(config, learning_rate=0.1, batch_size=64)
    config.optimizer.kind = "sgd"
    config.optimizer.momentum = 0.9
    config.schedule.kind = "step"  # anew in each stage
    config.schedule.decay = 0.5
    config.schedule.decay_epochs = 10
    return config


def _model() -> Config:
    model: Config = ConfigDict()
    model.num_branches = 9
    model.image_size_px = 96
    model.image_channels = 3  # 1: gray, 3: colour
    # Layers are counted from 1; the first one has windows of 5x5, the others of 3x3.
    model.base_widths = (64, 128, 128, 128)  # channels of the layers
    model.base_pooled_layers = (2, 4)  # those that a 2x2 pool follows
    model.base_padded_layers = ()  # those that keep height and width
    model.branch_widths = (128, 256, 256, 512)
    model.branch_pooled_layers = (2,)
    model.branch_padded_layers = (4,)
    model.has_attention = True  # CBAM after every layer; False: the first ESR
    model.attention_reduction = 16  # channels over hidden units
    model.has_affect = False  # a head of each branch for valence and arousal
    # How branches become one answer: "vote", or the "mean_probability".
    model.prediction = "vote"
    return model


def _training() -> Config:
    training: Config = ConfigDict()
    training.learns = "expressions"  # or "affect": valence and arousal, with their heads alone
    training.first_stage_epochs = 50
    training.later_stage_epochs = 20
    training.epochs = 210  # the sum over all branches
    training.batch_size = 32  # over all devices
    # Learning rates over that of the newest branch: of the base in the first stage; of the base
    # later, and of older branches.
    training.first_base_rate_factor = 1.0
    training.other_rate_factor = 0.1
    # Whether the diversity terms compare all branches from the beginning, those too that have no
    # cross-entropy yet; else those alone that have.
    training.all_branches_diverse = False
    # Folder of ESR's program, a file for all networks, an export or a run: what a new run begins
    # with; "": random weights.
    training.start_weights = ""
    # Whether the start weights may be of more or fewer branches, other classes, with or without
    # attention: what fits is taken.
    training.take_fitting_parts = False
    return training


def set_stages(config: Config, *, first: int, later: int) -> None:
    """Sets the epochs of the stages and their sum.

    Args:
        config: With the number of branches.
        first: Epochs of the first branch.
        later: Of each further one.
    """
    config.training.first_stage_epochs = first
    config.training.later_stage_epochs = later
    config.training.epochs = first + (config.model.num_branches - 1) * later


def learn_affectnet(config: Config) -> None:
    """What the programs do on AffectNet (spec ESR A.6, A.7)."""
    config.data.sampling = "capped"
    jitter_flip_and_affine(config)


def fine_tune(config: Config) -> None:
    """How an ensemble that has learned on AffectNet goes on on FER+ and RAF-DB (spec ESR A.8)."""
    set_stages(config, first=100, later=60)
    config.training.other_rate_factor = 0.2
    config.training.all_branches_diverse = True
    config.schedule.decay = 0.75


def learn_ferplus(config: Config) -> None:
    """What the programs do on FER+."""
    fine_tune(config)
    config.data.sampling = "capped"
    jitter_flip_and_affine(config)


def learn_raf(config: Config) -> None:
    """What the diversified program does on RAF-DB; its new heads are random."""
    fine_tune(config)
    config.data.channel_order = "rgb"
    config.training.take_fitting_parts = True
    turn_shift_and_erase(config)


def learn_affect(config: Config) -> None:
    """Valence and arousal on top of an ensemble without attention that knows expressions (A.9)."""
    as_the_first_program(config)
    config.model.has_affect = True
    config.training.learns = "affect"
    config.training.take_fitting_parts = True  # the start weights may lack these heads
    set_stages(config, first=2, later=2)
    config.data.sampling = "capped_quadrants"
    config.schedule.kind = "constant"
    config.schedule.learning_rate = 0.01
    config.evaluation.selected_by = "ccc"


def learn_ck_plus(config: Config) -> None:
    """The small ensemble of four branches on gray images whose base and first branches rest."""
    as_the_first_program(config)
    config.model.num_branches = 4
    config.model.image_channels = 1
    config.model.base_widths = (32, 64, 64)
    config.model.base_pooled_layers = (2, 3)
    config.model.branch_widths = (64, 64)
    config.model.branch_pooled_layers = (1,)
    config.model.branch_padded_layers = ()
    config.data.channel_order = "rgb"
    set_stages(config, first=2000, later=1000)
    config.training.other_rate_factor = 0.0
    config.schedule.decay_epochs = 250
    ten_folds(config)
    config.data.validation = "next_fold"
    jitter_flip_and_affine(config)


def reduce_for_cpu(config: Config) -> None:
    """Three branches on gray images of 48x48 pixels, a quarter of the width: for two CPU cores.

    All layers but the first are padded, so that the last maps have 6x6 positions as in full size.
    """
    config.model.num_branches = 3
    config.model.image_size_px = 48
    config.model.image_channels = 1
    config.model.base_widths = (16, 32, 32, 32)
    config.model.base_padded_layers = (2, 3, 4)
    config.model.branch_widths = (32, 64, 64, 128)
    config.model.branch_padded_layers = (1, 2, 3, 4)
    config.data.channel_order = "rgb"
    set_stages(config, first=8, later=4)
    config.training.other_rate_factor = 0.1
    config.training.all_branches_diverse = False
    config.schedule.learning_rate = 0.02  # with 0.1 nothing was learned of the drawn faces
    config.schedule.decay = 0.5
    config.schedule.decay_epochs = 3
    config.log.every_steps = 20
    config.log.samples_every_steps = 400


def shrink_to_tiny(config: Config) -> None:
    """The same structure at the smallest size: seconds to run, for tests and tries."""
    config.model.num_branches = 3
    config.model.image_size_px = 24
    config.model.base_widths = (4, 4)
    config.model.base_pooled_layers = (2,)
    config.model.base_padded_layers = (2,)
    config.model.branch_widths = (4, 8)
    config.model.branch_pooled_layers = (1,)
    config.model.branch_padded_layers = (1, 2)
    config.model.attention_reduction = 4
    config.training.batch_size = 4
    set_stages(config, first=1, later=1)
    log_of_tiny(config)


def without_diversity(config: Config) -> None:
    """Attention alone."""
    config.loss.diversity = "none"


def as_the_first_program(config: Config) -> None:
    """The first ESR: neither attention nor diversity."""
    without_diversity(config)
    config.model.has_attention = False


def with_acting_diversity(config: Config) -> None:
    """The diversity loss that has a gradient from the first step on."""
    config.loss.diversity = "acting"


def apply_variant(config: Config, variant: str, **more: Callable[[Config], None]) -> Config:
    """The configuration as it is, or what a variant makes of it.

    Args:
        config: Changed in place.
        variant: "", "plain" (neither attention nor diversity loss), "attention" (no diversity
            loss), "acting", "tiny", or one of the others.
        **more: Further variants, or others of these, by name.

    Raises:
        UsageError: If the variant is another one.
    """
    known = {
        "plain": as_the_first_program,
        "attention": without_diversity,
        "acting": with_acting_diversity,
        "tiny": shrink_to_tiny,
    }
    return changed_by_variant(config, variant, known | more)
