"""Follows faces through the frames of a video by how far their boxes overlap."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from tdgan_jax.inference.faces import Box
from tdgan_jax.inference.records import FaceRecord

T = TypeVar("T")

MIN_OVERLAP = 0.3  # of two boxes of one face, as a share of their union
MAX_FRAMES_MISSED = 10  # after which a face that comes back is another one


class _Track(NamedTuple):
    number: int
    box: Box
    missed: int = 0


class Tracks:
    """The faces that are being followed; memory does not grow with the length of the video."""

    def __init__(self) -> None:
        """Begins without a face."""
        self._video: object = None
        self._tracks: list[_Track] = []
        self._next_number = 0

    def follow(self, video: object, records: list[FaceRecord]) -> list[FaceRecord]:
        """Takes the next frame that was looked at.

        Args:
            video: What stands for the video; another object, also an equal one, begins anew.
            records: Those of the frame.

        Returns:
            The records with their tracks. Of all pairs of a face and a face of before, the one
            that overlaps most is matched first; a face without a partner begins a track.
        """
        if video is not self._video:
            self._video, self._tracks, self._next_number = video, [], 0
        numbers = self._matched(records)
        followed = []
        for place, record in enumerate(records):
            if record.box is None:
                followed.append(record)
                continue
            if place not in numbers:
                numbers[place] = self._next_number
                self._next_number += 1
            followed.append(record._replace(track=numbers[place]))
        seen = [
            _Track(record.track, record.box)
            for record in followed
            if record.track is not None and record.box is not None
        ]
        missed = [
            track._replace(missed=track.missed + 1)
            for track in self._tracks
            if track.number not in numbers.values() and track.missed < MAX_FRAMES_MISSED
        ]
        self._tracks = seen + missed
        return followed

    def _matched(self, records: list[FaceRecord]) -> dict[int, int]:
        """Place of a record to the number of its track, for those that go on."""
        pairs = sorted(
            (
                (overlap(record.box, track.box), place, track.number)
                for place, record in enumerate(records)
                if record.box is not None
                for track in self._tracks
            ),
            key=lambda pair: -pair[0],
        )
        numbers: dict[int, int] = {}
        for share, place, number in pairs:
            if share >= MIN_OVERLAP and place not in numbers and number not in numbers.values():
                numbers[place] = number
        return numbers


def overlap(box: Box, other: Box) -> float:
    """Area that two boxes have in common, as a share of what they cover together."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    return common / max(_area(box) + _area(other) - common, 1e-9)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def longest_tracks(tracks: Mapping[int, list[T]], most: int) -> dict[int, list[T]]:
    """The tracks that last longest, in the order of their numbers.

    Args:
        tracks: Number of a track to its moments.
        most: How many stay; of equally long ones those with the lowest numbers.
    """
    longest = sorted(tracks, key=lambda track: (-len(tracks[track]), track))[:most]
    return {track: tracks[track] for track in sorted(longest)}
