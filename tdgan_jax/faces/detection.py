"""Finding faces and their landmarks in photographs with MTCNN.

The numbers are those that package `mtcnn` 1.0.0 gives under TensorFlow, to rounding errors; the
programs that are compiled do not depend on the size of the photograph (see `pyramid`), nor on the
number of faces in it.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from tdgan_jax.faces.boxes import best_boxes, box_sizes, make_square, move_boxes, window_boxes
from tdgan_jax.faces.mtcnn import (
    O_NET_SIZE_PX,
    R_NET_SIZE_PX,
    load_weights,
    o_net,
    p_net,
    r_net,
)
from tdgan_jax.faces.patches import cut_patches
from tdgan_jax.faces.pyramid import Layout, draw_canvases, plan_layout

MAX_PIXELS = 8_000_000
"""Larger photographs are shrunk first, which bounds time and memory."""

# Candidates are judged this many at a time, the last group filled up: one program each.
R_NET_BATCH_SIZE = 16
O_NET_BATCH_SIZE = 4

_run_p_net = jax.jit(p_net)
_run_r_net = jax.jit(r_net)
_run_o_net = jax.jit(o_net)


class Face(NamedTuple):
    """A face in a photograph.

    Attributes:
        box: Left, top, right, bottom in pixels, within the photograph.
        score: How sure the network is, 0 to 1.
        landmarks: float32 `[5, 2]`: x and y in pixels of the left eye, the right eye, the nose's
            tip, the left and the right corner of the mouth, left and right as seen in the picture.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray

    @property
    def area_px(self) -> float:
        """Area of the box in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


class Thresholds(NamedTuple):
    """Smallest scores that count as a face, by network."""

    p_net: float = 0.6
    r_net: float = 0.7
    o_net: float = 0.8


class Detector:
    """MTCNN, ready to run; all detectors of a process share the compiled programs."""

    def __init__(self, *, min_face_size_px: int = 20, thresholds: Thresholds | None = None):
        """Loads the weights that ship with the package.

        Args:
            min_face_size_px: Side of the smallest face that is looked for; 40 takes about a
                quarter of the time of 20.
            thresholds: Smallest scores of the three networks.

        Raises:
            ValueError: If the size is below that of P-Net's window, 12 pixels.
        """
        if min_face_size_px < 12:
            raise ValueError(f"min_face_size_px is {min_face_size_px}; the smallest is 12")
        self._min_face_size_px = min_face_size_px
        self._thresholds = thresholds or Thresholds()
        self._weights = _device_weights()

    def detect(self, image: np.ndarray) -> list[Face]:
        """Finds the faces in a photograph.

        One of more than `MAX_PIXELS` is searched at a half, a third, ... of its size, which makes
        the smallest face twice, three times, ... as large.

        Args:
            image: uint8 `[H, W, 3]` or gray `[H, W]`.

        Returns:
            The faces, the largest box first; none in a picture smaller than the smallest face.

        Raises:
            ValueError: If the array is of another type or shape.
        """
        is_picture = image.ndim in (2, 3) and image.shape[2:] in ((), (3,)) and image.size
        if image.dtype != np.uint8 or not is_picture:
            raise ValueError(
                f"expected uint8 [H, W, 3] or [H, W], got {image.dtype} {list(image.shape)}"
            )
        height, width = image.shape[:2]
        factor = math.ceil(math.sqrt(height * width / MAX_PIXELS))
        if factor > 1:
            image = np.asarray(Image.fromarray(image).reduce(factor))
        image = image if image.ndim == 3 else image[..., None]
        boxes = self._propose(image)
        pixels = (image.astype(np.float32) - 127.5) / 128
        boxes = self._refine(pixels, boxes)
        boxes, scores, landmarks = self._judge(pixels, boxes)
        # Whole coordinates are the middles of pixels.
        boxes, landmarks = ((array + 0.5) * factor - 0.5 for array in (boxes, landmarks))
        boxes = np.clip(boxes, 0, np.array([width, height] * 2) - 1)
        faces = [
            Face(tuple(box), score, points.astype(np.float32))
            for box, score, points in zip(boxes.tolist(), scores.tolist(), landmarks, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.area_px)

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Runs P-Net on the pyramid of `image`: the boxes that it takes for faces."""
        layout = plan_layout(*image.shape[:2], min_face_size_px=self._min_face_size_px)
        canvases = draw_canvases(image, layout)
        outputs = [
            _run_p_net(self._weights, _in_colour(canvas[None]), is_inside[None])
            for canvas, is_inside in zip(canvases, layout.is_inside, strict=True)
        ]
        maps = [(np.asarray(scores[0]), np.asarray(offsets[0])) for scores, offsets in outputs]
        boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
        for level in range(len(layout.scales)):
            level_boxes, level_scores = self._windows(layout, level, maps)
            chosen = best_boxes(level_boxes, level_scores, max_overlap=0.5)
            boxes.append(level_boxes[chosen])
            scores.append(level_scores[chosen])
        boxes, scores = np.concatenate(boxes), np.concatenate(scores)
        return make_square(boxes[best_boxes(boxes, scores, max_overlap=0.7)])

    def _windows(
        self, layout: Layout, level: int, maps: list[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of one level's windows that P-Net takes for faces."""
        boxes, scores = [], []
        for piece in (piece for piece in layout.pieces if piece.level == level):
            score, offsets = (array[piece.outputs] for array in maps[piece.canvas])
            rows, columns = np.nonzero(score > self._thresholds.p_net)
            scores.append(score[rows, columns])
            corners = np.stack([columns + piece.left // 2, rows + piece.top // 2], axis=1)
            boxes.append(window_boxes(corners, offsets[rows, columns], layout.scales[level]))
        return np.concatenate(boxes), np.concatenate(scores)

    def _refine(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Runs R-Net: the boxes that it takes for faces as well, moved."""
        scores, offsets = self._run(_run_r_net, R_NET_SIZE_PX, R_NET_BATCH_SIZE, pixels, boxes)
        is_face = scores > self._thresholds.r_net
        boxes = move_boxes(boxes, offsets)[is_face]
        return make_square(boxes[best_boxes(boxes, scores[is_face], max_overlap=0.7)])

    def _judge(
        self, pixels: np.ndarray, boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Runs O-Net: boxes `[N, 4]`, scores `[N]` and landmarks `[N, 5, 2]` of the faces."""
        scores, offsets, landmarks = self._run(
            _run_o_net, O_NET_SIZE_PX, O_NET_BATCH_SIZE, pixels, boxes
        )
        landmarks = boxes[:, None, :2] + landmarks * box_sizes(boxes)[:, None] - 1
        boxes = move_boxes(boxes, offsets)
        is_face = scores > self._thresholds.o_net
        boxes, scores, landmarks = boxes[is_face], scores[is_face], landmarks[is_face]
        chosen = best_boxes(boxes, scores, max_overlap=0.7, relative_to="smaller")
        return boxes[chosen], scores[chosen], landmarks[chosen]

    def _run(
        self,
        network: Callable[..., tuple[jax.Array, ...]],
        size_px: int,
        batch_size: int,
        pixels: np.ndarray,
        boxes: np.ndarray,
    ) -> list[np.ndarray]:
        """Shows boxes of a photograph to a network, a batch at a time."""
        outputs = []
        # Once without any boxes too: then the outputs are empty, but of the right shape.
        for start in range(0, max(1, len(boxes)), batch_size):
            patches = cut_patches(pixels, boxes[start : start + batch_size], size_px)
            batch = np.zeros((batch_size, size_px, size_px, 3), np.float32)
            batch[: len(patches)] = patches
            outputs.append(network(self._weights, batch))
        return [
            np.concatenate([np.asarray(array) for array in arrays])[: len(boxes)]
            for arrays in zip(*outputs, strict=True)
        ]


@functools.cache
def _device_weights() -> dict[str, jax.Array]:
    return jax.device_put(load_weights())


def _in_colour(pixels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))
