from pathlib import Path

from tdgan_jax.inference.records import FaceRecord
from tdgan_jax.inference.tracks import MAX_FRAMES_MISSED, Tracks, overlap

CLIP = Path("clip.mp4")


def face(left, top=0.0, side=10.0):
    return FaceRecord(box=(left, top, left + side, top + side), status="ok")


def tracks_of(frames, tracks=None, video=CLIP):
    tracks = tracks or Tracks()
    return [[record.track for record in tracks.follow(video, frame)] for frame in frames]


def test_boxes_overlap_by_the_share_of_their_union():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == 50 / 150
    assert overlap((0, 0, 10, 10), (10, 10, 20, 20)) == 0
    assert overlap((3, 3, 3, 3), (3, 3, 3, 3)) == 0


def test_faces_keep_their_number_while_they_move_and_change_places():
    frames = [[face(2 * t), face(40 - 2 * t, top=30)] for t in range(20)]
    frames[7].reverse()  # the second has become the larger one
    assert tracks_of(frames) == [[1, 0] if t == 7 else [0, 1] for t in range(20)]


def test_the_nearer_of_two_faces_goes_on():
    assert tracks_of([[face(0)], [face(4), face(1)]]) == [[0], [1, 0]]


def test_a_face_may_be_missed_for_some_frames():
    empty = [FaceRecord()]
    for missed, number in ((MAX_FRAMES_MISSED, 0), (MAX_FRAMES_MISSED + 1, 1)):
        found = tracks_of([[face(0)], *[empty] * missed, [face(1)]])
        assert found == [[0], *[[None]] * missed, [number]]


def test_another_place_and_another_video_begin_anew():
    tracks = Tracks()
    assert tracks_of([[face(0)], [face(50)]], tracks) == [[0], [1]]
    assert tracks_of([[face(50)]], tracks, video=Path("other.mp4")) == [[0]]


def test_memory_does_not_grow():
    tracks = Tracks()
    tracks_of([[face(100 * t)] for t in range(1000)], tracks)
    assert len(tracks._tracks) <= MAX_FRAMES_MISSED + 2
