import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.faces.landmarker import Face, get_landmarker
from pipeline.faces.metrics import DetectedFace, measure_faces, pose


def rotation(axis, degrees):
    """The landmarker's matrix (4, 4) for a head turned about one axis, right-handed; it scales too."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4, dtype=np.float32)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[[first, second], [first, second]] = cosine
    matrix[second, first], matrix[first, second] = sine, -sine
    return 2 * matrix


@pytest.mark.parametrize(
    ("axis", "expected"), [(1, (20, 0, 0)), (0, (0, 20, 0)), (2, (0, 0, -20))], ids=["yaw", "pitch", "roll"]
)
def test_pose_gives_the_angle_of_each_axis_in_degrees(axis, expected):
    assert pose(rotation(axis, 20)) == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def unmasked_face(portraits):
    """Pixels of the sample's first unmasked face, and the face."""
    pixels = np.asarray(portraits[0])
    return pixels, get_landmarker(4)(pixels)[0]


def test_an_image_tilted_clockwise_has_positive_roll(unmasked_face):
    pixels, face = unmasked_face
    tilted = get_landmarker(4)(np.asarray(Image.fromarray(pixels).rotate(-15)))[0]
    assert pose(tilted.transform)[2] - pose(face.transform)[2] == pytest.approx(15, abs=4)


def test_a_blurred_face_is_less_sharp(unmasked_face):
    pixels, face = unmasked_face
    images = (pixels, cv2.GaussianBlur(pixels, (0, 0), 3))
    sharp, blurred = measure_faces([DetectedFace(image, face, 256, 256) for image in images])
    assert blurred.sharpness < sharp.sharpness / 2


@pytest.fixture(scope="module")
def framing(unmasked_face):
    """frame_px, frame_inside and face_inside of the face: scaled, then moved by shares of an image of some size."""
    pixels, face = unmasked_face

    def measure(scale=1.0, shift=(0.0, 0.0), size=(256, 256)):
        points = (face.points * 256 * scale + np.array(shift) * size) / size
        (found,) = measure_faces([DetectedFace(pixels, Face(points.astype(np.float32), face.transform), *size)])
        return found.frame_px, found.frame_inside, found.face_inside

    return measure


def test_the_training_crop_of_an_image_in_ffhq_s_frame_is_the_whole_image(framing):
    assert framing()[:2] == pytest.approx((256, 1))


def test_the_training_crop_of_a_small_face_is_ffhq_s_frame_around_it(framing):
    small, smaller = framing(0.5, (0.4, 0.3), (1000, 800))[0], framing(0.25, (0.4, 0.3), (1000, 800))[0]
    assert small == pytest.approx(2 * smaller, abs=0.01)
    assert 80 < small < 180


def test_half_of_a_frame_across_the_edge_of_the_image_is_not_inside(framing):
    whole = framing(1, (0.3, 0.3), (1000, 1000))
    crossing = framing(1, (-0.128, 0.3), (1000, 1000))
    assert whole[1:] == pytest.approx((1, 1))
    assert crossing[1] == pytest.approx(0.5, abs=0.12) and crossing[2] == pytest.approx(0.5, abs=0.2)


def test_a_darker_picture_loses_less_sharpness_than_brightness(unmasked_face):
    pixels, face = unmasked_face
    darker = np.rint(pixels * 0.5).astype(np.uint8)
    before, after = measure_faces([DetectedFace(image, face, 256, 256) for image in (pixels, darker)])
    assert after.brightness / before.brightness == pytest.approx(0.5, abs=0.01)
    assert after.sharpness / before.sharpness == pytest.approx(0.5**0.75, abs=0.02)


def test_noise_in_the_dark_is_no_sharpness(unmasked_face):
    pixels, face = unmasked_face
    noise = np.random.default_rng(0).integers(0, 3, pixels.shape, np.uint8)
    (dark,) = measure_faces([DetectedFace(noise, face, 256, 256)])
    assert dark.sharpness < 4


def test_face_height_is_in_px_of_the_whole_image(unmasked_face):
    pixels, face = unmasked_face
    reduced, whole = measure_faces([DetectedFace(pixels, face, side, side) for side in (1024, 256)])
    assert reduced.face_px == 4 * whole.face_px > 0
