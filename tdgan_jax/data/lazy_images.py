"""Images of a dataset as sequences that read an image when it is asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]


class LazyImages(Sequence):
    """Images that are decoded and transformed when they are asked for."""

    def __init__(self, source: Any, positions: np.ndarray, transform: Transform):
        """Takes a TFDS data source, the positions of the images in it, and their transform."""
        self.source = source
        self.positions = positions
        self.transform = transform

    def __len__(self) -> int:
        """Number of images."""
        return len(self.positions)

    def __getitem__(self, index: Any) -> Any:
        """The transformed image, uint8 `[H, W, C]`."""
        return self.transform(self.source[int(self.positions[index])]["image"])

    def select(self, indices: np.ndarray) -> "LazyImages":
        """The images at some positions, none of them read."""
        return LazyImages(self.source, self.positions[indices], self.transform)


class RememberedImages(Sequence):
    """Images that are read when they are first asked for, and kept in this process from then on."""

    def __init__(
        self,
        images: Sequence[np.ndarray],
        positions: np.ndarray | None = None,
        known: dict[int, np.ndarray] | None = None,
    ):
        """Takes images; of a selection also their positions and what is known already."""
        self.images = images
        self.positions = np.arange(len(images)) if positions is None else positions
        self.known = {} if known is None else known

    def __len__(self) -> int:
        """Number of images."""
        return len(self.positions)

    def __getitem__(self, index: Any) -> Any:
        """The image, uint8 `[H, W, C]`."""
        position = int(self.positions[index])
        if position not in self.known:
            self.known[position] = self.images[position]
        return self.known[position]

    def select(self, indices: np.ndarray) -> "RememberedImages":
        """The images at some positions, none of them read; what is known is shared."""
        return RememberedImages(self.images, self.positions[indices], self.known)


class JoinedImages(Sequence):
    """The images of several examples, one after the other, still read when they are asked for."""

    def __init__(self, parts: Sequence[Sequence[np.ndarray]]):
        """Takes the sequences."""
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        """Number of images."""
        return int(self.ends[-1])

    def __getitem__(self, index: Any) -> Any:
        """The image, uint8 `[H, W, C]`."""
        part = int(np.searchsorted(self.ends, index, side="right"))
        start = self.ends[part - 1] if part else 0
        return self.parts[part][int(index) - int(start)]
