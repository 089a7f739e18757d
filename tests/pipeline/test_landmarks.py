import numpy as np
import pytest

from pipeline.faces.landmarks import LANDMARK_SCALE, LANDMARKS, decode_counts, decode_landmarks, encode_landmarks
from pipeline.storage.manifest import MEASURED_SCHEMA


def points(low, high):
    return np.random.default_rng(0).uniform(low, high, (LANDMARKS, 2)).astype(np.float32)


def test_decoded_landmarks_differ_by_half_a_count_at_most():
    landmarks = points(-0.5, 1.5)
    assert np.abs(decode_landmarks(encode_landmarks(landmarks)) - landmarks).max() <= 0.51 * LANDMARK_SCALE


def test_landmarks_beyond_the_range_are_clipped():
    decoded = decode_landmarks(encode_landmarks(points(5, 6)))
    assert decoded == pytest.approx(2, abs=LANDMARK_SCALE)


def test_encoded_landmarks_fit_the_column_of_the_measured_tables():
    assert len(encode_landmarks(points(0, 1))) == MEASURED_SCHEMA.field("landmarks").type.byte_width


def test_the_first_landmark_comes_first_x_before_y_in_little_endian():
    landmarks = points(0, 1)
    landmarks[0] = (1 * LANDMARK_SCALE, 2 * LANDMARK_SCALE)
    assert encode_landmarks(landmarks)[:4] == bytes([1, 0, 2, 0])
    assert decode_counts(encode_landmarks(landmarks))[0].tolist() == [1, 2]
