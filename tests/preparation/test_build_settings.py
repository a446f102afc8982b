"""A dataset that is there already is compared with the one that is asked for."""

import pytest

from tdgan_jax.faces.alignment import IFGAN_CROP, CropSettings
from tdgan_jax.faces.preparation import Cropping
from tdgan_jax.preparation.build_settings import differences

EYES, IFGAN = Cropping(CropSettings()), Cropping(IFGAN_CROP)
WHOLE_NOTES = {"partial": False, "skipped_files": 0}
EYES_NOTES = WHOLE_NOTES | {
    "crop": CropSettings().as_json(),
    "detector": "mtcnn",
    "no_face_policy": "fail",
}


@pytest.mark.parametrize(
    ("notes", "asked", "expected"),
    [
        (EYES_NOTES, {"cropping": EYES}, []),
        (WHOLE_NOTES, {}, []),
        ({}, {}, []),
        (
            EYES_NOTES,
            {"cropping": IFGAN},
            ["crop size px 128 instead of 256", "crop style eyes instead of eyes_and_nose"],
        ),
        (
            EYES_NOTES,
            {"cropping": EYES._replace(no_face="skip")},
            ["no face policy fail instead of skip"],
        ),
        (WHOLE_NOTES, {"cropping": EYES}, ["detector none instead of mtcnn"]),
        (EYES_NOTES, {}, ["detector mtcnn instead of none"]),
        (WHOLE_NOTES, {"partial": True}, ["partial no instead of yes"]),
        (
            WHOLE_NOTES | {"subject_pattern": "(a)"},
            {"subject_pattern": "(b)"},
            ["subject pattern (a) instead of (b)"],
        ),
    ],
)
def test_each_setting_that_differs_is_named(notes, asked, expected):
    usual = {"cropping": None, "subject_pattern": None, "partial": False}
    assert differences(notes, **usual | asked) == expected
