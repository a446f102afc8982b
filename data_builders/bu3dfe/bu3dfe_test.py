import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS, SIX_EXPRESSIONS
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import assert_ten_disjoint_folds, counted, picture, write_tree

PEOPLE = [f"F{n:04d}" for n in range(1, 57)] + [f"M{n:04d}" for n in range(1, 45)]
CODES = ("AN", "DI", "FE", "HA", "SA", "SU")


def owners_files(people: list[str]) -> dict[str, bytes]:
    """Intensities 1 and 2 are there, and never looked at."""
    files: dict[str, bytes] = {}
    for person in people:
        scans = [f"{code}{level:02d}" for code in CODES for level in (1, 2, 3, 4)]
        for scan in [*scans, "NE00"]:
            name = f"BU_3DFE/{person}/{person}_{scan}WH_F2D.bmp"
            files[name] = b"weak" if scan[-1] in "12" else picture(len(files), suffix="BMP")
    files["BU_3DFE/F0001/F0001_AN04WH_F3D.wrl"] = b"#VRML"
    return files


@pytest.mark.parametrize(("config", "total"), [(None, 1200), ("with_neutral", 1300)])
def test_two_highest_intensities_of_all_100_people_are_found(config, total, tmp_path):
    source = write_tree(tmp_path, dict.fromkeys(owners_files(PEOPLE), b""))
    counts = counted("bu3dfe", source, config)
    assert counts["images"] == total and counts["subjects"] == 100
    assert {name: counts[name] for name in SIX_EXPRESSIONS} == dict.fromkeys(SIX_EXPRESSIONS, 200)


@pytest.mark.parametrize(
    ("config", "names"), [(None, SIX_EXPRESSIONS), ("with_neutral", BASIC_EXPRESSIONS)]
)
def test_ten_folds(config, names, tmp_path):
    source = write_tree(tmp_path / "s", owners_files(PEOPLE[46:66]))
    options = {"config": config, "data_dir": tmp_path / "data", "partial": True}
    builder = prepare_dataset("bu3dfe", source, **options)
    assert tuple(builder.info.features["expression"].names) == names
    for counts in class_counts(builder, "expression").values():
        assert counts == {name: 2 if name == "neutral" else 4 for name in names}
    assert_ten_disjoint_folds(builder, 20)


def test_codes_by_name(tmp_path):
    files = {f"M0007/M0007_{code}03BL_F2D.bmp": picture(i) for i, code in enumerate(CODES)}
    source = write_tree(tmp_path / "s", files)
    builder = prepare_dataset("bu3dfe", source, data_dir=tmp_path / "data", partial=True)
    label = builder.info.features["expression"]
    assert {
        example["file"].decode()[12:14]: label.int2str(int(example["expression"]))
        for example in builder.as_data_source("train")
    } == dict(AN="anger", DI="disgust", FE="fear", HA="happiness", SA="sadness", SU="surprise")


def test_missing_scan_is_counted(tmp_path):
    source = write_tree(tmp_path / "s", {"F0001/F0001_AN03WH_F2D.bmp": picture(0)})
    with pytest.raises(UserError, match="bu3dfe/without_neutral: .* are documented; complete"):
        prepare_dataset("bu3dfe", source, data_dir=tmp_path / "data")
