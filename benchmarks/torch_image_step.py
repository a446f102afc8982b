"""The training steps in PyTorch of the systems that learn from single images.

Networks are the twins in `tdgan_jax/families/*/twin.py`; losses and updates are those of
`tdgan_jax/families/*/step.py`, under the same names. Images are float tensors (batch, channels,
size, size) in [0, 1]; targets (batch, expressions) sum to 1; valence and arousal are (batch, 2).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.torch_networks import image_network
from tdgan_jax.errors import UsageError
from tdgan_jax.families.diversity_options import diversity_of
from tdgan_jax.families.ma_net.networks import LOCAL_SHARE
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.losses import SMALLEST_DETERMINANT, Diversity

Losses = dict[str, Tensor]


def diversity_loss(features: Tensor, options: Diversity) -> Tensor:
    """What alike features (branches, batch, ...) cost; `tdgan_jax.losses.diversity_loss`."""
    flat = features.float().flatten(2)
    squares = (flat[:, None] - flat[None]).square()
    distances = squares.sum(-1) if options.reduction == "sum" else squares.mean(-1)
    similarities = torch.exp(-options.gamma * distances).mean(-1)
    is_itself = torch.eye(len(flat), dtype=torch.bool, device=flat.device)
    similarities = similarities.masked_fill(is_itself, float(options.diagonal == "unit"))
    if options.term == "direct":
        return similarities.sum()
    value = torch.linalg.det(similarities)
    return -value if options.term == "det" else -value.clamp(min=SMALLEST_DETERMINANT).log()


def classifier_loss(
    network: nn.Module, stage: int, batch: tuple[Tensor, ...], *, label_smoothing: float
) -> tuple[Tensor, Losses]:
    """The loss that is minimised, and its parts by their names in JAX; so are the next three."""
    image, target, _ = batch
    loss = functional.cross_entropy(network(image), target, label_smoothing=label_smoothing)
    return loss, {"classifier": loss}


def esr_loss(
    network: Any,
    stage: int,
    batch: tuple[Tensor, ...],
    *,
    diversity: Diversity | None,
    diversity_weight: float,
    channel_source: str,
    compares_all: bool,
) -> tuple[Tensor, Losses]:
    """The cross-entropies of the branches that learn in a stage, and the diversity terms."""
    image, target, _ = batch
    num_learning = stage + 1
    num_compared = len(network.branches) if compares_all else num_learning
    shared = network.base(network.preparation(image))
    outputs = [branch(shared) for branch in network.branches[:num_compared]]
    total = sum(functional.cross_entropy(one.logits, target) for one in outputs[:num_learning])
    losses = {"branches": total}
    if diversity is not None and num_compared > 1:
        spatial = torch.stack([one.spatial_attention for one in outputs])
        channel = torch.stack([one.channel_attention for one in outputs])
        if channel_source == "spatial_columns":
            channel = spatial.transpose(2, 3).flatten(1, 2)
        for name, compared in (("spatial", spatial), ("channel", channel)):
            losses[f"diversity_{name}"] = diversity_loss(compared, diversity)
            total = total + diversity_weight * losses[f"diversity_{name}"]
    return total, losses


def ma_net_loss(
    network: nn.Module,
    stage: int,
    batch: tuple[Tensor, ...],
    *,
    diversity: Diversity | None,
    diversity_weight: float,
) -> tuple[Tensor, Losses]:
    """The shares of both branches' cross-entropies, and the diversity terms."""
    image, target, _ = batch
    output = network(image)
    local = functional.cross_entropy(output.local_logits, target)
    whole = functional.cross_entropy(output.global_logits, target)
    total = LOCAL_SHARE * local + (1 - LOCAL_SHARE) * whole
    losses = {"classifier": total, "classifier_local": local, "classifier_global": whole}
    if diversity is not None:
        features = output.local_features.float()  # (4, batch, F, h, w)
        compared = {
            "spatial": features.mean(dim=2),
            "channel": features.mean(dim=(3, 4)),
            "global": output.pooled_features,
        }
        for name, values in compared.items():
            losses[f"diversity_{name}"] = diversity_loss(values, diversity)
            total = total + diversity_weight * losses[f"diversity_{name}"]
    return total, losses


def emotion_gcn_loss(
    network: nn.Module,
    stage: int,
    batch: tuple[Tensor, ...],
    *,
    expression_weight: float,
    affect_weight: float,
) -> tuple[Tensor, Losses]:
    """The cross-entropy, and 1 minus the mean concordance of valence and arousal."""
    image, target, known = batch
    logits, affect = network(image)
    losses = {"categorical": functional.cross_entropy(logits, target)}
    total = expression_weight * losses["categorical"]
    if affect is not None:
        affect = affect.float()
        means = affect.mean(dim=0), known.mean(dim=0)
        covariance = ((affect - means[0]) * (known - means[1])).mean(dim=0)
        variances = affect.var(dim=0) + known.var(dim=0)
        concordance = 2 * covariance / (variances + (means[0] - means[1]).square())
        losses["continuous"] = 1 - concordance.mean()
        total = total + affect_weight * losses["continuous"]
    return total, losses


class Objective(nn.Module):
    """A network and its loss: one module, so that `torch.compile` sees both."""

    def __init__(self, network: nn.Module, loss: Callable[..., tuple[Tensor, Losses]]):
        """Holds both."""
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, stage: int, *batch: Tensor) -> tuple[Tensor, Losses]:
        """The loss that is minimised, and its parts."""
        return self.loss(self.network, stage, batch)


class TorchImageStep:
    """The network, its optimiser and the training step of a configuration."""

    def __init__(self, config: ConfigDict, stored: StoredModel):
        """Makes the network with a model's weights.

        Args:
            config: Of a classifier, ESR, MA-Net or Emotion-GCN.
            stored: Its model.

        Raises:
            UsageError: If the twin cannot do the work of this configuration.
        """
        self.network = image_network(stored)
        if config.family == "classifier" and config.model.encoder != "inception":
            # The twin, which is made for inference, leaves it out before its linear layer.
            self.network.head.fc = nn.Sequential(
                nn.Dropout(config.model.dropout_rate), self.network.head.fc
            )
        self.network.train()
        self.objective = Objective(self.network, _loss_of(config))
        self.networks: list[nn.Module] = [self.objective]
        self._config = config
        self._optimizers: dict[int, torch.optim.Optimizer] = {}
        self._averages: AveragedModel | None = None

    def step(self, stage: int, image: Tensor, target: Tensor, affect: Tensor) -> Losses:
        """Trains on one batch.

        Args:
            stage: Of ESR; 0 of the others.
            image: (batch, channels, size, size).
            target: (batch, expressions).
            affect: (batch, 2).

        Returns:
            The losses, scalars, by the names that they have in JAX.
        """
        optimizer = self._optimizer(stage)
        optimizer.zero_grad()
        total, losses = self.objective(stage, image, target, affect)
        total.backward()
        if self._config.optimizer.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._config.optimizer.clip_norm)
        optimizer.step()
        if decay := self._config.training.get("parameter_average_decay", 0.0):
            if self._averages is None:
                average = get_ema_multi_avg_fn(decay)
                self._averages = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
            self._averages.update_parameters(self.network)
        return {name: loss.detach() for name, loss in losses.items()}

    def _optimizer(self, stage: int) -> torch.optim.Optimizer:
        if stage not in self._optimizers:
            factors: Mapping[str, float] = {"": 1.0}
            if self._config.family == "esr":
                factors = _esr_rate_factors(self._config, stage)
            self._optimizers[stage] = _make_optimizer(self._config, self.network, factors)
        return self._optimizers[stage]


def _loss_of(config: ConfigDict) -> Callable[..., tuple[Tensor, Losses]]:
    loss = config.loss
    if config.family == "classifier":
        if loss.class_weighting_exponent:
            raise UsageError("--torch: the twin has no loss.class_weighting_exponent")
        return partial(classifier_loss, label_smoothing=loss.label_smoothing)
    if config.family == "emotion_gcn":
        weights = {name: loss[name] for name in ("expression_weight", "affect_weight")}
        return partial(emotion_gcn_loss, **weights)
    diversity = {"diversity": diversity_of(loss), "diversity_weight": loss.diversity_weight}
    if config.family == "ma_net":
        return partial(ma_net_loss, **diversity)
    if config.training.learns != "expressions":
        raise UsageError("--torch: training.learns is 'affect'; the twin learns expressions alone")
    return partial(
        esr_loss,
        channel_source=loss.channel_source,
        compares_all=_compares_all(config),
        **diversity,
    )


def _compares_all(config: ConfigDict) -> bool:
    """Whether all branches of an ESR are compared, those too that do not learn yet."""
    return config.training.all_branches_diverse and diversity_of(config.loss) is not None


def _esr_rate_factors(config: ConfigDict, stage: int) -> dict[str, float]:
    """Prefix of parameters to factor of the learning rate; those of no prefix rest."""
    training = config.training
    num_branches = config.model.num_branches if _compares_all(config) else stage + 1
    factors = {f"branches.{i}.": training.other_rate_factor for i in range(num_branches)}
    factors[f"branches.{stage}."] = 1.0
    factors["base."] = training.other_rate_factor if stage else training.first_base_rate_factor
    return factors


def _make_optimizer(
    config: ConfigDict, network: nn.Module, factors: Mapping[str, float]
) -> torch.optim.Optimizer:
    settings, rate = config.optimizer, config.schedule.learning_rate
    groups = []
    for prefix, factor in factors.items():
        own = [p for name, p in network.named_parameters() if name.startswith(prefix)]
        vectors = [p for p in own if p.ndim <= 1]
        decay = settings.weight_decay if settings.decays_vectors else 0.0
        groups.append({"params": vectors, "lr": factor * rate, "weight_decay": decay})
        rest = [p for p in own if p.ndim > 1]
        groups.append({"params": rest, "lr": factor * rate, "weight_decay": settings.weight_decay})
    if settings.kind == "sgd":
        fields = {"momentum": settings.momentum, "nesterov": settings.nesterov}
        return torch.optim.SGD(groups, lr=rate, fused=True, **fields)
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    betas = (settings.beta1, settings.beta2)
    return kind(groups, lr=rate, betas=betas, eps=settings.epsilon, fused=True)
