"""The training step of any configuration in PyTorch, ready to be timed beside that of JAX."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks.random_inputs import NUM_EXPRESSIONS, NUM_IDENTITIES, random_model
from tdgan_jax.errors import UsageError
from tdgan_jax.torch_weights.optional_packages import require_torch

# Ways in which PyTorch runs the twins, see `torch_variants`, which is imported where it is needed.
VARIANTS = ("eager", "channels_last", "compiled", "bfloat16", "compiled_bfloat16")
TwinStep = Callable[[Any], None]  # takes one torch step with a pattern of updates


def make_twin_step(
    config: ConfigDict, batch: Any, threads: int, variant: str = "eager"
) -> TwinStep:
    """Makes the same training in PyTorch, on the kind of device that JAX has.

    Args:
        config: The configuration.
        batch: What the JAX side trains on, on the host; uint8 images are made floats once.
        threads: Threads of torch on the CPU; set for the whole process.
        variant: One of `VARIANTS`.

    Raises:
        UserError: If torch is missing, or what the variant needs.
        UsageError: If the twin cannot do the work of this configuration.
    """
    make = {"tdgan": _tdgan_step, "ifgan": _ifgan_step}.get(config.family, _image_step)
    check = {"tdgan": _check_tdgan, "ifgan": _check_ifgan}.get(config.family)
    if check is not None:
        check(config)
    torch = require_torch("--torch")
    from benchmarks.torch_variants import placed, use_variant

    torch.set_num_threads(threads)
    torch.manual_seed(config.seed)
    networks, step, inputs = make(config, batch)
    take_step = use_variant(variant, networks, step)
    inputs = [placed(value, variant) for value in inputs]

    def twin_step(updates: Any) -> None:
        take_step(updates, *inputs)

    return twin_step


BEYOND_THE_PAPER = ("realism_weight", "identity_confusion_weight", "coarse_share")


def _check_tdgan(config: ConfigDict) -> None:
    if (network := config.loss.perceptual_network) != "face_discriminator":
        raise UsageError(
            f"--torch: perceptual_network is {network!r}; the torch twin knows only "
            "'face_discriminator'"
        )
    for field in BEYOND_THE_PAPER:
        if config.loss[field]:
            raise UsageError(f"--torch: loss.{field} is not 0; the torch twin does not know it")
    if config.training.classifier_epochs:
        raise UsageError("--torch: the torch twin has no training.classifier_epochs; set it to 0")
    if resting := [name for name, rate in config.learning_rate.items() if not rate]:
        raise UsageError(f"--torch: learning_rate.{resting[0]} is 0; the torch twin trains it")


def _check_ifgan(config: ConfigDict) -> None:
    if not config.model.has_generator or config.model.tuple_form != "concatenation":
        raise UsageError("--torch: the twin knows pairs by concatenation only")


def _images(values: np.ndarray) -> Any:
    """uint8 `[N, H, W, C]` as a float tensor (N, C, H, W) in [0, 1]."""
    import torch

    return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous().float() / 255


def _labels(values: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(values).long()


def _tdgan_step(config: ConfigDict, batch: Any) -> tuple[list, Callable[..., Any], tuple]:
    from benchmarks.torch_tdgan_step import TorchTdganStep
    from tdgan_jax.torch_weights.tdgan_torch import Discriminator, Generator

    sizes = {
        "channels": config.model.image_channels,
        "image_size_px": config.model.image_size_px,
        "width_multiplier": config.model.width_multiplier,
        "dropout_rate": config.model.dropout_rate,
        "num_inception_blocks": config.model.num_inception_blocks,
    }
    generator = Generator(
        NUM_EXPRESSIONS,
        noise_channels=config.model.noise_channels,
        num_residual_blocks=config.model.num_residual_convolutions,
        upsampling=config.model.upsampling,
        decoder_norm=config.model.decoder_norm,
        decoder_sees_face=config.model.decoder_sees_face,
        **sizes,
    )
    training = TorchTdganStep(
        generator,
        Discriminator(NUM_IDENTITIES + 1, **sizes),
        Discriminator(NUM_EXPRESSIONS, **sizes),
        config.loss.label_gradient_weight,
    )

    def step(updates: Any, *inputs: Any) -> Any:
        due = updates.face_discriminator, updates.expression_discriminator
        return training.step(*inputs, *due)

    inputs = (
        _images(batch.face_image),
        _labels(batch.face_identity),
        _images(batch.expression_image),
        _labels(batch.expression_label),
    )
    return training.networks, step, inputs


def _ifgan_step(config: ConfigDict, batch: Any) -> tuple[list, Callable[..., Any], tuple]:
    from benchmarks.torch_ifgan_step import make_torch_step

    training = make_torch_step(config.model.to_dict(), NUM_EXPRESSIONS)
    images = [2 * _images(values) - 1 for values in (batch.image, batch.average_image)]

    def step(updates: Any, *inputs: Any) -> Any:
        del updates  # every step updates all
        return training.step(*inputs)

    return training.networks, step, (*images, _labels(batch.expression_label))


def _image_step(config: ConfigDict, batch: Any) -> tuple[list, Callable[..., Any], tuple]:
    import torch

    from benchmarks.torch_image_step import TorchImageStep

    training = TorchImageStep(config, random_model(config))

    def step(updates: Any, *inputs: Any) -> Any:
        return training.step(updates or 0, *inputs)  # ESR's are the number of the stage

    targets = (torch.from_numpy(values) for values in (batch.target, batch.affect))
    return training.networks, step, (_images(batch.image), *targets)
