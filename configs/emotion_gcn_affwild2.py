"""Emotion-GCN on the frames of Aff-Wild2 that have both kinds of labels.

Antoniadis, Filntisis, Maragos, FG 2021, arXiv:2106.03487; the released program's figures on this
set are not known to us. The graph comes from the set's own training labels, as its authors advise.

    tdgan-jax prepare aff_wild2 --source PATH
    python launch.py --config configs/emotion_gcn_affwild2.py \
        --config.graph.word_vectors=glove.6B.300d.txt

Variants: "" Emotion-GCN with a DenseNet-121, "bregnext" with a BReG-NeXt, "multi_task" and
"single_task" the baselines with a DenseNet-121, "tiny" for tests; 112x112 pixels, no class weights.
Not yet measured: the videos are not at hand.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.emotion_gcn.fields import shrink_to_tiny
from tdgan_jax.families.fields import new_config

VARIANTS = ("bregnext", "multi_task", "single_task", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """The released program's training; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("emotion_gcn")
    config.name = "emotion_gcn_affwild2"
    config.data.expressions.dataset = "aff_wild2"
    config.log.every_steps = 100
    config.log.samples_every_steps = 5000
    if variant == "tiny":
        shrink_to_tiny(config)
        return config
    config.model.image_size_px = 112
    if variant:
        config.name += f"_{variant}"
    if variant == "bregnext":
        config.model.backbone = variant
    elif variant:
        config.model.heads = variant
    return config
