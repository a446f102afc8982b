"""Emotion-GCN on AffectNet's seven expressions, valence and arousal. Paper: 66.46 %.

Antoniadis, Filntisis, Maragos, "Exploiting Emotional Dependencies with Graph Convolutional Networks
for Facial Expression Recognition", FG 2021, arXiv:2106.03487; the figure is the best model's on
the owner's validation images, which also chose its epoch (`evaluation.selection="test"`; here a
part of the training images chooses).

    tdgan-jax prepare affectnet --config 7_level --source PATH
    python launch.py --config configs/emotion_gcn_affectnet.py \
        --config.training.start_weights=densenet121.pth \
        --config.graph.word_vectors=glove.6B.300d.txt

Variants: "" Emotion-GCN with a DenseNet-121 (227x227 pixels), "multi_task" and "single_task" its
baselines; "bregnext", "bregnext_multi_task" and "bregnext_single_task" the same with a BReG-NeXt
(112x112 pixels, from scratch), "tiny" for tests. Not yet measured: the images are not at hand.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.emotion_gcn.fields import shrink_to_tiny
from tdgan_jax.families.fields import new_config

BASELINES = ("multi_task", "single_task")
VARIANTS = (*BASELINES, "bregnext", *(f"bregnext_{heads}" for heads in BASELINES), "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """The released program's training; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("emotion_gcn")
    config.name = "emotion_gcn_affectnet"
    config.data.expressions.dataset = "affectnet"
    config.data.expressions.builder_config = "7_level"  # eyes on a level, as the program turns them
    config.loss.class_weights = "rarest"
    config.log.every_steps = 100
    config.log.samples_every_steps = 5000
    if variant == "tiny":
        shrink_to_tiny(config)
        return config
    if variant:
        config.name += f"_{variant}"
    if variant.startswith("bregnext"):
        config.model.backbone = "bregnext"
        config.model.image_size_px = 112
    heads = variant.removeprefix("bregnext").removeprefix("_")
    if heads:
        config.model.heads = heads
    return config
