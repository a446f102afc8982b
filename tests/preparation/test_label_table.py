import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import basic_name
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


def test_other_tables_of_the_owner_are_not_taken_for_it(tree):
    source = tree({"ages.csv": "name,age\n", "latin.csv": b"\xe9,image\n", "a/1.png": b"x"})
    assert find_label_table(source) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,expression\na.png,anger", "lacks the column subject in its first line"),
        ("image,expression,subject\na.png,anger,", "line 2: the column subject is empty"),
        ("image,expression,subject\na.png,cross,p", "line 2: unknown expression 'cross'; known"),
        ('image,expression,subject\n"a.png', "line 2: the column expression is empty"),
    ],
)
def test_tables_that_are_refused(text, message, tree):
    source = tree({"labels.csv": text})
    with pytest.raises(UserError, match=message):
        read_label_table(source, "labels.csv", basic_name, required=("expression", "subject"))
