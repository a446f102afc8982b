"""Checkpoints of a run: the only file that knows Orbax.

`checkpoints/latest` holds the whole state of training with the run's progress;
`checkpoints/best_<selection>` the parameters alone of the epoch that a selection chose. A save is
complete or absent: Orbax writes under a temporary name and renames, and the previous checkpoint is
deleted only after that.
"""

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.errors import JaxRuntimeError

from tdgan_jax.errors import UserError
from tdgan_jax.processes.membership import several

LATEST = "latest"
KEPT = 1  # checkpoints of each kind
IS_QUIETER = "is_quieter"

Tree = Any


def check_place(workdir: Path) -> None:
    r"""Refuses a folder in which Orbax loses what it saves.

    Orbax searches below the path for the parts of an array and reads `[` and `\` in it as a
    pattern, which the folder itself does not match.

    Raises:
        UserError: Names the folder and the character.
    """
    if found := [character for character in "[\\" if character in str(workdir.absolute())]:
        raise UserError(
            f"checkpoints cannot be saved in {workdir.absolute()}: its name has {found[0]}; "
            "give a --workdir without it"
        )


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: Path, *, read_only: bool = False):
        """Opens a folder, made when something is saved.

        Args:
            folder: The folder of a run's checkpoints.
            read_only: Leaves everything as it is; otherwise unfinished saves are removed.
        """
        # Orbax reports every save and restore at level INFO or WARNING.
        logging.getLogger("absl").setLevel(logging.ERROR)
        self._folder = folder.absolute()
        self._read_only = read_only
        self._managers: dict[str, ocp.CheckpointManager] = {}

    def _manager(self, name: str) -> ocp.CheckpointManager:
        if name not in self._managers:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=None if self._read_only else KEPT,
                enable_async_checkpointing=False,
                cleanup_tmp_directories=not self._read_only,
                read_only=self._read_only,
            )
            self._managers[name] = ocp.CheckpointManager(self._folder / name, options=options)
        return self._managers[name]

    def _save(self, name: str, step: int, tree: Tree, progress: dict[str, Any]) -> None:
        manager = self._manager(name)
        try:
            if step in manager.all_steps():
                return  # saved before a kill; the same position gives the same parameters
            with _interrupted_afterwards():
                manager.save(
                    step,
                    args=ocp.args.Composite(
                        tree=ocp.args.StandardSave(tree), progress=ocp.args.JsonSave(progress)
                    ),
                    force=True,
                )
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot save the checkpoint of step {step} in {self._folder / name}: "
                f"{str(error).splitlines()[0]}; the previous checkpoint is intact"
            ) from error
        if not (self._folder / name / str(step) / "tree" / "manifest.ocdbt").is_file():
            raise UserError(
                f"the checkpoint of step {step} in {self._folder / name} is incomplete: its "
                "manifest is missing"
            )

    def _restore(self, name: str, **items: Any) -> Any:
        hook, sys.unraisablehook = sys.unraisablehook, _without_late_reads(sys.unraisablehook)
        try:
            manager = self._manager(name)
            restored = manager.restore(manager.latest_step(), args=ocp.args.Composite(**items))
            sys.unraisablehook = hook
            return restored
        except Exception as error:  # Orbax raises almost anything on damaged files.
            if several() and isinstance(error, JaxRuntimeError):
                raise  # another process is lost
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            reason = reason.partition(" See full TensorStore details")[0]
            raise UserError(
                f"the checkpoint in {self._folder.parent} cannot be read: {name}: {reason[:200]}"
            ) from error

    def _tree(self, name: str, template: Tree) -> Tree:
        return self._restore(name, tree=ocp.args.StandardRestore(template))["tree"]

    def _progress(self, name: str) -> dict[str, Any]:
        return self._restore(name, progress=ocp.args.JsonRestore())["progress"]

    def latest_step(self) -> int | None:
        """Step of the latest whole state; None in a new run."""
        if not (self._folder / LATEST).is_dir():
            return None
        return self._manager(LATEST).latest_step()

    def save_latest(self, step: int, state: Tree, progress: dict[str, Any]) -> None:
        """Saves the whole state and replaces the previous one.

        Raises:
            UserError: If the disk refuses; the previous checkpoint is intact.
        """
        self._save(LATEST, step, state, progress)

    def restore_latest(self, template: Tree) -> tuple[Tree, dict[str, Any]]:
        """Reads the latest state, with the structure and placement of a template.

        Args:
            template: A state of the same structure, arrays or shape structs with sharding.

        Returns:
            The state and the progress that was saved with it.

        Raises:
            UserError: If the checkpoint is damaged or of another structure.
        """
        return self._tree(LATEST, template), self._progress(LATEST)

    def latest_progress(self) -> dict[str, Any]:
        """Reads what was saved beside the latest state.

        Raises:
            UserError: If the checkpoint is damaged.
        """
        return self._progress(LATEST)

    def drop_latest(self) -> None:
        """Removes the whole state of a finished run; the best parameters stay.

        Raises:
            UserError: If the disk refuses.
        """
        self._drop(LATEST)

    def _drop(self, name: str) -> None:
        if name in self._managers:
            self._managers.pop(name).close()
        try:
            if (self._folder / name).exists():
                shutil.rmtree(self._folder / name)
        except OSError as error:
            raise UserError(f"cannot remove {self._folder / name}: {error.strerror}") from error

    def save_best(
        self, selection: str, step: int, parameters: Tree, progress: dict[str, Any]
    ) -> None:
        """Saves the parameters that a selection prefers to all before.

        Raises:
            UserError: If the disk refuses; the previous checkpoint is intact.
        """
        self._save(f"best_{selection}", step, parameters, progress)

    def drop_best(self, selection: str) -> None:
        """Removes what a selection chose, if there is anything.

        Raises:
            UserError: If the disk refuses.
        """
        self._drop(f"best_{selection}")

    def restore_best(self, selection: str, template: Tree) -> Tree:
        """Reads the parameters that a selection chose.

        Raises:
            UserError: If that selection has chosen nothing yet, or the checkpoint is damaged.
        """
        self._check_chosen(selection)
        return self._tree(f"best_{selection}", template)

    def best_progress(self, selection: str) -> dict[str, Any]:
        """Reads what was saved beside the parameters that a selection chose.

        Raises:
            UserError: If that selection has chosen nothing yet, or the checkpoint is damaged.
        """
        self._check_chosen(selection)
        return self._progress(f"best_{selection}")

    def has_best(self, selection: str) -> bool:
        """Whether parameters that a selection has chosen are stored."""
        name = f"best_{selection}"
        return (self._folder / name).is_dir() and self._manager(name).latest_step() is not None

    def _check_chosen(self, selection: str) -> None:
        if not self.has_best(selection):
            raise UserError(
                f"{self._folder.parent} holds no checkpoint chosen on {selection!r} yet; "
                "its first epoch is not finished"
            )


@contextlib.contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Delays Ctrl-C to the end of a save, whose threads would go on alone and print a traceback."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    received: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda *given: received.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if received:
        handler(*received[0])


def _without_late_reads(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Keeps threads of TensorStore from printing tracebacks once a restore has failed.

    Reads that end after the first failure find Orbax's event loop closed; the failure is said.
    """
    if hasattr(hook, IS_QUIETER):
        return hook

    def quieter_hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    setattr(quieter_hook, IS_QUIETER, True)
    return quieter_hook


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, in which others may write; 0 if there is none."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # replaced meanwhile
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def state_bytes(tree: Tree) -> int:
    """Bytes of all arrays of a tree, which is about the size of its checkpoint."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
