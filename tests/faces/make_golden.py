"""Writes `golden_mtcnn.json`: what package `mtcnn` 1.0.0 finds in the scenes under TensorFlow.

Run from the root of the repository in a throw-away environment, never in that of the project:

    python3 -m venv throw_away && throw_away/bin/pip install mtcnn==1.0.0 tensorflow-cpu pillow
    throw_away/bin/python -m tests.faces.make_golden
"""

import hashlib
import importlib.metadata
import json
import pathlib

import numpy as np
from mtcnn import MTCNN

from tests.faces.scenes import SCENES


def main() -> None:
    detector = MTCNN()
    golden = {
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("mtcnn", "tensorflow_cpu", "numpy", "pillow")
        },
        "scenes": {},
    }
    for name, make in SCENES.items():
        scene = make()
        pixels = scene if scene.ndim == 3 else np.repeat(scene[..., None], 3, axis=2)
        # Rows of: number of the image, box, score, the x and the y of the landmarks; unrounded.
        rows = detector.detect_faces(pixels, output_type="numpy", box_format="xyxy")
        golden["scenes"][name] = {
            "shape": scene.shape,
            "sha256": hashlib.sha256(scene.tobytes()).hexdigest(),
            "faces": [
                {
                    "box": row[1:5].tolist(),
                    "score": float(row[5]),
                    "landmarks": row[6:16].reshape(2, 5).T.tolist(),
                }
                for row in np.asarray(rows, np.float64)
            ],
        }
        print(name, scene.shape, np.round(rows[:, 1:6], 3).tolist())
    path = pathlib.Path(__file__).with_name("golden_mtcnn.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
