"""pandas' tables are read without pandas, as its versions pickle them."""

import pickle
import sys
import types

import numpy as np
import pytest

from tdgan_jax.data.frame_pickles import read_frame
from tdgan_jax.errors import UserError

ROWS, COLUMNS = ("Neutral", "Happy", "Valence"), ("a", "b", "c", "d")
VALUES = np.random.default_rng(0).normal(size=(3, 4))


class Call:
    """Pickles as the call of a function or class, with a state for the result."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.parts


@pytest.fixture
def pandas_names(monkeypatch):
    """Makes names of pandas that can be pickled, in modules that hold nothing else."""
    modules, kinds = {}, {}

    def made(module, name):
        parent = ""
        for part in module.split("."):
            parent = f"{parent}.{part}".lstrip(".")
            if parent not in modules:
                modules[parent] = types.ModuleType(parent)
                monkeypatch.setitem(sys.modules, parent, modules[parent])
        if (module, name) not in kinds:
            kind = type(name, (), {"__module__": module, "__qualname__": name})
            kinds[module, name] = kind
            setattr(modules[module], name, kind)
        return kinds[module, name]

    return made


def index_of(made, names):
    module = "pandas.core.indexes.base"
    fields = {"data": np.array(names, object), "name": None}
    return Call(made(module, "_new_Index"), made(module, "Index"), fields)


def two_blocks():
    """The columns 0 and 2, and the others, as `[columns, rows]`."""
    return [(VALUES.T[0:3:2], slice(0, 3, 2)), (VALUES.T[1::2], np.array([1, 3]))]


def since_1_3(made, *, module="pandas.core.frame"):
    block = made("pandas._libs.internals", "_unpickle_block")
    manager = Call(
        made("pandas.core.internals.managers", "BlockManager"),
        tuple(Call(block, values, places, 2) for values, places in two_blocks()),
        [index_of(made, COLUMNS), index_of(made, ROWS)],
    )
    state = {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}, "_flags": {}}
    return Call(made(module, "DataFrame"), state=state)


def until_1_2(made, *, name="_mgr"):
    axes = [index_of(made, COLUMNS), index_of(made, ROWS)]
    blocks = [{"values": values, "mgr_locs": places} for values, places in two_blocks()]
    state = (axes, [b["values"] for b in blocks], [], {"0.14.1": {"axes": axes, "blocks": blocks}})
    manager = Call(made("pandas.core.internals.managers", "BlockManager"), state=state)
    return Call(made("pandas.core.frame", "DataFrame"), state={name: manager, "_typ": "dataframe"})


def since_3(made):
    """Names of rows and columns are an array of texts of pandas' own kind."""
    frame = since_1_3(made, module="pandas")
    manager = frame.parts[2]["_mgr"]
    for index in manager.parts[1][1]:
        fields = index.parts[1][1]
        kind = made("pandas.arrays", "StringArray")
        array = Call(
            made("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"),
            kind,
            82904607,
            None,
            state=(Call(made("pandas", "StringDtype"), "python", float("nan")), fields["data"], {}),
        )
        fields["data"] = array
    return frame


FORMS = {
    "1.0": lambda made: until_1_2(made, name="_data"),
    "1.1 to 1.2": until_1_2,
    "1.3 to 2": since_1_3,
    "3": since_3,
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_forms_of_pandas_versions(tmp_path, pandas_names, form, protocol):
    path = tmp_path / "table.pkl"
    path.write_bytes(pickle.dumps(form(pandas_names), protocol=protocol))
    frame = read_frame(path)
    assert (frame.rows, frame.columns) == (ROWS, COLUMNS)
    np.testing.assert_array_equal(frame.values, VALUES)


def test_pandas_own_files(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas writes the file")
    # Texts of PyArrow, which pandas 3 takes where there is one, are not read.
    rows, columns = (pandas.Index(names, dtype=object) for names in (ROWS, COLUMNS))
    table = pandas.DataFrame(VALUES, index=rows, columns=columns)
    table.to_pickle(tmp_path / "table.pkl")
    frame = read_frame(tmp_path / "table.pkl")
    assert (frame.rows, frame.columns) == (ROWS, COLUMNS)
    np.testing.assert_array_equal(frame.values, VALUES)


def test_other_content_is_refused(tmp_path, pandas_names):
    path = tmp_path / "table.pkl"
    for content in (VALUES, {"_mgr": 1}, [], Call(pandas_names("pandas", "DataFrame"), state={})):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(UserError, match="table.pkl holds no table of numbers with named rows"):
            read_frame(path)


def test_columns_of_other_kinds_are_refused(tmp_path, pandas_names):
    frame = since_1_3(pandas_names)
    block = frame.parts[2]["_mgr"].parts[1][0][0]
    block.parts = (block.parts[0], (np.array([["x"] * 3] * 2, object), slice(0, 3, 2), 2))
    path = tmp_path / "table.pkl"
    path.write_bytes(pickle.dumps(frame))
    with pytest.raises(UserError, match="holds no table of numbers"):
        read_frame(path)


def test_foreign_classes_are_refused_by_name(tmp_path, pandas_names):
    frame = since_1_3(pandas_names)
    frame.parts[2]["attrs"] = {"x": Call(print, "run")}
    path = tmp_path / "table.pkl"
    path.write_bytes(pickle.dumps(frame))
    with pytest.raises(UserError, match="refers to builtins.print"):
        read_frame(path)
