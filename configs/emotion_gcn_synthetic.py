"""Emotion-GCN and its baselines on the drawn faces: expressions, valence, arousal of new people.

    tdgan-jax prepare synthetic_faces --config 64_affect
    python launch.py --config configs/emotion_gcn_synthetic.py

Variants: "" Emotion-GCN with the embedded word vectors, "random_vectors" with vectors that mean
nothing, "multi_task" linear layers in the graph's place, "single_task" the expressions alone,
"tiny" for tests. The drawn valence and arousal and the embedded word vectors come from the same
ratings, so that "random_vectors" is what tells whether the graph is worth anything. A small
DenseNet at 64x64 pixels from scratch; about two minutes on two cores. Test accuracy, three seeds:
"" 0.855 ± 0.018, concordance of valence 0.918 and of arousal 0.851; "random_vectors" 0.856,
"multi_task" 0.880, "single_task" 0.890.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.emotion_gcn.fields import shrink_to_tiny
from tdgan_jax.families.fields import new_config

HEADS = ("single_task", "multi_task")
VARIANTS = (*HEADS, "random_vectors", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Trains on drawn people, tests on others; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("emotion_gcn")
    config.name = "emotion_gcn_synthetic"
    config.data.expressions.dataset = "synthetic_faces"
    config.data.expressions.builder_config = "64_affect"
    config.data.mean = (0.5,)
    config.data.deviation = (0.25,)
    config.data.augmentations = (
        ConfigDict({"kind": "pad_crop", "padding_px": 4}),
        ConfigDict({"kind": "flip"}),
    )
    config.model.image_channels = 1
    if variant == "tiny":
        config.data.expressions.train_split = "train[:140]"
        config.data.expressions.test_split = "test[:45]"
        config.data.validation_fraction = 0.2
        shrink_to_tiny(config)
        return config
    config.model.image_size_px = 64
    config.model.block_layers = (3, 3, 3)
    config.model.growth_rate = 16
    config.model.initial_channels = 32
    config.model.graph_channels = 128
    config.training.epochs = 14
    config.training.batch_size = 32
    # Faster than the paper's momentum on a few thousand images.
    config.optimizer.kind = "adamw"
    config.schedule.kind = "one_cycle"
    config.schedule.learning_rate = 3e-3
    config.log.every_steps = 20
    config.log.samples_every_steps = 400
    if variant:
        config.name += f"_{variant}"
    if variant in HEADS:
        config.model.heads = variant
    if variant == "random_vectors":
        config.graph.word_vectors = "random"
    return config
