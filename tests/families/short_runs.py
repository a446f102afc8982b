"""Short runs of the real program: straight, stopped and resumed, and a step on other devices."""

import contextlib
from pathlib import Path

import jax
import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.families.program import Program, make_program
from tdgan_jax.processes.stopping import Interrupted
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.steps.parallel import make_mesh, replicate, shard_batch
from tdgan_jax.training import loop
from tdgan_jax.training.opening import Run, open_run


def tiny_config(file: str, directory: Path, *overrides: str):
    """The tiny variant of a configuration on a few drawn faces."""
    few = ("data.expressions.train_split=train[:20]", "data.expressions.test_split=test[:8]")
    given = (f"data.directory={directory}", *few, *overrides)
    return load_config(f"configs/{file}.py:tiny", given)


def finished_run(config, folder: Path, program: Program | None = None) -> Run:
    """A run that has been trained to its end."""
    run = open_run(config, folder, program=program)
    loop.complete_run(run, show_progress=False)
    return run


def stopped_run(straight: Run, folder: Path, *, after_steps: tuple[int, ...]) -> Run:
    """The same run, but stopped after some of its steps and resumed."""
    for step in after_steps:
        with (
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(Interrupted, match=f"step {step}"),
        ):
            patch.setattr(loop, "stop_requests", lambda step=step: _stop_at(folder, step))
            loop.complete_run(
                open_run(straight.config, folder, program=straight.program), show_progress=False
            )
        assert Checkpoints(folder / "checkpoints", read_only=True).latest_step() == step
    return finished_run(straight.config, folder, straight.program)


@contextlib.contextmanager
def _stop_at(folder: Path, step: int):
    done = Checkpoints(folder / "checkpoints", read_only=True).latest_step() or 0
    asked = iter(range(done + 1, step + 1))
    yield lambda: next(asked) == step


def last_state(run: Run):
    """The state with which a run ended, on the host."""
    template = run.program.init_state(jax.random.key(0))
    checkpoints = Checkpoints(run.workdir / "checkpoints", read_only=True)
    state, _ = checkpoints.restore_latest(replicate(template, run.mesh))
    return jax.device_get(state)


def assert_same(first, second) -> None:
    """Bit for bit."""
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_devices_agree(run: Run, updates=(), *, rtol: float) -> None:
    """A step of a run's program, of two and of four devices, leave the same state and metrics.

    Args:
        run: On one device, with an optimiser without Adam's divisions.
        updates: Of the step.
        rtol: Of the largest value of each array.
    """
    several = [
        make_program(run.config, make_mesh(jax.devices()[:count]), run.data.names)
        for count in (2, 4)
    ]
    batch = next(run.data.feed.batches(0))
    found = []
    for program in (run.program, *several):
        state = replicate(run.program.init_state(jax.random.key(3)), program.mesh)
        after = program.train_step(updates)(
            state, shard_batch(batch, program.mesh), jax.random.key(4)
        )
        found.append(jax.device_get(after))
    of_one, *of_several = found
    paths = jax.tree_util.tree_leaves_with_path(of_one)
    for other in of_several:
        for (path, a), b in zip(paths, jax.tree.leaves(other), strict=True):
            # The gradient of a bias before a batch norm is zero: what is left is rounding.
            tolerance = rtol * float(np.abs(b).max()) + 1e-4
            name = jax.tree_util.keystr(path)
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=name)
