"""The systems' torch twins with the weights of a model of ours."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tdgan_jax.families.classifier.twin import Classifier
from tdgan_jax.families.emotion_gcn.recogniser_twin import make_network, make_recogniser
from tdgan_jax.families.esr.twin import Ensemble
from tdgan_jax.families.ifgan.recogniser_twin import Recogniser as IfganRecogniser
from tdgan_jax.families.known import family_named
from tdgan_jax.families.ma_net.twin import Preparation, mixed_logits
from tdgan_jax.families.ma_net.twin import Recogniser as MaNetRecogniser
from tdgan_jax.families.stored import StoredModel, describe_as_json
from tdgan_jax.families.tdgan.weights import FILE_STEMS
from tdgan_jax.torch_weights.state_files import to_tensors
from tdgan_jax.torch_weights.tdgan_torch import Generator, make_networks


class EmotionNetwork(nn.Module):
    """Emotion-GCN or a baseline whose graph network is a part of every call, as in training."""

    words: Tensor

    def __init__(self, described: dict[str, Any], words: Tensor | None):
        """Makes the network.

        Args:
            described: The content of a `model.json`.
            words: Word vectors (labels, length); None of a baseline.
        """
        super().__init__()
        self.preparation = Preparation(described["preprocessing"])
        self.network = make_network(described)
        self.has_words = words is not None
        self.has_affect = described["architecture"]["heads"] != "single_task"
        if words is not None:
            self.register_buffer("words", words)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Maps images in [0, 1] to logits (batch, expressions) and affect (batch, 2) or None."""
        image = self.preparation(image)
        found = self.network(image, self.words) if self.has_words else self.network(image)
        return found if self.has_affect else (found, None)


def state_dicts_of(stored: StoredModel) -> dict[str, dict[str, Tensor]]:
    """A model's weights as its twin has them, by the name of the network."""
    converted = family_named(stored.description.family).stored().to_torch(stored.parameters)
    return {name: to_tensors(state_dict) for name, state_dict in converted.items()}


def image_network(stored: StoredModel) -> Any:
    """The twin of a system that learns from single images, float images in [0, 1] to its outputs.

    Args:
        stored: A classifier, ESR, MA-Net or Emotion-GCN.
    """
    described, weights = describe_as_json(stored.description), state_dicts_of(stored)
    family = stored.description.family
    if family == "classifier":
        network: Any = Classifier(described)
        parts = {"expression_encoder": network.encoder, "expression_head": network.head}
    elif family == "esr":
        network = Ensemble(described)
        parts = {f"branch_{i}": branch for i, branch in enumerate(network.branches, start=1)}
        parts["base"] = network.base
    elif family == "ma_net":
        network = MaNetRecogniser(described)
        parts = {"network": network.network}
    else:
        words = weights["word_vectors"]["vectors"] if "word_vectors" in weights else None
        network = EmotionNetwork(described, words)
        parts = {"network": network.network}
    for name, part in parts.items():
        part.load_state_dict(weights[name])
    return network


def tdgan_generator(stored: StoredModel) -> Generator:
    """The twin of a TDGAN's generator, in evaluation mode."""
    weights = {FILE_STEMS[name]: content for name, content in state_dicts_of(stored).items()}
    return make_networks(weights, {"architecture": stored.description.architecture}).generator


class TwinRecogniser(nn.Module):
    """A twin that gives probabilities, for any of the six systems."""

    def __init__(self, stored: StoredModel):
        """Makes the twin of a model, in evaluation mode."""
        super().__init__()
        described = describe_as_json(stored.description)
        self.family = described["family"]
        self.votes = described["architecture"].get("prediction") == "vote"
        if self.family == "tdgan":
            generator = tdgan_generator(stored)
            self.network: Any = nn.Sequential(generator.enc_ER, generator.fc_ER)
        elif self.family == "ifgan":
            names = described["expression_names"]
            self.network = IfganRecogniser(described["architecture"], len(names))
            for name, weights in state_dicts_of(stored).items():
                if name in ("generator", "classifier"):
                    getattr(self.network, name).load_state_dict(weights)
        elif self.family == "emotion_gcn":
            self.network = make_recogniser(described, state_dicts_of(stored))
        else:
            self.network = image_network(stored)
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Maps images in [0, 1] to probabilities (batch, expressions)."""
        output = self.network(image)
        if self.family == "esr":  # (branches, batch, expressions)
            logits = output.logits
            if self.votes:
                return functional.one_hot(logits.argmax(-1), logits.shape[-1]).float().mean(0)
            return logits.softmax(dim=-1).mean(dim=0)
        if self.family == "ma_net":
            output = mixed_logits(output)
        if self.family == "emotion_gcn":
            output = output[0]
        return torch.softmax(output, dim=1)
