"""A log that a crash tore anywhere is read and gone on with, whole records only."""

import json

import pytest

from tdgan_jax.runs.folder import MetricsLog, read_metrics

RECORDS = [
    {"step": step, "epoch": step // 4, "losses": {"total": 1 / (step + 1), "é": None}}
    for step in range(20)
]
LINES = [json.dumps(record).encode() + b"\n" for record in RECORDS]
WHOLE = b"".join(LINES)


def num_whole(length, line_end=0):
    """How many records stand in the first bytes, with their lines' ends if that is 1."""
    ends = (len(b"".join(LINES[: n + 1])) for n in range(len(LINES)))
    return sum(end - 1 + line_end <= length for end in ends)


def test_the_log_is_long_enough():
    assert len(WHOLE) > 1000


@pytest.mark.parametrize("tail", [b"", b"\0" * 40], ids=["cut", "cut and filled with zeros"])
def test_torn_at_every_byte(tail, tmp_path):
    path = tmp_path / "metrics.jsonl"
    for length in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:length] + tail)
        # A line without its end goes on with the zeros.
        assert read_metrics(path) == RECORDS[: num_whole(length, line_end=bool(tail))]


def test_gone_on_with_from_many_places(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for length in range(0, len(WHOLE), 7):
        path.write_bytes(WHOLE[:length])
        kept = num_whole(length)
        log = MetricsLog(path)
        for record in RECORDS[kept:]:
            log.append(record)
        assert read_metrics(path) == RECORDS
        log.truncate_after(9)
        assert read_metrics(path) == RECORDS[:10]
