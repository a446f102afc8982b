"""Whatever is read passes `tdgan_jax.files`: plain files, of bounded size."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
OPENING = {"read_bytes", "read_text", "is_zipfile"}
OPENERS = {"ZipFile", "load", "safe_open"}  # of zipfile, numpy, torch, safetensors
# Who may open otherwise, and why.
EXCEPTIONS = {
    "tdgan_jax/configuration.py": "program files of the package and of the user",
    "tdgan_jax/faces/mtcnn.py": "a file of the package",
    "tdgan_jax/faces/weights/convert.py": "a program of its own",
    "tdgan_jax/printing.py": "the device that swallows everything",
    "tdgan_jax/reports/page.py": "a file of the package",
    "tdgan_jax/inference/unfinished.py": "rows to resume: no link is followed",
    "tdgan_jax/preparation/zip_source.py": "a zip file that files.open_file has opened",
    "tdgan_jax/torch_weights/state_files.py": "behind check_weights_file",
    "tdgan_jax/torch_weights/skipping.py": "behind check_weights_file",
    "tdgan_jax/torch_weights/array_files.py": "behind is_file",
    "tdgan_jax/torch_weights/tdgan_torch.py": "goes into exports, which stand alone",
}


def readings(path):
    """Calls that open a file for reading, but those of `files`."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if isinstance(node.func, ast.Name) and node.func.id == "open":
            mode = node.args[1] if len(node.args) > 1 else None
            if not (isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax")):
                yield node.lineno, "open"
        elif name in OPENING:
            yield node.lineno, name
        elif name in OPENERS and isinstance(node.func, ast.Attribute):
            if ast.unparse(node.func.value) in ("zipfile", "np", "numpy", "torch", "safetensors"):
                # Of something that is open already.
                given = ast.unparse(node.args[0])
                if given not in ("file", "content") and not given.startswith("io.BytesIO("):
                    yield node.lineno, name


FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ("tdgan_jax", "data_builders")
    for path in (ROOT / room).rglob("*.py")
    if not path.name.endswith("_test.py")
)


def test_files_are_opened_in_one_place():
    # Twins go into exports, which stand alone.
    checked = [name for name in FILES if name not in EXCEPTIONS and not name.endswith("twin.py")]
    assert len(checked) > 200
    assert not {name: list(readings(ROOT / name)) for name in checked if any(readings(ROOT / name))}


def test_exceptions_are_needed():
    assert not [name for name in EXCEPTIONS if not any(readings(ROOT / name))]
