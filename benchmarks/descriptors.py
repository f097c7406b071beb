"""dlib/face beside dlib's own network, on every picture of a folder of people: are the vectors the same?

    python benchmarks/descriptors.py FACES/ [-o descriptors.json]

FACES has a folder for each person. Each picture goes dlib's whole way (its detector, landmarks, chip and network) and the way
of `resnets faces`; and dlib's network gets the chips of `resnets faces`. Then, what alignment is worth: the errors at dlib's
published threshold of 0.6, of pairs of aligned chips and of whole pictures.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures import faces
from resnets.data.pictures.images import open_picture
from resnets.files import in_package
from resnets.measures import verification as verifying
from resnets.models.pretrained.names import PACKAGED
from resnets.verbs.faces import embedded
from resnets.verbs.features import feature_session

PUBLISHED = 0.6


def errors(vectors: np.ndarray, people: np.ndarray) -> dict[str, Any]:
    """EER, and the errors at the published threshold."""
    pairs = verifying.pairs(vectors, people, "euclidean")
    count = verifying.counted(pairs, PUBLISHED)
    return {"eer": verifying.rates(pairs.distance, pairs.same).eer, "far": count.far, "frr": count.frr, **count._asdict()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("descriptors.json"))
    given = parser.parse_args()
    dlib, detector, landmarks = faces.tools()
    network = dlib.face_recognition_model_v1(str(in_package(*PACKAGED["dlib/face"])))
    session = feature_session("dlib/face")
    found: dict[str, list[Any]] = {name: [] for name in ("theirs", "theirs_of_chips", "ours", "whole", "people")}
    unfound = 0
    for path in sorted(given.faces.glob("*/*")):
        image = np.asarray(open_picture(path))
        boxes = detector(image, 1) or detector(image, 0)
        own = faces.find(image)
        if not boxes or not own:
            unfound += 1
            continue
        largest = max(boxes, key=lambda box: box.area())
        found["theirs"].append(network.compute_face_descriptor(image, landmarks(image, largest)))
        found["theirs_of_chips"].append(network.compute_face_descriptor(own[0].chip))
        found["ours"].append(embedded(session, [own[0].chip])[0])
        found["whole"].append(embedded(session, [faces.whole(image).chip])[0])
        found["people"].append(path.parent.name)
    theirs, chips, ours, whole, people = (np.array(values) for values in found.values())
    result = {
        "num_faces": len(people),
        "num_without_a_face": unfound,
        "largest_difference": {"whole_way": float(np.abs(theirs - ours).max()), "chips": float(np.abs(chips - ours).max())},
        "lengths": [float(np.linalg.norm(theirs, axis=1).min()), float(np.linalg.norm(theirs, axis=1).max())],
        "aligned": errors(ours, people),
        "whole_pictures": errors(whole, people),
        "versions": {name: version(name) for name in ("dlib-bin", "face-recognition-models", "torch")},
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
