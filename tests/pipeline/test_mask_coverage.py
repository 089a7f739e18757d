"""What covers a face: read alike at any size and turn, and right on the sample's masks."""

import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.faces import mask_coverage as cover
from pipeline.faces.landmarker import open_landmarker
from pipeline.synthetic.layout import SampleParams, sample_files
from tests.conftest import ROOT

PARAMS = SampleParams(faces=40, image_px=256, seed=3)


@pytest.fixture(scope="module")
def seen():
    """Kind -> (pixels, landmarks) of the sample's masked images in which a face is found."""
    out: dict[str, list] = {}
    with open_landmarker(1) as detect:
        for file in sample_files("masked", PARAMS):
            if file.kind in ("broken", "other") or file.copy_of:
                continue
            pixels = np.asarray(Image.open(io.BytesIO(file.content)).convert("RGB"))
            if found := detect(pixels):
                out.setdefault(file.kind, []).append((pixels, found[0].points))
    return out


def measure_cover(pixels, points):
    return cover.measure_coverage([(pixels, points)])[0]


def mean(seen, kind: str, name: str) -> float:
    return float(np.mean([getattr(measure_cover(*face), name) for face in seen[kind]]))


@pytest.mark.parametrize("name", ["nose", "mouth", "chin"])
def test_a_correct_mask_covers_nose_mouth_and_chin(seen, name):
    assert mean(seen, "correct", name) > (0.6 if name == "chin" else 0.9)


@pytest.mark.parametrize("name", ["nose", "mouth", "chin", "eyes", "face", "seen"])
def test_a_plain_face_is_not_covered(seen, name):
    assert mean(seen, "none", name) < 0.15


@pytest.mark.parametrize(("kind", "name"), [("nose_out", "nose"), ("chin_out", "chin"), ("chin_only", "mouth")])
def test_what_a_wrong_mask_leaves_out_is_not_covered(seen, kind, name):
    assert mean(seen, kind, name) < 0.4


def test_only_a_mask_over_the_eyes_covers_the_bridge_between_them(seen):
    assert mean(seen, "eyes_covered", "eyes") > 0.7
    assert mean(seen, "correct", "eyes") < 0.15


def test_a_mask_pushed_aside_leaves_one_cheek_bare(seen):
    assert mean(seen, "shifted", "balance") < 0.5 < mean(seen, "correct", "balance")


def test_where_no_face_is_found_a_mask_over_the_eyes_is_still_seen(seen):
    covered = [cover.eye_coverage_without_landmarks(pixels) for pixels, _ in seen["eyes_covered"]]
    bare = [cover.eye_coverage_without_landmarks(pixels) for kind in ("none", "nose_out") for pixels, _ in seen[kind]]
    assert np.mean(covered) > 0.2 and np.mean(bare) < 0.1


def test_every_number_is_a_share(seen):
    numbers = [value for faces in seen.values() for face in faces for value in vars(measure_cover(*face)).values()]
    assert all(0 <= value <= 1 for value in numbers)


@pytest.mark.parametrize(("zoom", "turn"), [(0.5, 0), (2, 0), (5, 0), (1, 20), (1, -35)])
def test_size_and_turn_of_the_picture_change_little(seen, zoom, turn):
    pixels, points = seen["correct"][0]
    side = round(256 * zoom)
    matrix = cv2.getRotationMatrix2D((127.5, 127.5), turn, 1)
    turned = cv2.warpAffine(pixels, matrix, (256, 256), borderMode=cv2.BORDER_REFLECT_101)
    moved = (points * 256 - 0.5) @ matrix[:, :2].T + matrix[:, 2]
    sized = cv2.resize(turned, (side, side), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    before = vars(measure_cover(pixels, points))
    after = vars(measure_cover(sized, ((moved + 0.5) / 256).astype(np.float32)))
    assert all(abs(before[name] - after[name]) < 0.12 for name in ("nose", "mouth", "face", "eyes"))


@pytest.mark.parametrize("shift", [(-3.0, 0.0), (0.0, 5.0), (0.6, 0.6)])
def test_a_face_outside_the_image_is_measured_without_complaint(seen, shift):
    pixels, points = seen["correct"][0]
    assert 0 <= measure_cover(pixels, points + np.array(shift, np.float32)).nose <= 1


def test_a_face_of_no_size_is_measured_without_complaint():
    numbers = measure_cover(np.zeros((4, 4, 3), np.uint8), np.full((478, 2), 0.5, np.float32))
    assert all(0 <= value <= 1 for value in vars(numbers).values())


def test_the_landmarks_lie_upright_in_the_crop(seen):
    _, points = seen["correct"][0]
    at = points * 256 @ (matrix := cover.landmark_alignment(points * 256))[:, :2].T + matrix[:, 2]
    assert abs(at[33, 1] - at[263, 1]) < 4 and at[33, 0] < at[263, 0] and at[10, 1] < at[152, 1] < cover.SIDE


def test_the_weights_are_small():
    assert cover.WEIGHTS.stat().st_size < 2_000_000


def test_no_report_of_its_use_is_prepared(tmp_path):
    """ONNX Runtime's telemetry leaves a file where temporary files go, unless it is off."""
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", "from pipeline import cover; cover._network()"]
    subprocess.run(command, env=env | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}, check=True)
    assert list(tmp_path.iterdir()) == []
