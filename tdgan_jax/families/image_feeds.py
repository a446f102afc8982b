"""The plain image feed of a configuration, for the systems that learn from single images."""

from tdgan_jax.configuration import Config
from tdgan_jax.data.augmentation import parse_augmentations
from tdgan_jax.data.examples import in_memory
from tdgan_jax.data.image_feed import ImageFeed, check_image_feed, with_targets
from tdgan_jax.families.family import Parts


def image_feed(config: Config, parts: Parts, **sampling: object) -> ImageFeed:
    """Makes the source of a run's batches.

    Args:
        config: A configuration whose `data` section has the fields of the plain classifier.
        parts: The labelled examples.
        **sampling: Fields of `ImageFeed` that say which examples an epoch shows; all by default.

    Raises:
        UserError: If the examples lack the targets that are asked for.
        UsageError: If the configuration asks for something impossible.
    """
    data = config.data
    taught = with_targets(parts.fit, data.targets, drop_single_votes=data.drop_single_votes)
    feed = ImageFeed(
        expressions=in_memory(
            taught,
            limit_bytes=data.memory_limit_bytes,
            num_workers=data.num_workers,
        ),
        image_size_px=config.model.image_size_px,
        batch_size=config.training.batch_size,
        seed=config.seed,
        augmentations=parse_augmentations(data.augmentations),
        targets=data.targets,
        drop_single_votes=data.drop_single_votes,
        pad_last_batch=data.pad_last_batch,
        num_workers=data.num_workers,
        **sampling,  # pyright: ignore[reportArgumentType]
    )
    check_image_feed(feed)
    return feed
