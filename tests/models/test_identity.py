"""Identity distance, on the sample's portraits: drawn faces, but a recogniser tells one from another."""

import numpy as np
import pytest

from models.evaluation import identity
from models.evaluation.identity import SAME_PERSON, identity_distances

pytestmark = pytest.mark.skipif(identity._recogniser() is None, reason="the extra `identity` is not installed")


@pytest.fixture(scope="module")
def faces(portraits):
    return np.stack([np.asarray(portrait) for portrait in portraits])


def test_a_face_is_at_no_distance_from_itself(faces):
    assert identity_distances(faces, faces) == [0.0] * len(faces)


def test_a_darker_picture_shows_the_same_person(faces):
    assert max(identity_distances(faces, faces // 4 * 3)) < SAME_PERSON


def test_another_face_is_farther_away_than_the_same_one_darker(faces):
    darker = identity_distances(faces, faces // 4 * 3)
    others = identity_distances(faces, np.roll(faces, 1, axis=0))
    assert min(others) > max(darker)
