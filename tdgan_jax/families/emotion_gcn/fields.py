"""Fields that all configurations of Emotion-GCN and its baselines share."""

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config
from tdgan_jax.families.image_fields import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    add_loop_sections,
    image_data_fields,
)
from tdgan_jax.families.loop_fields import Limits, general_fields, log_of_tiny

LIMITS: Limits = {
    "model.growth_rate": (1, 256),
    "model.initial_channels": (1, 1024),
    "model.bottleneck_factor": (1, 64),
    "model.word_vector_size": (1, 4096),
    "model.graph_channels": (1, 2**14),
    "graph.threshold": (1e-6, 1),
    "graph.self_weight": (0, 0.99),
    "loss.expression_weight": (0, 1e6),
    "loss.affect_weight": (0, 1e6),
}


def emotion_gcn_config() -> Config:
    """The released program on AffectNet: Emotion-GCN with a DenseNet-121 (spec Emotion-GCN 2-4)."""
    config = general_fields()

    config.model = ConfigDict()
    config.model.heads = "emotion_gcn"  # or the baselines "single_task" or "multi_task"
    config.model.backbone = "densenet"  # or "bregnext"
    config.model.image_size_px = 227
    config.model.image_channels = 3  # 1: gray, 3: colour
    config.model.block_layers = (6, 12, 24, 16)  # of "densenet", as the next three
    config.model.growth_rate = 32
    config.model.initial_channels = 64
    config.model.bottleneck_factor = 4
    config.model.stage_layers = (7, 8, 7)  # of "bregnext", as the next one
    config.model.stage_widths = (32, 64, 128)
    config.model.word_vector_size = 300  # of "emotion_gcn", as the next two
    config.model.graph_channels = 512
    config.model.adjacency_form = "transposed"  # as released; or "plain"

    config.graph = ConfigDict()
    # Correlations of the labels that the graph's edges come from: of the training's own
    # ("labels"), the published ones ("affectnet"), or a file as the program's --adj.
    config.graph.adjacency = "labels"
    config.graph.threshold = 0.1  # least absolute correlation of neighbours
    config.graph.self_weight = 0.5  # p
    # Of the labels: our own ("embedded"), without meaning ("random"), or a file: GloVe's text
    # (.txt), or what the program takes as --emb.
    config.graph.word_vectors = "embedded"

    config.data = image_data_fields()
    config.data.training_transform = "resize"
    config.data.mean = IMAGENET_MEAN
    config.data.deviation = IMAGENET_DEVIATION
    config.data.augmentations = (
        ConfigDict({"kind": "flip"}),
        ConfigDict({"kind": "rotation", "degrees": 30.0, "resampling": "nearest"}),
    )
    config.data.pad_last_batch = True

    config.training = ConfigDict()
    config.training.epochs = 10
    config.training.batch_size = 35  # over all devices
    config.training.start_weights = ""  # torchvision's file for "densenet"; "": from scratch

    config.loss = ConfigDict()
    config.loss.expression_weight = 1.0  # of the cross-entropy
    config.loss.affect_weight = 1.0  # lambda, of 1 minus the concordance
    # "none", or "rarest": of the cross-entropy, the count of the rarest class over the own one's.
    config.loss.class_weights = "none"

    add_loop_sections(config, learning_rate=1e-3, batch_size=64)
    config.optimizer.kind = "sgd"
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 1e-3
    config.schedule.kind = "step"
    return config


def shrink_to_tiny(config: Config) -> None:
    """The same structure at the smallest size: seconds to run, for tests and tries."""
    config.name += "_tiny"
    config.model.image_size_px = 32
    config.model.block_layers = (1, 2)
    config.model.growth_rate = 4
    config.model.initial_channels = 8
    config.model.bottleneck_factor = 2
    config.model.stage_layers = (1, 1)
    config.model.stage_widths = (4, 8)
    config.model.word_vector_size = 16
    config.model.graph_channels = 8
    config.training.epochs = 2
    config.training.batch_size = 16
    log_of_tiny(config)
