import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import basic_name, class_name
from tdgan_jax.preparation.label_table import find_label_table, read_label_table
from tdgan_jax.preparation.source_tree import SourceTree
from tests.owners_files import write_tree


@pytest.fixture
def tree(tmp_path):
    def write(files):
        return SourceTree(write_tree(tmp_path / "s", files))

    return write


def test_rows_become_images_and_contempt_is_left_out(tree):
    source = tree(
        {
            "set/labels.csv": "subject, image, expression ,note\n"
            "Zoë, ./pics/a b.png , Happy,x\n"
            "p2,pics\\c.png,contempt,\n"
            "p2,pics\\d.png,,\n",
            "set/pics/a b.png": b"x",
        }
    )
    table = find_label_table(source)
    assert table == "set/labels.csv"
    first, second = read_label_table(source, table, basic_name)
    assert first.file == "pics/a b.png" and first.name == "set/pics/a b.png"
    assert (first.expression, first.subject, first.identity) == ("happiness", "Zoë", "Zoë")
    assert (second.file, second.expression, second.subject) == ("pics/d.png", None, "p2")


def test_a_table_beside_the_images_is_never_left_aside(tree):
    source = tree({"ages.csv": "name,age\n", "a/1.png": b"x"})
    with pytest.raises(UserError, match=r"^ages\.csv has no column image .*is name, age; or"):
        find_label_table(source)
    source = tree({"s2/README.md": "x", "s2/t/latin.csv": b"\xe9,image\n", "s2/t/a/1.png": b"x"})
    with pytest.raises(UserError, match=r"t/latin\.csv is not a csv file in UTF-8 .*save it"):
        find_label_table(SourceTree(source.path / "s2"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,expression\na.png,anger", "lacks the column subject in its first line"),
        ("image,expression,subject\na.png,anger,", "line 2: the column subject is empty"),
        ("image,expression,subject\na.png,cross,p", "line 2: unknown expression 'cross'; known"),
        ("image,expression,subject\na.png", "line 2: the column expression is empty"),
    ],
)
def test_tables_that_are_refused(text, message, tree):
    source = tree({"labels.csv": text})
    with pytest.raises(UserError, match=message):
        read_label_table(source, "labels.csv", basic_name, required=("expression", "subject"))


ROWS = [("image", "expression", "subject"), ("p/é,1.png", "happy", "Ann"), ("p/2.png", "sad", "Bo")]


def lines(separator, quote='"', end="\n"):
    return end.join(separator.join(f"{quote}{v}{quote}" for v in row) for row in ROWS) + end


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_way_in_which_programs_write_a_table(separator, encoding, tree):
    padded = f"Ann{chr(34)}{separator}{separator}"  # as spreadsheets do with empty cells
    for text in (
        lines(separator),
        lines(separator, end="\r\n"),
        lines(separator, end="\r"),
        f"sep={separator}\r\n" + lines(separator, end="\r\n"),
        "\n\n" + lines(separator),
        lines(separator).replace("image", " Image "),
        lines(separator).replace('Ann"', padded),
        lines(separator, quote="").replace("p/é,1.png", '"p/é,1.png"'),
    ):
        source = tree({"labels.csv": text.encode(encoding)})
        table = find_label_table(source)
        assert table == "labels.csv"
        listed = read_label_table(source, table, basic_name, required=("expression", "subject"))
        found = [(image.file, image.expression, image.subject) for image in listed]
        assert found == [("p/é,1.png", "happiness", "Ann"), ("p/2.png", "sadness", "Bo")]


def test_a_table_below_a_file_at_the_top_and_beside_its_images_is_found(tree):
    source = tree(
        {"README": "x", "set/labels.tsv": "image\texpression\n../a.png\tsad\n", "a.png": ""}
    )
    table = find_label_table(source)
    assert table == "set/labels.tsv"
    (image,) = read_label_table(source, table, basic_name)
    assert image.name == "a.png"


def test_a_text_is_a_table_only_if_it_looks_like_one(tree):
    source = tree({"labels.txt": "image\texpression\na.png\tsad\n", "a.png": b"x"})
    assert find_label_table(source) == "labels.txt"
    for text in ("Read me, please.\n", "", b"\xff\0\1", '"unclosed', "image of a face\n"):
        assert find_label_table(tree({"labels.txt": text})) is None
    with pytest.raises(UserError, match="two tables, labels.csv and labels.txt"):
        find_label_table(tree({"labels.txt": "image\n", "labels.csv": "image\n"}))


LONG = "x" * 5000
REFUSED = {
    "unclosed quote": ('a.png,"happy,S0\nb.png,sad,S1', "line 2: a quote is not closed"),
    "quote in the first line": (
        '"image,expression\na.png,happy',
        "line 1: a quote is not",
    ),
    "quote closed lines later": ('a.png,"happy,S0\nb.png",sad,S1', "line 2: a quote is not closed"),
    "text behind a quote": ('a.png,"happy"x,S0', "line 2: .* expected after"),
    "too many values": ("a,b.png,happy,S0", "line 2 has 4 values for 3 columns; values that hold"),
    "same path": ("a.png,sad,x\na.png,happy,x", r"line 3: a\.png stands in line 2 already"),
    "two slashes": ("p//a.png,sad,x\np/a.png,happy,x", r"line 3: p/a\.png stands in line 2"),
    "dots": ("p/./a.png,sad,x\nq/../p/a.png,happy,x", r"line 3: p/a\.png stands in line 2"),
    "backslash": ("p\\a.png,sad,x\n./p/a.png,happy,x", r"line 3: p/a\.png stands in line 2"),
    "two forms": ("p/é.png,sad,x\np/e\u0301.png,happy,x", "line 3: p/é.png stands in line 2"),
    "column twice": ("image,expression,Image,subject\na,sad,b,x", "has the column image twice"),
    "null in a path": ("a\0.png,sad,x", "line 2 holds null characters"),
    "control character": ("a.png,sad,x\x1b[31m", r"line 2: the subject 'x\\x1b\[31m' holds the"),
    "long subject": (f"a.png,sad,{LONG}", "line 2: the subject 'x*...' has 5000 characters"),
    "long path": (f"{LONG},sad,x", "line 2: the image 'x*...' has 5000 characters"),
    "long line": ("a" * (1 << 21), "line 2 holds more characters than any label; it is no table"),
    "no expression": ("a.png,None,x", "line 2: unknown expression 'None'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_mistakes_are_named_with_their_line(kind, tree):
    text, message = REFUSED[kind]
    if not text.lstrip('"').startswith("image"):
        text = "image,expression,subject\n" + text
    source = tree({"labels.csv": text, "a.png": b"x"})
    with pytest.raises(UserError, match=message) as raised:
        table = find_label_table(source)
        read_label_table(source, table, basic_name, required=("expression", "subject"))
    assert "labels.csv" in str(raised.value) and str(raised.value).isprintable()


def test_where_no_expression_is_needed_a_missing_one_is_none(tree):
    values = ("None", "nan", "NULL", "", "<NA>", "neutral")
    text = "image;expression\n" + "".join(f"{i}.png;{v}\n" for i, v in enumerate(values))
    source = tree({"labels.csv": text})
    listed = read_label_table(source, "labels.csv", class_name)
    assert [image.expression for image in listed] == [None] * 5 + ["neutral"]


def test_one_person_in_two_forms_of_unicode_is_one_person(tree):
    text = "image,subject,expression\na.png,Zoë,né\nb.png,Zoe\u0308,ne\u0301\n"
    first, second = read_label_table(tree({"labels.csv": text}), "labels.csv", class_name)
    assert first.subject == second.subject == first.identity == second.identity
    assert first.expression == second.expression
