"""Sources put together at random: read, or refused in one clear line. Bounded and seeded."""

import random
import time

import pytest

from tdgan_jax.data.builders import new_builder
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import checked_name
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.printing import printable
from tests.owners_files import picture, write_tree

NAMES = (
    *("happy", "sad", "None", "label", "status", "Zoé", "Zoe\u0301", "😀", "", " ", ".", "..", "~"),
    *(
        "a b",
        "a,b",
        "a;b",
        'a"b',
        "a'b",
        "a\\b",
        "a\nb",
        "a\rb",
        "a\0b",
        "\x1b[31m",
        "\ufeff",
        "x" * 300,
    ),
    *("\u202e", "NaN", "1e999", "-1", "%s", "$HOME", "*", "[b]", "con", "\u0130", "ﬁ"),
)
PATHS = (
    *("p/0.png", "p//0.png", "./p/1.png", "p/2.png", "../s/p/2.png", "p", "p/", "/dev/zero"),
    *("/dev/null", "labels.csv", "missing.png", "p\\0.png", "p/é.png", "p/e\u0301.png"),
)
HEADERS = ("image", "expression", "identity", "subject", "Image", " image ", "file", "", "note")
NUM_CASES = 400


def table(generator):
    separator = generator.choice(",;\t| ")
    quote = generator.choice(('"', "", "", "'"))

    def line(values):
        cells = [f"{quote}{value}{quote}" for value in values]
        if generator.random() < 0.1:
            cells[0] = '"' + cells[0]  # never closed, or closed where none was opened
        return separator.join(cells)

    header = generator.sample(HEADERS, generator.randint(1, 5))
    if generator.random() < 0.7:
        header = ["image", *header]
    rows = [
        [generator.choice(PATHS), *generator.choices(NAMES, k=generator.randint(0, 4))]
        for _ in range(generator.randint(0, 6))
    ]
    end = generator.choice(("\n", "\r\n", "\r", "\n\n"))
    text = end.join(line(values) for values in (header, *rows)) + generator.choice(("", end))
    encoding = generator.choice(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"))
    content = bytearray(text.encode(encoding, "replace"))
    if content and generator.random() < 0.2:
        content[generator.randrange(len(content))] = generator.randrange(256)
    return bytes(content)


def usable_on_disk(name):
    return name not in ("", ".", "..") and not set(name) & {"\0", "/"} and len(name) < 200


def folders(generator):
    files = {}
    for name in filter(usable_on_disk, generator.sample(NAMES, 3)):
        for _ in range(generator.randint(0, 2)):
            suffix = generator.choice((".png", ".PNG", ".jfif", ".heic", ".txt", ".csv", ""))
            other = generator.choice(list(filter(usable_on_disk, NAMES)))
            files[f"{name}/{other}{suffix}"] = generator.choice((picture(1), b"", b"text"))
    return files


@pytest.mark.parametrize("part", range(4))
def test_every_source_is_read_or_refused_in_one_line(part, tmp_path):
    generator = random.Random(part)
    outcomes = {"read": 0, "refused": 0}
    for number in range(NUM_CASES // 4):
        files = {f"p/{i}.png": picture(i) for i in range(3)} | {"p/é.png": picture(4)}
        if generator.random() < 0.3:
            files = folders(generator)
        if generator.random() < 0.8:
            files["labels.csv"] = table(generator)
        source = write_tree(tmp_path / str(number) / "s", files)
        pattern = generator.choice((None, None, r"(\w+)", "(.)", "(e\u0301)?"))
        start = time.monotonic()
        try:
            source.mkdir(parents=True, exist_ok=True)
            options = {"source": str(source), "subject_pattern": pattern}
            builder = new_builder("image_folder", None, tmp_path, **options)
            with SourceTree(source) as tree:
                listed = builder.checked_listing(tree)
                list(builder.stored_images(tree, listed))
            names = [name for image in listed for name in (image.expression, image.subject) if name]
            assert all(checked_name(name, "x") == name for name in names)
            assert len({image.file for image in listed}) == len(listed)
            outcomes["read"] += 1
        except UserError as error:
            assert str(error) and printable(str(error)) == str(error)
            outcomes["refused"] += 1
        assert time.monotonic() - start < 10
    assert min(outcomes.values()) > 5, outcomes
