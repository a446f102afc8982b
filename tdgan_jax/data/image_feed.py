"""Batches of single images with their expression, raters' votes, and valence and arousal.

Order and augmentation are pure functions of the seed, the epoch and the index of the example.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.data.augmentation import Augmentation, mixup_of
from tdgan_jax.data.examples import UNLABELLED, Examples
from tdgan_jax.data.feeds import ALL_ROWS, num_batches, shuffled_batches
from tdgan_jax.data.image_changes import augment, example_generator
from tdgan_jax.data.images import centre_crop
from tdgan_jax.data.mixup import draw_mixup, mixed
from tdgan_jax.data.padding import padded_rows, padded_weight
from tdgan_jax.data.votes import (
    drawn_labels,
    multi_targets,
    top_distributions,
    vote_distributions,
)
from tdgan_jax.errors import UsageError, UserError, unknown_name

# What the target distribution is: the class; the raters' votes as they fell; or, by the rules of
# FER+ (see `votes`), the leading expressions, one of them drawn in each epoch, or several alike.
TARGETS = ("label", "votes", "cross_entropy", "probability", "multi_target")
# Which examples an epoch shows: all of them once; at most `cap` a class, drawn anew for each stage;
# the same of the quadrants of valence and arousal; or as many as there are, drawn with replacement
# so that every class is as frequent.
SAMPLINGS = ("all", "capped", "capped_quadrants", "balanced")
NUM_QUADRANTS = 4
_DRAWN_TARGETS = 1  # keeps their random numbers apart from those of the sampling


class ImageBatch(NamedTuple):
    """A batch as arrays of numpy, or of jax inside a step.

    Attributes:
        image: uint8 `[N, S, S, C]`.
        expression_label: int32 `[N]`, the most probable class of the target; -1 where unknown.
        target: float32 `[N, classes]`, sums to 1; zeros where unknown.
        affect: float32 `[N, 2]`, valence and arousal in [-1, 1]; NaN where unknown.
        weight: float32 `[N]`, 0 for padding, mean 1.
        position: int32 `[N]`, 0 to N - 1.
        epoch: int32 `[N]`, the epoch from 0 in each row.
        steps_per_epoch: int32 `[N]`, the same in each row.
    """

    image: Any
    expression_label: Any
    target: Any
    affect: Any
    weight: Any
    position: Any
    epoch: Any
    steps_per_epoch: Any


class ImageFeed(NamedTuple):
    """What the training batches are made from.

    Attributes:
        expressions: Examples with an expression or an affect, images at least `[S, S, C]`.
        image_size_px: S.
        batch_size: N.
        seed: Seed of order and augmentation.
        augmentations: Applied in their order; what is larger than S then is cut to its middle.
        targets: One of `TARGETS`.
        sampling: One of `SAMPLINGS`.
        cap: Of the capped ones: most examples of a class, or quadrant, in an epoch.
        stage_starts: Of the capped ones: epochs before which the examples are drawn anew.
        drop_single_votes: Of "votes": whether an expression that one rater alone saw counts as not
            seen; the rules of FER+ always say so.
        pad_last_batch: Keeps the last, partial batch of an epoch, padded with weight 0.
        num_workers: Worker processes; 0 loads in threads of this process.
    """

    expressions: Examples
    image_size_px: int
    batch_size: int
    seed: int
    augmentations: tuple[Augmentation, ...] = ()
    targets: str = "label"
    sampling: str = "all"
    cap: int = 0
    stage_starts: tuple[int, ...] = (0,)
    drop_single_votes: bool = True
    pad_last_batch: bool = False
    num_workers: int = 0

    @property
    def num_examples(self) -> int:
        """Examples in an epoch."""
        labels = sampled_labels(self)
        if not self.sampling.startswith("capped"):
            return len(labels)
        counts = np.bincount(labels[labels != UNLABELLED])
        return int(np.minimum(counts, self.cap).sum())

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return num_batches(self.num_examples, self.batch_size, pad_last_batch=self.pad_last_batch)

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Empty: this feed has no identities."""
        return ()

    @property
    def contents(self) -> str:
        """What it holds, in words."""
        count = len(self.expressions.files)
        if self.num_examples == count:
            return f"{count} images"
        return f"{self.num_examples} of {count} images an epoch"

    @property
    def other_parts(self) -> dict[str, Examples]:
        """None."""
        return {}

    @property
    def checksum(self) -> str:
        """Nothing is computed from the pictures."""
        return ""

    def save(self, folder: Path) -> None:
        """Nothing needs to be kept."""

    def pictures(self) -> dict[str, tuple[Sequence[np.ndarray], Sequence[str]]]:
        """None."""
        return {}

    def batches(
        self, epoch: int, first_step: int = 0, rows: slice = ALL_ROWS
    ) -> Iterator[ImageBatch]:
        """The batches of one epoch from a step on, in a shuffled order of its own.

        Args:
            epoch: Epoch, from 0.
            first_step: Batches to leave out.
            rows: The rows of each batch to make.
        """
        examples = self.expressions
        shown, targets = shown_examples(self, epoch), self._targets(epoch)
        steps, mixup = self.steps_per_epoch, mixup_of(self.augmentations)
        known_affects = affects(examples)

        def assemble(places: np.ndarray) -> ImageBatch:
            size = self.batch_size
            of_batch = shown[padded_rows(places, size)]
            own = of_batch[rows]
            images, target, affect = self._images(epoch, own), targets[own], known_affects[own]
            if mixup is not None:
                draw = draw_mixup(
                    mixup,
                    seed=self.seed,
                    epoch=epoch,
                    step=int(places[0]),  # no other batch of the epoch has it
                    batch_size=size,
                    num_present=len(places),
                )
                partners, share = of_batch[draw.partners[rows]], draw.share[rows]
                images = mixed(images, self._images(epoch, partners), share)
                target = mixed(target, targets[partners], share)
                # Beside an unknown one it is unknown, unless the image stays as it is.
                both = mixed(affect, known_affects[partners], share)
                affect = np.where(share[:, None] < 1, both, affect)
            return ImageBatch(
                image=images,
                expression_label=np.where(
                    target.sum(axis=1) > 0, target.argmax(axis=1), UNLABELLED
                ).astype(np.int32),
                target=target,
                affect=affect,
                weight=padded_weight(len(places), size)[rows],
                position=np.arange(size, dtype=np.int32)[rows],
                epoch=np.full(len(own), epoch, np.int32),
                steps_per_epoch=np.full(len(own), steps, np.int32),
            )

        return shuffled_batches(
            assemble,
            num_examples=len(shown),
            batch_size=self.batch_size,
            pad_last_batch=self.pad_last_batch,
            seed=self.seed,
            epoch=epoch,
            first_step=first_step,
            num_workers=self.num_workers,
        )

    def _targets(self, epoch: int) -> np.ndarray:
        """The target of each example in an epoch, float32 `[N, C]`."""
        shares = target_distributions(
            self.expressions, self.targets, drop_single_votes=self.drop_single_votes
        )
        if self.targets != "probability":
            return shares
        random = np.random.default_rng([self.seed, epoch, _DRAWN_TARGETS])
        return one_hot(drawn_labels(shares, random.random(len(shares))), shares.shape[1])

    def _images(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        return np.stack([augmented_image(self, epoch, int(index)) for index in indices])


def check_image_feed(feed: ImageFeed) -> None:
    """Refuses settings that give no batches.

    Raises:
        UserError: If the examples lack the targets or a class that are asked for.
        UsageError: If an option is unknown or impossible, or the batch is larger than an epoch.
    """
    for field, known in (("targets", TARGETS), ("sampling", SAMPLINGS)):
        if getattr(feed, field) not in known:
            raise unknown_name(f"data.{field}", getattr(feed, field), known)
    if feed.targets != "label" and feed.expressions.votes is None:
        raise UserError(
            f"data.targets={feed.targets} needs a dataset with raters' votes; this one has one "
            "label an image: take data.targets=label"
        )
    _check_sampling(feed)
    if not feed.steps_per_epoch:
        raise UsageError(
            f"training.batch_size={feed.batch_size} is larger than the {feed.num_examples} images "
            "of an epoch; choose a smaller one or set data.pad_last_batch"
        )


def _check_sampling(feed: ImageFeed) -> None:
    if feed.sampling == "all":
        return
    if feed.sampling.startswith("capped") and feed.cap < 1:
        raise UsageError(f"data.sampling={feed.sampling} needs a cap of at least 1, got {feed.cap}")
    names, kind = feed.expressions.expression_names, "class"
    if feed.sampling == "capped_quadrants":
        names, kind = tuple(f"quadrant {i}" for i in range(NUM_QUADRANTS)), "quadrant"
    present = set(sampled_labels(feed).tolist())
    for label, name in enumerate(names):
        if label not in present:
            raise UserError(
                f"data.sampling={feed.sampling} takes images of every {kind}, and there is none of "
                f"{name}; leave that {kind} out or take data.sampling=all"
            )


def sampled_labels(feed: ImageFeed) -> np.ndarray:
    """What examples are drawn by, int32 `[N]`: their class, or quadrant; -1 where unknown.

    Quadrant 0 has valence and arousal of at least 0; the others follow by growing angle (spec ESR
    A.9).
    """
    if feed.sampling != "capped_quadrants":
        return feed.expressions.expressions
    valence, arousal = affects(feed.expressions).T
    quadrants = np.where(arousal >= 0, np.where(valence >= 0, 0, 1), np.where(valence < 0, 2, 3))
    known = np.isfinite(valence) & np.isfinite(arousal)
    return np.where(known, quadrants, UNLABELLED).astype(np.int32)


def shown_examples(feed: ImageFeed, epoch: int) -> np.ndarray:
    """Positions of the examples of an epoch, int64 `[feed.num_examples]`.

    A function of the seed, the epoch (of the capped ones: of the last stage's start) and the
    labels. But for "all", those whose class or quadrant is unknown are not shown.
    """
    labels = sampled_labels(feed)
    if feed.sampling == "all":
        return np.arange(len(labels))
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
    if feed.sampling == "balanced":
        random = np.random.default_rng([feed.seed, epoch])
        counts = np.array([len(of_class) for of_class in classes])
        drawn = random.integers(len(classes), size=len(labels))
        first = np.cumsum(counts) - counts
        return np.concatenate(classes)[first[drawn] + random.integers(counts[drawn])]
    stage = max(start for start in feed.stage_starts if start <= epoch)
    random = np.random.default_rng([feed.seed, stage])
    return np.concatenate(
        [np.sort(random.permutation(of_class)[: feed.cap]) for of_class in classes]
    )


def target_distributions(
    examples: Examples, targets: str, *, drop_single_votes: bool = True
) -> np.ndarray:
    """Target of each example, float32 `[N, C]`: sums to 1, zeros where there is none.

    Args:
        examples: Examples with expressions.
        targets: One of `TARGETS`; without votes the class is the target. Of "probability" it is
            the distribution that the target of an epoch is drawn from.
        drop_single_votes: Of "votes", whether single votes count as none.
    """
    votes, other = examples.votes, examples.other_votes
    if targets == "label" or votes is None:
        return one_hot(examples.expressions, len(examples.expression_names))
    if targets == "votes":
        return vote_distributions(votes, other, drop_single_votes=drop_single_votes)
    rule = multi_targets if targets == "multi_target" else top_distributions
    return rule(votes, other)


def with_targets(examples: Examples, targets: str, *, drop_single_votes: bool = True) -> Examples:
    """Those examples that have a target or an affect; arguments as of `target_distributions`."""
    shares = target_distributions(examples, targets, drop_single_votes=drop_single_votes)
    has_affect = ~np.isnan(affects(examples)).all(axis=1)
    return examples.select(np.flatnonzero((shares.sum(axis=1) > 0) | has_affect))


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Labels as distributions, float32 `[N, C]`; zeros where the label is -1."""
    known = np.flatnonzero(labels != UNLABELLED)
    distributions = np.zeros((len(labels), num_classes), np.float32)
    distributions[known, labels[known]] = 1
    return distributions


def affects(examples: Examples) -> np.ndarray:
    """Valence and arousal, float32 `[N, 2]`; NaN where unknown."""
    if examples.affect is not None:
        return examples.affect
    return np.full((len(examples.files), 2), np.nan, np.float32)


def augmented_image(feed: ImageFeed, epoch: int, index: int) -> np.ndarray:
    """A training image as it is seen in an epoch, uint8 `[S, S, C]`."""
    generator, image = example_generator(feed.seed, epoch, index), feed.expressions.images[index]
    changed = augment(generator, image, feed.augmentations, size_px=feed.image_size_px)
    return centre_crop(changed, feed.image_size_px)
