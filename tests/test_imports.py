"""Imports run one way through the rooms of the package, without circles anywhere."""

import ast
from pathlib import Path

import pytest

from tdgan_jax.families.known import NAMES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tdgan_jax"
# A room imports from itself and from those above it in this list.
ROOMS = (
    "errors",
    "printing",
    "machine",
    "expressions",
    "configuration",
    "files",
    "losses",
    "networks",
    "processes",
    "faces",
    "data",
    "torch_weights",
    "steps",
    "families",
    "runs",
    "preparation",
    "exchange",
    "evaluation",
    "probing",
    "reports",
    "training",
    "inference",
    "api",
    "demo",
    "cli",
)
# What the folders beside the package, which the wheel holds inside it, may import from it.
OF_CONFIGS = {"configuration", "errors", "families"}
OF_BUILDERS = {
    *("data", "data_builders", "errors", "expressions", "machine", "preparation", "printing")
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py")}
BESIDE = {
    module_of(path): path
    for room in ("configs", "data_builders")
    for path in ROOT.glob(f"{room}/**/*.py")
}


def room_of(module: str) -> str:
    return (module.split(".") + ["__init__"])[1]


def imported(path: Path, *, types_too: bool = True) -> set[str]:
    """Modules of the package that a file imports, inside functions too."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in for_types and not types_too:
            continue
        if isinstance(node, ast.ImportFrom) and not node.level:
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("tdgan_jax.")}


def test_every_room_is_known():
    rooms = {room_of(module) for module in MODULES}
    assert rooms == {*ROOMS, "__init__", "__main__", "data_builders"}
    named = {path.name for path in PACKAGE.iterdir() if path.is_dir()} & set(ROOMS)
    assert all(len(list((PACKAGE / room).glob("*.py"))) > 2 for room in named)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_above(room):
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for module, path in MODULES.items():
        if room_of(module) == room:
            beyond = {room_of(name) for name in imported(path, types_too=False)} - {*allowed}
            assert not beyond - {"__init__"}, f"{module} imports {beyond}"


def test_configurations_and_builders_import_little():
    for module, path in BESIDE.items():
        if path.name.endswith("_test.py"):
            continue
        allowed = OF_CONFIGS if module.startswith("configs") else OF_BUILDERS
        assert {room_of(name) for name in imported(path)} <= allowed, module
        others = {line for line in path.read_text().splitlines() if "import configs" in line}
        assert not others


def test_there_are_no_circles_of_modules():
    edges = {
        module: {name for name in imported(path, types_too=False) if name in MODULES}
        for module, path in MODULES.items()
        if path.name != "__init__.py"
    }
    left = {module: names & edges.keys() - {module} for module, names in edges.items()}
    while free := [module for module, names in left.items() if not names]:
        for module in free:
            del left[module]
        left = {module: names - {*free} for module, names in left.items()}
    assert not left, f"circles among {sorted(left)}"


def test_no_system_imports_another_and_what_they_share_knows_none():
    for module, path in MODULES.items():
        parts = [*module.split("."), ""]
        if parts[1] != "families" or module == "tdgan_jax.families.known":
            continue
        own = parts[2] if len(parts) > 2 and parts[2] in NAMES else None
        seen = {name.split(".")[2] for name in imported(path) if name.count(".") > 1}
        assert (seen & {*NAMES}) <= {own}, module


def test_only_one_file_knows_the_names_of_the_systems():
    # "classifier" is a network of IF-GAN and a recogniser too.
    inside = {name for name in NAMES if name != "classifier"}
    for module, path in MODULES.items():
        if module == "tdgan_jax.families.known":
            continue
        # Emotion-GCN is one of three models of its system: a folder may say its own name.
        names = inside - {*module.split(".")} if room_of(module) == "families" else {*NAMES}
        literals = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not literals & names, f"{module} names {literals & names}"


def test_nobody_asks_for_a_class_of_a_system():
    for module, path in MODULES.items():
        if room_of(module) != "families":
            named = [name for name in imported(path) if name.startswith("tdgan_jax.families.")]
            assert not {name.split(".")[2] for name in named} & {*NAMES}, module
