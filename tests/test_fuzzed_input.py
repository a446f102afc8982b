"""What a user may type or damage, put together at random: answered, or refused in one line.

Configurations through the program's own command line, and the small files of runs and exports.
Bounded and seeded. Sources of datasets are in `preparation/test_fuzzed_sources.py`.
"""

import json
import random
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from tdgan_jax.cli.main import main
from tdgan_jax.configuration import flatten, load_config
from tdgan_jax.files import write_json
from tdgan_jax.printing import printable
from tdgan_jax.runs.folder import environment
from tests.owners_files import picture

pytestmark = pytest.mark.usefixtures("four_devices")
CONFIGS = sorted(
    path.stem for path in (Path(__file__).parents[1] / "configs").glob("*_synthetic.py")
)
VALUES = (
    *("", "0", "-1", "1", "0.5", "2", "1e9", "-1e9", "1e999", "NaN", "-Infinity", "9" * 400),
    *("true", "null", "x", "../../x", "a/b", "\0", "\x1b[31m", "e\u0301", "💩", "[]", "[1, 2]"),
    *('["a"]', "{}", '{"a": 1}', "[" * 5000, '"', "[0]", "[NaN]", "[-1, 1e9]", " ", "x" * 5000),
)
LIMIT_S = 10


class Accepted(Exception):
    """The values have passed every check; training would begin."""


@pytest.fixture
def no_training(monkeypatch):
    def accept(*_, **__):
        raise Accepted

    monkeypatch.setattr("tdgan_jax.training.loop.train", accept)
    monkeypatch.setattr("tdgan_jax.training.cross_validation.cross_validate", accept)
    monkeypatch.setattr("tdgan_jax.preparation.preparing.ensure_drawn_datasets", lambda *_, **__: 0)


def refused_in_one_line(arguments, capfd) -> bool:
    """Whether a command was refused; if so in one printable line, soon, and with its code."""
    start = time.monotonic()
    try:
        code = main(arguments)
    except Accepted:
        return False
    assert time.monotonic() - start < LIMIT_S, arguments
    said = capfd.readouterr().err
    if code:
        assert code in (1, 2), arguments
        assert said.startswith("tdgan-jax: ") and "Traceback" not in said, arguments
        assert all(line == printable(line) for line in said.splitlines())
    return bool(code)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_override_is_taken_or_refused_in_one_line(
    name, no_training, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    generator = random.Random(name)
    outcomes = {True: 0, False: 0}
    for field in flatten(load_config(f"{name}:tiny")):
        for value in generator.sample(VALUES, 8):
            arguments = ["train", "--config", f"{name}:tiny", f"--config.{field}={value}"]
            outcomes[refused_in_one_line(arguments, capfd)] += 1
        assert not list(tmp_path.iterdir()), field
    assert min(outcomes.values()) > 20, outcomes


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A run and an export of the plain classifier and of TDGAN."""
    folder = tmp_path_factory.mktemp("stored")
    for archive in (Path(__file__).parent / "stored").glob("*.zip"):
        with zipfile.ZipFile(archive) as files:
            files.extractall(folder / archive.name.partition("_")[0])
    for run in folder.glob("*/run"):
        write_json(run / "environment.json", environment(["TFRT_CPU_0"]))
    return folder


def places(value, place=()):
    """Where the parts of a JSON value are."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in items:
        yield (*place, key)
        if isinstance(part, dict | list):
            yield from places(part, (*place, key))


def damaged(content: str, generator: random.Random) -> bytes:
    """The file with one part replaced or removed, or bytes changed."""
    if generator.random() < 0.2:
        raw = bytearray(content.encode())
        cut = generator.randrange(len(raw))
        return bytes(raw[:cut]) + generator.choice((b"", b"\xff", b"\0", b"[" * 9999, b",,"))
    value = json.loads(content)
    *place, last = generator.choice(list(places(value)))
    holder = value
    for part in place:
        holder = holder[part]
    kinds = (
        None,
        True,
        -1,
        0,
        10**400,
        1.5,
        "",
        "x",
        "\x1b",
        [],
        {},
        [[]],
        {"a": []},
        3000 * ["a"],
    )
    if generator.random() < 0.25:
        del holder[last]
    else:
        holder[last] = generator.choice(kinds)
    return json.dumps(value).encode()


@pytest.mark.parametrize("file", ["config.json", "environment.json", "result.json"])
def test_a_damaged_file_of_a_run_is_named(file, stored, tmp_path, no_training, capfd):
    generator = random.Random(file)
    refused = 0
    for number in range(25):
        family = generator.choice(("tdgan", "classifier", "ifgan"))
        run = tmp_path / str(number)
        shutil.copytree(stored / family / "run", run)
        (run / file).write_bytes(damaged((run / file).read_text(), generator))
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        out = tmp_path / f"{number}.html"
        if refused_in_one_line(["report", str(run), "--out", str(out)], capfd):
            refused += 1
            assert not out.exists()
        after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        assert after == before
    assert refused > 1


def test_a_damaged_description_is_named(stored, tmp_path, capfd):
    generator = random.Random(0)
    face = tmp_path / "face.png"
    face.write_bytes(picture(0))
    outcomes = {True: 0, False: 0}
    for number in range(25):
        export = tmp_path / str(number)
        shutil.copytree(stored / "tdgan" / "export", export)
        model = export / "model.json"
        model.write_bytes(damaged(model.read_text(), generator))
        out = tmp_path / f"{number}.csv"
        arguments = ["predict", str(face), "--model", str(export), "--detect", "none"]
        is_refused = refused_in_one_line([*arguments, "--out", str(out)], capfd)
        outcomes[is_refused] += 1
        assert out.exists() != is_refused
    assert min(outcomes.values()) > 2, outcomes
