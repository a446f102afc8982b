"""Finding faces and their landmarks in photographs with MTCNN.

The numbers are those that package `mtcnn` 1.0.0 gives under TensorFlow, to rounding errors; the
programs that are compiled do not depend on the size of the photograph (see `pyramid`), nor on the
number of faces in it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from tdgan_jax.faces.boxes import best_boxes, box_sizes, make_square, move_boxes, window_boxes
from tdgan_jax.faces.mtcnn import (
    O_NET_SIZE_PX,
    P_NET_WINDOW_PX,
    R_NET_SIZE_PX,
    load_weights,
    o_net,
    p_net,
    r_net,
)
from tdgan_jax.faces.patches import cut_patches
from tdgan_jax.faces.pyramid import Layout, draw_canvases, plan_layout
from tdgan_jax.faces.shrinking import Searched, shrink

# Canvases and candidates are judged this many at a time, the last group filled up: a program each.
P_NET_BATCH_SIZE = 8
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
        if min_face_size_px < P_NET_WINDOW_PX:
            raise ValueError(f"min_face_size_px is {min_face_size_px}; the smallest is 12")
        self._min_face_size_px = min_face_size_px
        self._thresholds = thresholds or Thresholds()
        self._weights = _device_weights()

    def detect(self, image: np.ndarray) -> list[Face]:
        """Finds the faces in a photograph, as `detect_all` in several."""
        (faces,) = self.detect_all([image])
        return faces

    def detect_all(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Finds the faces in photographs, whose candidates share the batches of the networks.

        A photograph is searched at a half, a third, ... of its size where its smallest face keeps
        pixels that the last network looks at, and where it is too large to be searched whole (see
        `shrinking`).

        Args:
            images: Each uint8 `[H, W, 3]` or gray `[H, W]`, of any size.

        Returns:
            The faces of each, the largest box first; none in a picture smaller than the smallest
            face.

        Raises:
            ValueError: If an array is of another type or shape.
        """
        searched = [shrink(image, self._min_face_size_px) for image in images]
        boxes = self._propose(searched)
        boxes = self._refine(searched, boxes)
        return [
            _in_photograph(photograph, *found)
            for photograph, found in zip(searched, self._judge(searched, boxes), strict=True)
        ]

    def _propose(self, searched: Sequence[Searched]) -> list[np.ndarray]:
        """Runs P-Net on the pyramids: the boxes that it takes for faces, of each photograph."""
        layouts = [
            plan_layout(*photograph.pixels.shape[:2], min_face_size_px=photograph.min_face_size_px)
            for photograph in searched
        ]
        canvases: dict[int, list[np.ndarray]] = {}
        insides: dict[int, list[np.ndarray]] = {}
        for photograph, layout in zip(searched, layouts, strict=True):
            drawn = draw_canvases(photograph.pixels, layout)
            canvases.setdefault(drawn.shape[1], []).extend(map(_in_colour, drawn))
            insides.setdefault(drawn.shape[1], []).extend(layout.is_inside)
        maps = {
            size: iter(self._run_in_batches(_run_p_net, p_net_batch_size(), drawn, insides[size]))
            for size, drawn in canvases.items()
        }
        found = []
        for layout in layouts:
            of_photograph = maps.get(layout.is_inside.shape[1] + 2, iter(()))
            found.append(self._boxes(layout, [next(of_photograph) for _ in layout.is_inside]))
        return found

    def _boxes(self, layout: Layout, maps: list[tuple[np.ndarray, ...]]) -> np.ndarray:
        """Boxes of a photograph in P-Net's outputs on its canvases."""
        boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
        for level in range(len(layout.scales)):
            level_boxes, level_scores = self._windows(layout, level, maps)
            chosen = best_boxes(level_boxes, level_scores, max_overlap=0.5)
            boxes.append(level_boxes[chosen])
            scores.append(level_scores[chosen])
        all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
        return make_square(all_boxes[best_boxes(all_boxes, all_scores, max_overlap=0.7)])

    def _windows(
        self, layout: Layout, level: int, maps: list[tuple[np.ndarray, ...]]
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

    def _refine(
        self, searched: Sequence[Searched], boxes: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Runs R-Net: the boxes that it takes for faces as well, moved."""
        refined = []
        outputs = self._look_at(_run_r_net, R_NET_SIZE_PX, R_NET_BATCH_SIZE, searched, boxes)
        for before, (scores, offsets) in zip(boxes, outputs, strict=True):
            is_face = scores > self._thresholds.r_net
            moved = move_boxes(before, offsets)[is_face]
            refined.append(make_square(moved[best_boxes(moved, scores[is_face], max_overlap=0.7)]))
        return refined

    def _judge(
        self, searched: Sequence[Searched], boxes: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Runs O-Net: boxes `[N, 4]`, scores `[N]` and landmarks `[N, 5, 2]` of the faces."""
        judged = []
        outputs = self._look_at(_run_o_net, O_NET_SIZE_PX, O_NET_BATCH_SIZE, searched, boxes)
        for before, (scores, offsets, places) in zip(boxes, outputs, strict=True):
            is_face = scores > self._thresholds.o_net
            landmarks = before[:, None, :2] + places * box_sizes(before)[:, None] - 1
            moved, scores = move_boxes(before, offsets)[is_face], scores[is_face]
            chosen = best_boxes(moved, scores, max_overlap=0.7, relative_to="smaller")
            judged.append((moved[chosen], scores[chosen], landmarks[is_face][chosen]))
        return judged

    def _look_at(
        self,
        network: Callable[..., tuple[jax.Array, ...]],
        size_px: int,
        batch_size: int,
        searched: Sequence[Searched],
        boxes: Sequence[np.ndarray],
    ) -> list[list[np.ndarray]]:
        """Shows the boxes of all photographs to a network; its outputs by photograph."""
        patches = [np.zeros((0, size_px, size_px, 3), np.float32)]
        for photograph, of_photograph in zip(searched, boxes, strict=True):
            patches.append(_in_colour(cut_patches(photograph.pixels, of_photograph, size_px)))
        outputs = self._run_in_batches(network, batch_size, np.concatenate(patches))
        if not outputs:
            one = jax.ShapeDtypeStruct((1, size_px, size_px, 3), np.float32)
            shapes = jax.eval_shape(network, self._weights, one)
            return [[np.zeros((0, *shape.shape[1:])) for shape in shapes]] * len(boxes)
        ends = np.cumsum([len(of_photograph) for of_photograph in boxes])[:-1]
        columns = [np.stack(column) for column in zip(*outputs, strict=True)]
        return [list(parts) for parts in zip(*(np.split(x, ends) for x in columns), strict=True)]

    def _run_in_batches(
        self, network: Callable[..., Any], batch_size: int, *rows: Sequence[np.ndarray] | np.ndarray
    ) -> list[tuple[np.ndarray, ...]]:
        """Applies a network to rows, so many at a time, the last group filled up with zeros."""
        outputs: list[tuple[np.ndarray, ...]] = []
        count = len(rows[0])
        waiting = []
        for start in range(0, count, batch_size):
            batches = []
            for column in rows:
                batch = np.zeros((batch_size, *column[0].shape), column[0].dtype)
                batch[: count - start] = column[start : start + batch_size]
                batches.append(batch)
            waiting.append(network(self._weights, *batches))
        for batch in waiting:
            outputs.extend(zip(*(np.asarray(array) for array in batch), strict=True))
        return outputs[:count]


def _in_photograph(
    photograph: Searched, boxes: np.ndarray, scores: np.ndarray, landmarks: np.ndarray
) -> list[Face]:
    """What was found, in pixels of the original photograph."""
    # Whole coordinates are the middles of pixels.
    boxes, landmarks = ((array + 0.5) * photograph.factor - 0.5 for array in (boxes, landmarks))
    height, width = photograph.size_px
    boxes = np.clip(boxes, 0, np.array([width, height] * 2) - 1)
    faces = [
        Face(tuple(box), score, points.astype(np.float32))
        for box, score, points in zip(boxes.tolist(), scores.tolist(), landmarks, strict=True)
    ]
    return sorted(faces, key=lambda face: -face.area_px)


def warm_up() -> None:
    """Loads the weights, and compiles those programs that every photograph needs."""
    weights = _device_weights()
    for network, size_px, batch_size in (
        (_run_r_net, R_NET_SIZE_PX, R_NET_BATCH_SIZE),
        (_run_o_net, O_NET_SIZE_PX, O_NET_BATCH_SIZE),
    ):
        network(weights, np.zeros((batch_size, size_px, size_px, 3), np.float32))


def p_net_batch_size() -> int:
    """How many canvases P-Net is shown at a time.

    On a CPU one: a single canvas stays in the caches, several take half as long again each.
    """
    return 1 if jax.default_backend() == "cpu" else P_NET_BATCH_SIZE


@functools.cache
def _device_weights() -> dict[str, jax.Array]:
    return jax.device_put(load_weights())


def _in_colour(pixels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))
