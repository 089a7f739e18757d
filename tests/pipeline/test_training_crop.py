"""The training image: an image in FFHQ's frame as it is, any other photo cut out around its face."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.faces.alignment import face_frame
from pipeline.faces.conditioning import conditioning_maps
from pipeline.faces.face_crops import align_face
from pipeline.faces.landmarks import encode_landmarks
from pipeline.faces.training_crop import MeasuredFace, read_measured_faces, training_crop
from tests.pipeline.test_alignment import framed_face, moved

PX = 64


def smooth(width, height, seed=0):
    """A photo without fine detail, so that all good resampling gives the same."""
    coarse = np.random.default_rng(seed).integers(30, 226, (12, 12, 3)).astype(np.uint8)
    return Image.fromarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def detailed(width, height):
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def measured(image, points):
    """`points` (478, 2) in px of the image."""
    return MeasuredFace(*image.size, encode_landmarks(points / np.array(image.size, np.float32)))


def displacement(crop, expected):
    """How far `crop` is displaced from `expected`, (H, W, 3), px: x, y; least squares over the gradients."""
    crop, expected = (picture[8:-8, 8:-8].astype(float).mean(axis=2) for picture in (crop, expected))
    down, right = np.gradient(expected)
    slopes = np.column_stack([right.ravel(), down.ravel(), np.ones(right.size)])  # Pillow's transform rounds down
    return np.linalg.lstsq(slopes, (expected - crop).ravel(), rcond=None)[0][:2]


@pytest.mark.parametrize("side", [PX, 100, 2 * PX, 3 * PX, 411])
def test_an_image_in_ffhq_s_frame_is_only_resized(side):
    image = detailed(side, side)
    crop, _ = training_crop(png(image), measured(image, side * framed_face()), PX)
    reduced = image.reduce(side // PX) if side >= 2 * PX else image  # as images.decode reads large ones
    expected = reduced.resize((PX, PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
    assert np.array_equal(crop, np.asarray(expected))


def test_an_image_in_ffhq_s_frame_is_only_resized_where_its_landmarks_are_a_little_off():
    image = detailed(PX, PX)
    points = moved(PX * framed_face(), 1.2, 6, (-0.1 * PX, -0.16 * PX))
    crop, _ = training_crop(png(image), measured(image, points), PX)
    assert np.array_equal(crop, np.asarray(image))


PHOTOS = {
    "at the left edge of a wide photo": ((600, 256), 256, 0, (0, 0)),
    "at the bottom of a high photo": ((256, 700), 256, 0, (0, 444)),
    "small in a large photo": ((1000, 750), 160, 0, (700, 60)),
    "turned": ((1000, 750), 300, 20, (400, 100)),
    "in a photo that is reduced first": ((1999, 1501), 500, -12, (900, 500)),
}


@pytest.mark.parametrize(("size", "scale", "degrees", "shift"), PHOTOS.values(), ids=PHOTOS)
def test_a_face_anywhere_in_a_photo_fills_the_training_image(size, scale, degrees, shift):
    """The photo's colours at the crop's place are those that Pillow's transform takes, oversampled, from there."""
    photo = smooth(*size)
    points = moved(framed_face(), scale, degrees, shift)
    crop, _ = training_crop(png(photo), measured(photo, points), PX)
    corner, right, down = moved(np.array([[0, 0], [1, 0], [0, 1]], np.float32), scale, degrees, shift)
    step = np.column_stack([right - corner, down - corner]) / (8 * PX)
    places = (step[0, 0], step[0, 1], corner[0], step[1, 0], step[1, 1], corner[1])
    large = photo.transform((8 * PX, 8 * PX), Image.Transform.AFFINE, places, Image.Resampling.BICUBIC)
    expected = np.asarray(large.resize((PX, PX), Image.Resampling.BOX))
    inner = slice(2, -2)  # Pillow leaves black what is outside
    assert np.abs(crop[inner, inner].astype(int) - expected[inner, inner]).max() <= 6
    assert np.abs(displacement(crop, expected)).max() < 0.06


def test_the_landmarks_follow_the_crop():
    photo = smooth(1000, 750)
    _, points = training_crop(png(photo), measured(photo, moved(framed_face(), 200, 15, (600, 200))), PX)
    assert points.dtype == np.float32 and np.abs(points - framed_face()).max() < 1e-3  # stored to 1/16 px of this photo


def test_the_landmarks_of_an_image_in_ffhq_s_frame_are_shares_of_the_whole_image():
    image = detailed(PX, PX)
    _, points = training_crop(png(image), measured(image, PX * framed_face()), PX)
    assert np.abs(points - framed_face()).max() < 2e-3


def test_training_and_apply_crop_a_photo_alike():
    photo = detailed(400, 300)
    face = measured(photo, moved(framed_face(), 180, 8, (120, 40)))
    image, points = training_crop(png(photo), face, 2 * PX)
    applied = align_face(np.asarray(photo), face.points(), face_frame(face.points()), 2 * PX)
    assert np.array_equal(image, applied[0])
    assert np.array_equal(conditioning_maps(points, 2 * PX, 2 * PX), applied[1])


def test_without_landmarks_it_is_the_central_square_and_they_are_nan():
    photo = np.zeros((64, 128, 3), np.uint8)
    photo[:, 32:96] = 200
    image, points = training_crop(png(Image.fromarray(photo)), MeasuredFace(128, 64, None), 32)
    assert image.min() > 150  # none of the black sides but what Lanczos resampling spreads
    assert points.shape == (478, 2) and np.isnan(points).all()


def test_a_file_that_can_no_longer_be_read_is_refused():
    with pytest.raises(FacemaskError, match="dvc repro"):
        training_crop(b"no image", MeasuredFace(64, 64, None), 32)


def test_a_missing_measured_table_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FacemaskError, match="dvc repro measure@ffhq"):
        read_measured_faces(tmp_path, "ffhq", "00000.zip")
