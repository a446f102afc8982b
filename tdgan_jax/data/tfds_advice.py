"""Advice of tensorflow_datasets that does not apply here."""

import logging

import absl.logging


class _NeedlessAdvice(logging.Filter):
    """Drops advice of TFDS: to install OpenCV (Pillow reads our images), and on own configs."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(
            ("OpenCV is not installed", "Using custom data configuration")
        )


def drop_needless_advice() -> None:
    """Keeps such advice out of the log."""
    logger = absl.logging.get_absl_logger()
    if not any(isinstance(item, _NeedlessAdvice) for item in logger.filters):
        logger.addFilter(_NeedlessAdvice())
