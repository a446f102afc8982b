"""Where a run stands in its process: on which devices, alone or beside others."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from jax.sharding import Mesh

from tdgan_jax.processes.stopping import stop_requests


class Place(NamedTuple):
    """What a run has of its process.

    Attributes:
        mesh: The devices that it trains on.
        devices_at_once: Devices of this process that compute at once, those of other runs too.
        name: What its lines and its progress bar begin with; empty for a run that is alone.
        bar_row: Row of its progress bar, from 0; None for a run that is alone.
        stop_requests: Gives what says after each step whether to stop, as the function of
            `processes.stopping`, which only the main thread can call.
    """

    mesh: Mesh
    devices_at_once: int
    name: str = ""
    bar_row: int | None = None
    stop_requests: Callable[[], AbstractContextManager[Callable[[], bool]]] = stop_requests


def alone_on(mesh: Mesh) -> Place:
    """The place of a run that has its process to itself."""
    return Place(mesh, devices_at_once=len(mesh.local_devices))
