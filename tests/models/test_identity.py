"""Identity distance between the sample's portraits: synthetic faces, which the recogniser can tell apart."""

import numpy as np
import pytest

from models.evaluation import identity
from models.evaluation.identity import SAME_PERSON, identity_distances

pytestmark = pytest.mark.skipif(identity._recogniser() is None, reason="the extra `identity` is not installed")


@pytest.fixture(scope="module")
def faces(portraits):
    return np.stack([np.asarray(portrait) for portrait in portraits])


def test_equal_images_have_distance_0(faces):
    assert identity_distances(faces, faces) == [0.0] * len(faces)


def test_a_darkened_image_counts_as_the_same_person(faces):
    assert max(identity_distances(faces, faces // 4 * 3)) < SAME_PERSON


def test_another_face_has_a_greater_distance_than_the_same_face_darkened(faces):
    darker = identity_distances(faces, faces // 4 * 3)
    others = identity_distances(faces, np.roll(faces, 1, axis=0))
    assert min(others) > max(darker)
