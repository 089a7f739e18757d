"""Mask coverage: correct on the sample's masks, and the same at any size and rotation."""

import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.faces.alignment import CROP_SIDE, align, landmark_alignment
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.mask_coverage import WEIGHTS, coverage_from_maps, eye_coverage_without_landmarks, segment_crops
from pipeline.synthetic.layout import SampleParams, sample_files
from tests.conftest import ROOT

PARAMS = SampleParams(faces=40, image_px=256, seed=3)


@pytest.fixture(scope="module")
def faces():
    """Kind -> (pixels, landmarks) of the masked images of the sample in which a face is detected."""
    by_kind: dict[str, list] = {}
    for file in sample_files("masked", PARAMS):
        if file.kind in ("broken", "other") or file.copy_of:
            continue
        pixels = np.asarray(Image.open(io.BytesIO(file.content)).convert("RGB"))
        if detected := get_landmarker(1)(pixels):
            by_kind.setdefault(file.kind, []).append((pixels, detected[0].points))
    return by_kind


def coverage(pixels, points):
    face = align(pixels, points)
    return coverage_from_maps(segment_crops([face.crop])[0], face.points)


def mean(faces, kind: str, name: str) -> float:
    return float(np.mean([getattr(coverage(*face), name) for face in faces[kind]]))


@pytest.mark.parametrize("name", ["nose", "mouth", "chin"])
def test_a_correct_mask_covers_nose_mouth_and_chin(faces, name):
    assert mean(faces, "correct", name) > (0.6 if name == "chin" else 0.9)


@pytest.mark.parametrize("name", ["nose", "mouth", "chin", "eyes", "face", "total"])
def test_an_unmasked_face_is_not_covered(faces, name):
    assert mean(faces, "none", name) < 0.15


@pytest.mark.parametrize(("kind", "name"), [("nose_out", "nose"), ("chin_out", "chin"), ("chin_only", "mouth")])
def test_what_a_misplaced_mask_leaves_bare_is_not_covered(faces, kind, name):
    assert mean(faces, kind, name) < 0.4


def test_only_a_mask_over_the_eyes_covers_the_bridge_between_them(faces):
    assert mean(faces, "eyes_covered", "eyes") > 0.7
    assert mean(faces, "correct", "eyes") < 0.15


def test_a_mask_pushed_aside_leaves_one_cheek_bare(faces):
    assert mean(faces, "shifted", "symmetry") < 0.5 < mean(faces, "correct", "symmetry")


def upright(faces):
    """The landmarks of a face as shares of its aligned crop."""
    px = (points := faces["correct"][0][1] * 256) @ (matrix := landmark_alignment(points))[:, :2].T + matrix[:, 2]
    return (px / CROP_SIDE).astype(np.float32)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_bare_cheek_outside_its_polygon_lowers_the_symmetry(faces, side):
    """The landmarks follow a mask that is pushed aside: here both cheeks' polygons are on it."""
    points, maps = upright(faces), np.zeros((2, 32, 32), np.float32)
    points = np.array([0.5, 0.5], np.float32) + 0.4 * (points - 0.5)
    maps[0, 12:28], maps[1, 12:28, 23:] = 1, 1
    maps[0, :, 23:] = 0
    assert coverage_from_maps(maps if side == "right" else maps[..., ::-1].copy(), points).symmetry < 0.2
    maps[1] = 0
    assert coverage_from_maps(maps, points).symmetry > 0.9


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_bare_side_that_a_turned_head_shows_more_of_lowers_the_symmetry_less(faces, side):
    points, maps = upright(faces), np.zeros((2, 32, 32), np.float32)
    points = points * (0.4, 0.4) + (0.3, 0.3)
    maps[0, 12:28], maps[1, 12:28, 29:] = 1, 1
    maps[0, :, 29:] = 0
    if side == "left":
        maps = maps[..., ::-1].copy()
    balances = []
    for shift in (0, -0.08 if side == "right" else 0.08):  # the tip of the nose, away from the bare side
        turned = points.astype(np.float32)
        turned[1, 0] = (turned[234, 0] + turned[454, 0]) / 2 + shift
        balances.append(coverage_from_maps(maps, turned).symmetry)
    assert balances[0] < balances[1]


def test_a_mask_that_ends_at_the_mouth_covers_less_of_the_chin_even_where_no_bare_skin_is_seen(faces):
    points = upright(faces)
    short, long = np.zeros((2, 2, 32, 32), np.float32)
    short[0, 10:21], long[0, 10:28] = 1, 1
    assert coverage_from_maps(short, points).chin < coverage_from_maps(long, points).chin - 0.1


@pytest.mark.parametrize("columns", [slice(3, 13), slice(19, 29)])
def test_a_mask_over_one_eye_covers_the_eyes(faces, columns):
    points, maps = upright(faces), np.zeros((2, 32, 32), np.float32)
    maps[0, 12:, columns] = 1
    assert coverage_from_maps(maps, points).eyes < 0.1
    maps[0, 7:, columns] = 1
    assert coverage_from_maps(maps, points).eyes == 1


def test_without_a_detected_face_a_mask_over_the_eyes_is_still_measured(faces):
    covered = [eye_coverage_without_landmarks(pixels) for pixels, _ in faces["eyes_covered"]]
    bare = [eye_coverage_without_landmarks(pixels) for kind in ("none", "nose_out") for pixels, _ in faces[kind]]
    assert np.mean(covered) > 0.2 and np.mean(bare) < 0.1


def test_every_number_is_a_share(faces):
    numbers = [value for kind in faces.values() for face in kind for value in vars(coverage(*face)).values()]
    assert all(0 <= value <= 1 for value in numbers)


@pytest.mark.parametrize(("zoom", "turn"), [(0.5, 0), (2, 0), (5, 0), (1, 20), (1, -35)])
def test_size_and_rotation_of_the_image_change_little(faces, zoom, turn):
    pixels, points = faces["correct"][0]
    side = round(256 * zoom)
    matrix = cv2.getRotationMatrix2D((127.5, 127.5), turn, 1)
    turned = cv2.warpAffine(pixels, matrix, (256, 256), borderMode=cv2.BORDER_REFLECT_101)
    moved = (points * 256 - 0.5) @ matrix[:, :2].T + matrix[:, 2]
    sized = cv2.resize(turned, (side, side), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    before = vars(coverage(pixels, points))
    after = vars(coverage(sized, ((moved + 0.5) / 256).astype(np.float32)))
    assert all(abs(before[name] - after[name]) < 0.12 for name in ("nose", "mouth", "face", "eyes"))


@pytest.mark.parametrize("shift", [(-3.0, 0.0), (0.0, 5.0), (0.6, 0.6)])
def test_a_face_outside_the_image_is_measured(faces, shift):
    pixels, points = faces["correct"][0]
    assert 0 <= coverage(pixels, points + np.array(shift, np.float32)).nose <= 1


def test_a_face_of_no_size_is_measured():
    numbers = coverage(np.zeros((4, 4, 3), np.uint8), np.full((478, 2), 0.5, np.float32))
    assert all(0 <= value <= 1 for value in vars(numbers).values())


def test_the_landmarks_are_upright_in_the_crop(faces):
    _, points = faces["correct"][0]
    at = points * 256 @ (matrix := landmark_alignment(points * 256))[:, :2].T + matrix[:, 2]
    assert abs(at[33, 1] - at[263, 1]) < 4 and at[33, 0] < at[263, 0] and at[10, 1] < at[152, 1] < CROP_SIDE


def test_the_network_s_file_is_below_two_megabytes():
    assert WEIGHTS.stat().st_size < 2_000_000


def test_onnx_runtime_s_telemetry_is_off(tmp_path):
    """Unless it is off, it writes a file into the folder for temporary files."""
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", "from pipeline.faces import mask_coverage; mask_coverage._network()"]
    subprocess.run(command, env=env | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}, check=True)
    assert list(tmp_path.iterdir()) == []
