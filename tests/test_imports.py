"""Imports run one way through the rooms of the package."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tdgan_jax"
# A room may import from itself, from the leaves, and from the rooms named here.
LEAVES = {"errors", "expressions", "configuration", "run_folder", "folder_lock", "machine"}
ALLOWED = {
    "processes": set(),
    "models": set(),
    "losses": set(),
    "faces": set(),
    "data": {"faces", "processes"},
    "checkpoints": {"processes"},
    "torch_weights": {"models"},
    "steps": {"models", "losses", "torch_weights", "processes"},
    "evaluation": {"steps", "models", "losses", "data", "checkpoints"},
    "visualisation": {"evaluation"},
    "run_checks": {"steps", "models", "data", "processes"},
    "run_place": {"processes"},
    "step_records": {"steps", "processes"},
    "first_weights": {"evaluation"},
    "run_opening": {
        "processes",
        "run_place",
        "first_weights",
        "run_checks",
        "steps",
        "visualisation",
        "data",
        "checkpoints",
    },
    "train": {
        "processes",
        "run_place",
        "run_opening",
        "first_weights",
        "run_checks",
        "step_records",
        "steps",
        "evaluation",
        "visualisation",
        "data",
        "checkpoints",
    },
    "concurrent_folds": {"processes", "run_place", "run_opening", "steps", "data"},
    "cross_validation": {
        "processes",
        "concurrent_folds",
        "run_opening",
        "train",
        "run_checks",
        "steps",
        "evaluation",
        "visualisation",
        "data",
        "checkpoints",
    },
    "trained_models": {"steps", "models", "data", "checkpoints", "torch_weights"},
    "api": {"trained_models"},
    "inference": {"api", "data", "faces", "visualisation"},
    "cli": {
        "processes",
        "steps",
        "cross_validation",
        "train",
        "run_checks",
        "inference",
        "api",
        "trained_models",
        "evaluation",
        "visualisation",
        "data",
        "faces",
    },
}


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("tdgan_jax.")}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_from_below(room):
    files = [path for path in PACKAGE.rglob("*.py") if room_of(path) == room]
    assert files
    for path in files:
        beyond = imported_rooms(path) - ALLOWED[room] - LEAVES - {room}
        assert not beyond, f"{path.relative_to(PACKAGE)} imports {beyond}"


def test_every_room_is_known():
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")}
    assert rooms == ALLOWED.keys() | LEAVES | {"__init__", "__main__"}


def test_leaves_import_only_leaves():
    for leaf in LEAVES:
        assert imported_rooms(PACKAGE / f"{leaf}.py") <= LEAVES
