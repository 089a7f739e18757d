"""Clusters of copies: hashes find candidates, pixels decide, and no chain joins different pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation import hash_index, near_duplicates
from pipeline.curation.face_patches import ABOVE_MASK_ROWS, PATCH_PX
from pipeline.curation.near_duplicates import Fingerprints, ImageHashes, find_duplicates, find_pairs
from pipeline.curation.rules import DedupParams
from pipeline.curation.similarity import similarities
from tests.pipeline.test_similarity import patch, picture

LIMITS = DedupParams(max_hash_distance=8, min_similarity=0.77, max_removed=1)
FAR = (1 << 255) - (1 << 128)


def hash_array(values):
    return np.array([list(value.to_bytes(32, "big")) for value in values], np.uint8).reshape(-1, 32)


def image_hashes(values, mirrored=None):
    """Hashes of images; the mirrored ones are near none of them unless given."""
    other = [value ^ (2**256 - 1) for value in values] if mirrored is None else mirrored
    return ImageHashes(hash_array(values), hash_array(other))


def prints(photo, pictures, face=None, mirrored=None):
    """Fingerprints by the 256-bit hashes `photo` and by patches, which are of picture number `pictures`."""
    patches = (
        np.stack([patch(picture(number)) for number in pictures])
        if len(pictures)
        else np.empty((0, PATCH_PX, PATCH_PX), np.uint8)
    )
    frames = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (len(photo), 2, 3))
    return Fingerprints(image_hashes(photo, mirrored), image_hashes(photo if face is None else face), patches, frames)


def clusters(*args, **named):
    return find_duplicates(prints(*args, **named), LIMITS).first.tolist()


def test_a_copy_joins_the_first_image_with_its_similarity():
    found = find_duplicates(prints([0b0, FAR, 0b11], [1, 2, 1]), LIMITS)
    assert found.first.tolist() == [-1, -1, 0]
    assert found.similarity[2] == pytest.approx(1, abs=1e-3) and np.isnan(found.similarity[:2]).all()


def test_images_with_near_hashes_and_different_pixels_are_not_joined():
    assert clusters([0b0, 0b1], [1, 2]) == [-1, -1]


def test_images_with_equal_pixels_and_far_hashes_are_not_candidates():
    assert clusters([0b0, FAR], [1, 1]) == [-1, -1]


def test_the_face_s_hash_finds_what_the_photo_s_does_not():
    assert clusters([0b0, FAR], [1, 1], face=[0b0, 0b1]) == [-1, 0]


def test_a_mirrored_copy_is_found():
    assert clusters([0b0, FAR], [1, 1], mirrored=[FAR ^ (1 << 200), 0b1]) == [-1, 0]


def test_a_copy_of_a_copy_is_compared_with_the_first_image():
    # The third hash is near the second only; its pixels are those of the first.
    assert clusters([0b0, 0xFF, 0xFFFF], [1, 1, 1]) == [-1, 0, 0]


def test_a_comparison_with_the_first_image_is_not_repeated(monkeypatch):
    compared = []

    def counted(prepared, pairs):
        compared.extend(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
        return similarities(prepared, pairs)

    monkeypatch.setattr(near_duplicates, "similarities", counted)
    images = prints([0b0] * 3, [1] * 3)
    images.patches[0, ::2] -= 4  # the third image is more similar to the second one
    assert find_duplicates(images, LIMITS).first.tolist() == [-1, 0, 0]
    assert sorted(compared) == [(1, 0), (2, 0), (2, 1)]


def test_no_images_have_no_clusters():
    assert clusters([], []) == []


numbers = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 255)), max_size=30)


@pytest.mark.parametrize(
    ("block", "part"),
    [(3, 3), (7, 3), (4096, 256)],
    ids=["over several blocks", "over several parts of blocks", "within one part"],
)
@settings(max_examples=25, deadline=None)
@given(images=numbers)
def test_each_picture_has_one_cluster(block, part, images):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(near_duplicates, "_BLOCK", block)
        monkeypatch.setattr(near_duplicates, "_PART", part)
        # The low byte differs between copies by up to 8 bits, the rest between pictures by 32.
        hashes = [(2**32 - 1) << (32 * number + 8) | bits for number, bits in images]
        first = clusters(hashes, [number for number, _ in images])
    shown = [number for number, _ in images]
    assert [shown.index(number) for number in shown] == [i if f < 0 else f for i, f in enumerate(first)]


def test_many_images_are_searched_in_cells_and_copies_are_still_found(monkeypatch):
    monkeypatch.setattr(hash_index, "_EXACT", 50)
    monkeypatch.setattr(hash_index, "_CELLS", 16)
    monkeypatch.setattr(hash_index, "_PROBED", 4)
    random = np.random.default_rng(0)
    hashes = [int.from_bytes(random.bytes(32), "big") for _ in range(60)]
    copies = [value ^ 0b111 for value in hashes]
    pictures = list(range(60))
    assert clusters(hashes + copies, pictures + pictures) == [-1] * 60 + pictures


def test_a_face_is_found_with_and_without_its_mask():
    faces, masked = prints([0b0, FAR], [1, 2]), prints([FAR ^ 1, 0b11], [2, 1])
    masked.patches[:, ABOVE_MASK_ROWS:] = 220
    assert find_pairs(faces, masked, LIMITS).tolist() == [[1, 0], [0, 1]]


def test_different_faces_above_like_masks_are_not_paired():
    faces, masked = prints([0b0], [1]), prints([0b1], [2])
    masked.patches[:, ABOVE_MASK_ROWS:] = faces.patches[:, ABOVE_MASK_ROWS:]
    assert len(find_pairs(faces, masked, LIMITS)) == 0
