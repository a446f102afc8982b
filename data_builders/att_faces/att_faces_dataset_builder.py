"""Builder of the AT&T (ORL) faces: a face dataset with identities and no expressions."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from tdgan_jax.data.image_files import read_gray
from tdgan_jax.data.source_builder import SourceBuilder
from tdgan_jax.errors import UserError

NUM_SUBJECTS = 40
IMAGES_PER_SUBJECT = 10
SIZE_PX = (92, 112)
SUBJECTS = tuple(f"s{number}" for number in range(1, NUM_SUBJECTS + 1))


class Builder(SourceBuilder):
    """Builds `att_faces` from the folder or zip file with `s1/1.pgm` to `s40/10.pgm`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The AT&T (ORL) faces are a free download (att_faces.zip), for example from\n"
        "https://cam-orl.co.uk/facedatabase.html or https://www.kaggle.com/datasets/kasikrit/"
        "att-database-of-faces"
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(SIZE_PX[1], SIZE_PX[0], 1), encoding_format="png"
                    ),
                    "identity": tfds.features.ClassLabel(names=SUBJECTS),
                    "subject": tfds.features.Text(),
                    "file": tfds.features.Text(),
                }
            ),
            homepage="https://cam-orl.co.uk/facedatabase.html",
            metadata=self.notes,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"train": self._generate_examples(dl_manager)}

    def _generate_examples(
        self, dl_manager: tfds.download.DownloadManager
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        with self.open_source(dl_manager) as tree:
            found = {
                (int(match["subject"]), int(match["number"])): match
                for match in tree.matches(r"s(?P<subject>\d+)/(?P<number>\d+)\.pgm")
            }
            self.check_layout(tree, found, "s1/1.pgm to s40/10.pgm")
            documented = [
                (subject, number)
                for subject in range(1, NUM_SUBJECTS + 1)
                for number in range(1, IMAGES_PER_SUBJECT + 1)
            ]
            for undocumented in sorted(found.keys() - set(documented)):
                raise UserError(
                    f"att_faces: {found[undocumented].string} is not one of the 40 x 10 "
                    "documented files; remove it from the source"
                )
            num_examples = 0
            for subject, number in self.progress(documented, description="att_faces"):
                match = found.get((subject, number))
                file = f"s{subject}/{number}.pgm"
                if match is None:
                    if not self.partial:
                        self.bad_file(file, "the file is missing")
                    continue
                image = self.try_file(
                    match.string,
                    lambda name=match.string: read_gray(tree.read(name), size_px=SIZE_PX),
                )
                if image is not None:
                    num_examples += 1
                    yield (
                        file,
                        {
                            "image": image.png,
                            "identity": f"s{subject}",
                            "subject": f"s{subject}",
                            "file": file,
                        },
                    )
            self.check_not_empty(num_examples)
