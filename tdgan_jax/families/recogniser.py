"""What the trained models of all families have in common: the description, and recognition."""

import copy
import warnings
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, Self

import numpy as np

from tdgan_jax.errors import UsageError, unknown_name
from tdgan_jax.families.images import Images, as_model_images, seems_whole_photograph
from tdgan_jax.families.stored import ModelDescription
from tdgan_jax.steps.state import Answers


def probabilities_of(answers: Answers, temperature: float = 1.0) -> np.ndarray:
    """Probabilities `[N, C]` of answers on the host.

    Args:
        answers: Where they have probabilities, these are given back; else the softmax of the
            scores.
        temperature: What the scores are divided by (Guo et al. 2017).
    """
    if answers.probabilities is not None:
        return np.asarray(answers.probabilities)
    scores = np.asarray(answers.scores) / temperature
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def balanced_scores(scores: np.ndarray, description: ModelDescription) -> np.ndarray:
    """Scores `[N, C]` as a model's balance changes them, before the temperature.

    The probability of each class is divided by its frequency to the power of the balance, and all
    are made to sum to 1 (logit adjustment: Menon et al. 2021, arXiv:2007.07314, section 4.1).
    """
    if not description.balance or description.class_frequencies is None:
        return scores
    lowered = description.balance * np.log(description.class_frequencies)
    return (scores - description.temperature * lowered).astype(scores.dtype)


def of_classes(answers: Answers, columns: Sequence[int]) -> Answers:
    """The answers as if there were only some of the classes.

    Args:
        answers: Of all classes, on the host.
        columns: Places of the classes that stay. Their probabilities are made to sum to 1; where
            none of them has any, as of an ensemble whose branches all vote for another class, they
            are equal.
    """
    scores, probabilities = answers.scores[:, columns], answers.probabilities
    if probabilities is not None:
        chosen = np.asarray(probabilities)[:, columns]
        total = chosen.sum(axis=1, keepdims=True)
        probabilities = np.where(total > 0, chosen / np.maximum(total, 1e-12), 1 / len(columns))
    return answers._replace(scores=scores, probabilities=probabilities)


class WholePhotograph(UserWarning):
    """A model was given what seems to be a whole photograph in the place of a face."""


class Recogniser:
    """Tells expressions apart.

    Its functions take faces that are cut out. The first picture that is much larger than one is
    warned of, but not by `recognise`, which is for those who know what they give.

    Attributes:
        description: Architecture, names of the classes, preprocessing.
    """

    def __init__(self, description: ModelDescription, answer: Callable[[np.ndarray], Answers]):
        """Takes what is known of a model and what computes its answers.

        Args:
            description: What the model is.
            answer: Images float32 `[N, S, S, C]` in [0, 1] to answers on the host.
        """
        self.description = description
        self._answer = answer
        self._has_warned = False

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the expressions, in the order of the probabilities."""
        return self.description.expression_names

    @property
    def image_size_px(self) -> int:
        """Height and width of the model's images, S."""
        return self.description.preprocessing.image_size_px

    @property
    def image_channels(self) -> int:
        """Number of channels of the model's images, 1 (gray) or 3."""
        return self.description.preprocessing.image_channels

    @property
    def face_crop(self) -> dict[str, Any] | None:
        """How faces are cropped for the model; None where their owner cropped them."""
        return self.description.preprocessing.crop

    def without(self, *names: str) -> Self:
        """The same model without some of its answers, such as contempt of the eight.

        Args:
            names: Expressions that it shall not answer; the probabilities of the others add up
                to 1.

        Returns:
            Another model with the same weights; this one stays as it is.

        Raises:
            UsageError: If it has no such expression, or fewer than two are left.
        """
        for name in names:
            if name not in self.expression_names:
                raise unknown_name("the expression to leave out", name, self.expression_names)
        kept = [i for i, name in enumerate(self.expression_names) if name not in names]
        if len(kept) < 2:
            raise UsageError("leave two expressions at least")
        frequencies = self.description.class_frequencies
        fewer = self._with(
            expression_names=tuple(self.expression_names[i] for i in kept),
            class_frequencies=frequencies and tuple(frequencies[i] for i in kept),
        )
        answer = self._answer

        def answer_kept(images: np.ndarray) -> Answers:
            return of_classes(answer(images), kept)

        fewer._answer = answer_kept
        return fewer

    def balanced(self, balance: float) -> Self:
        """The same model, answering rare expressions more or less often.

        Args:
            balance: 0: as often as in the labels that it learned from; 1: as if all expressions
                were equally frequent; between them the rare ones count more, and more photographs
                of the frequent ones are answered wrongly.

        Returns:
            Another model with the same weights; this one stays as it is.

        Raises:
            UsageError: If the number is not in [0, 1], or the frequencies are not known: an export
                with `--calibrate` has them.
        """
        if not 0 <= balance <= 1:
            raise UsageError(f"the balance must be from 0 to 1, got {balance}")
        if self.description.class_frequencies is None:
            raise UsageError(
                "the model does not know how frequent its expressions are; "
                "tdgan-jax export --calibrate measures it"
            )
        return self._with(balance=float(balance))

    def _with(self, **changed: Any) -> Self:
        """Another model with the same weights and other fields of the description."""
        other = copy.copy(self)
        other.description = self.description._replace(**changed)
        for name, value in vars(self).items():
            if isinstance(value, MethodType) and value.__self__ is self:  # bound by `api.load`
                setattr(other, name, MethodType(value.__func__, other))
        return other

    def prepared(self, images: Images) -> np.ndarray:
        """Images as the networks see them, float32 `[N, S, S, C]` in [0, 1]."""
        return as_model_images(
            images, self.description.preprocessing, see_size=self._warn_of_photograph
        )

    def recognise(self, images: Images) -> Answers:
        """Scores, probabilities, and where the model knows them valence and arousal.

        Args:
            images: N images.
        """
        return self._answers(as_model_images(images, self.description.preprocessing))

    def _answers(self, prepared: np.ndarray) -> Answers:
        answers = self._answer(prepared)
        answers = answers._replace(scores=balanced_scores(answers.scores, self.description))
        temperature = self.description.temperature
        return answers._replace(probabilities=probabilities_of(answers, temperature))

    def predict(self, images: Images) -> tuple[list[str], np.ndarray]:
        """Recognises expressions.

        Args:
            images: N images.

        Returns:
            The expression of each with the highest score, and probabilities float32 `[N, C]` in
            the order of `expression_names`.
        """
        answers = self._answers(self.prepared(images))
        labels = [self.expression_names[i] for i in answers.scores.argmax(axis=1)]
        return labels, answers.probabilities

    def expression_logits(self, images: Images) -> np.ndarray:
        """What the network itself gives, float32 `[N, C]`: logits, or an ensemble's votes."""
        prepared = as_model_images(images, self.description.preprocessing)
        return np.asarray(self._answer(prepared).scores)

    def _warn_of_photograph(self, height_px: int, width_px: int) -> None:
        """Warns once of a picture that is no face."""
        if self._has_warned or not seems_whole_photograph(height_px, width_px, self.image_size_px):
            return
        self._has_warned = True
        warnings.warn(
            f"a picture of {width_px}x{height_px} pixels seems to be a whole photograph, which "
            "tells this function nothing: it takes faces that are cut out; "
            "model.analyse(photographs) finds them",
            WholePhotograph,
            stacklevel=6,  # the caller of `predict`
        )
