"""What a builder notes about the faces that were cut out of its photographs."""

from typing import TYPE_CHECKING

from tdgan_jax.data.image_files import FaceImage, NoFaceImage, StoredImage
from tdgan_jax.errors import UserError
from tdgan_jax.preparation.source_builder import SourceBuilder

if TYPE_CHECKING:  # The detector needs JAX, and few datasets need the detector.
    from tdgan_jax.faces.preparation import Cropping

FACES = "faces.csv"
_WITHOUT, _SEVERAL = "photographs_without_face", "photographs_with_several_faces"


def note_cropping(builder: SourceBuilder, cropping: "Cropping") -> None:
    """Starts the record of a build that cuts faces out.

    Args:
        builder: Its notes are kept with the dataset.
        cropping: How the faces are cut out.
    """
    builder.notes["crop"] = cropping.settings.as_json()
    builder.notes["detector"] = "mtcnn"
    builder.notes["no_face_policy"] = cropping.no_face
    builder.notes[_WITHOUT] = builder.notes[_SEVERAL] = 0


def stored_face(
    builder: SourceBuilder, name: str, result: FaceImage | NoFaceImage, cropping: "Cropping"
) -> StoredImage | None:
    """Takes a face as it is to be stored; lists photographs that do not show one face.

    Args:
        builder: Gets the rows of `faces.csv` and counts them in its notes.
        name: The photograph, as the user finds it in the source.
        result: What became of it.
        cropping: How faces are cut out.

    Returns:
        The face, or None for a photograph that is left out.

    Raises:
        UserError: Names a photograph without a face, if the build is to stop at one.
    """
    if isinstance(result, NoFaceImage):
        if cropping.no_face == "fail":
            raise UserError(
                f"{builder.title}: {name}: {result}; leave such photographs out with --no-face "
                "skip, take them whole with whole-image, or take fainter faces with largest"
            )
        stored, num_faces, taken = None, 0, "none, left out"
    else:
        stored, num_faces, taken = result
    if taken != "face":
        builder.append_to_list(FACES, {"file": name, "faces": num_faces, "taken": taken})
        builder.notes[_SEVERAL if num_faces > 1 else _WITHOUT] += 1
    return stored
