"""What the documentation shows is true: commands parse, names exist, links lead somewhere."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tdgan_jax.cli.main import build_parser
from tdgan_jax.cli.train import overrides_from
from tdgan_jax.configuration import load_config
from tdgan_jax.data.builders import new_builder
from tdgan_jax.training.checks import check_values

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("data_builders/*/README.md")]
    + [ROOT / "benchmarks" / "README.md"]
)
PROGRAM = re.compile(r"(^|[ /])(tdgan-jax|(python\S*|-m) (launch\.py|tdgan_jax))($| )")
SCRIPT = re.compile(r"python (?:-m )?(benchmarks[./]\w+)(?:\.py)?(.*)")
FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
END_OF_COMMAND = {"&", "&&", "|", "||", ">", "2>", "<", ";", "done", "#"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands_of(page: Path) -> Iterator[str]:
    """Lines of code blocks, with what a backslash continues, and code in sentences."""
    text = page.read_text()
    blocks = [block for _, language, block in FENCE.findall(text) if language in ("", "bash")]
    indented = re.findall(r"(?:^ {4}.*\n)+", FENCE.sub("", text), re.MULTILINE)
    for block in (*blocks, *indented):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines())
    yield from (" ".join(one.split()) for one in re.findall(r"`([^`]+)`", FENCE.sub("", text)))


def arguments_of(command: str) -> Iterator[list[str]]:
    """Arguments of each call of the program in a line of a shell."""
    command = re.sub(r"\$\{?\w+_COUNT\}?", "1", command)
    words = shlex.split(re.sub(r"\$\{?\w+\}?", "0", command), comments=True)
    for place, word in enumerate(words):
        if " " in word and PROGRAM.search(word):
            yield from arguments_of(word)
        is_module = word == "tdgan_jax" and words[place - 1] == "-m"
        if word.endswith(("launch.py", "tdgan-jax")) or is_module:
            arguments = ["train"] if word.endswith("launch.py") else []
            for argument in words[place + 1 :]:
                if argument in END_OF_COMMAND:
                    break
                arguments.append(argument.rstrip(";"))
            yield arguments


SHOWN = {
    (name_of(page), tuple(arguments))
    for page in PAGES
    for command in commands_of(page)
    if PROGRAM.search(command)
    for arguments in arguments_of(command)
    # The name of the program, or of one of its commands, in a sentence; or one that is cut short.
    if len(arguments) > 1 and "..." not in arguments
}
SCRIPTS = {
    (name_of(page), *found.groups())
    for page in PAGES
    for command in commands_of(page)
    for found in SCRIPT.finditer(command)
}


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_commands_are_found():
    pages = {page for page, _ in SHOWN}
    assert {"README.md", "docs/training.md", "docs/clusters.md", "docs/results.md"} <= pages
    assert len(SHOWN) > 100 and len(SCRIPTS) > 10


@pytest.mark.parametrize("page", sorted({page for page, _ in SHOWN}))
def test_every_command_is_one_that_the_program_takes(page, tmp_path, capsys):
    parser = build_parser()
    for _, arguments in sorted(one for one in SHOWN if one[0] == page):
        if arguments == ("--version",):
            continue
        try:
            args, unknown = parser.parse_known_args(arguments)
        except SystemExit:
            pytest.fail(f"{' '.join(arguments)}: {capsys.readouterr().err}")
        if getattr(args, "takes_overrides", False):
            check_values(load_config(args.config, overrides_from(unknown)))
            continue
        assert not unknown, arguments
        # NAME and DATASET stand for any.
        if (dataset := getattr(args, "dataset", None)) and not dataset.isupper():
            name, _, config = dataset.partition("/")
            new_builder(name, getattr(args, "config", None) or config or None, tmp_path)


@pytest.mark.parametrize("page, script, rest", sorted(SCRIPTS))
def test_every_script_exists_and_has_the_flags(page, script, rest):
    path = ROOT / f"{script.replace('.', '/').removesuffix('/py')}.py"
    assert path.is_file(), (page, script)
    shared = path.parent / "measuring.py"
    known = path.read_text() + shared.read_text() + (ROOT / "tdgan_jax/cli/train.py").read_text()
    for flag in re.findall(r"(?<!\S)--[\w-]+(?=[ =]|$)", rest):
        assert f'"{flag}"' in known, (page, script, flag)


def anchors_of(page: Path) -> set[str]:
    """Of headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_compiles_and_imports_what_exists(page):
    blocks = [block for _, language, block in FENCE.findall(page.read_text())]
    languages = [language for _, language, _ in FENCE.findall(page.read_text())]
    for language, block in zip(languages, blocks, strict=True):
        if language != "python" or block.startswith("case "):
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("tdgan_jax"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), node.module
