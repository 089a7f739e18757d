import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.curation.hashes import Hashes, fine_hashes, hashes

# Frozen: hashes are stored in manifests, so that no version of Pillow, OpenCV or imagehash may change them.
GOLDEN = [
    Hashes(
        0xE0C8A49A157CC7ED,
        0xB49DF18F422B92B8,
        bytes.fromhex("e16fc86fa43e9a4d17387e94c790ed1ac1e3ba4d644a501f3865afc09b9545b2"),
        bytes.fromhex("b43a9d3af16bcf18426d2bc192c5b84f94b6ef18313f056a6d20fa95cee010e7"),
    ),
    Hashes(
        0xEBA4FCC499E21CD0,
        0xBEE0A9B0CCB748AC,
        bytes.fromhex("eb19b4c6fc96e54a993aeac51d1af99397906295089726c462e0d91bf7689d4a"),
        bytes.fromhex("be4ce193a9c3b01fcc6fbf90486facc2c2c537c05dc2739137b48c4ea23cc81f"),
    ),
    Hashes(
        0x8D143EC2CB374CAD,
        0xD8416B979E6219F8,
        bytes.fromhex("8fe2146e3e94e21dcbc037c04c3eadc2694b436ba6c4c83fb09737e0593bbc96"),
        bytes.fromhex("da97413b6bc1b7489e956295196bf8973c1e163ef3919d4a45c062950c6ee9c3"),
    ),
]


def shades(seed):
    """A smooth random image, as photos are: of white noise many frequencies are near the median."""
    grid = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((120, 100), Image.Resampling.BICUBIC)


def hashed(image):
    return hashes([image])[0]


@pytest.mark.parametrize("seed", range(3))
def test_hashes_equal_those_that_are_stored_in_manifests(seed):
    assert hashed(shades(seed)) == GOLDEN[seed]


@pytest.mark.parametrize("seed", range(100))
def test_fine_hashes_equal_imagehash_s_of_the_same_scaled_image(seed):
    scaled = cv2.resize(np.asarray(shades(seed).convert("L")), (64, 64), interpolation=cv2.INTER_AREA)
    image = Image.fromarray(scaled)
    expected = [str(imagehash.phash(one, hash_size=16)) for one in (image, ImageOps.mirror(image))]
    assert [found.hex() for (found,) in fine_hashes(scaled[None])] == expected


def test_a_hash_is_the_same_in_any_batch():
    images = [shades(seed) for seed in range(9)]
    assert hashes(images) == [hashed(image) for image in images]


@pytest.mark.parametrize("seed", range(100))
def test_the_coarse_hash_equals_imagehash_s(seed):
    assert f"{hashed(shades(seed)).phash:016x}" == str(imagehash.phash(shades(seed)))


def test_the_fine_hash_differs_little_from_imagehash_s():
    other = int(str(imagehash.phash(shades(0), hash_size=16)), 16)
    assert (int.from_bytes(hashed(shades(0)).fine_hash, "big") ^ other).bit_count() <= 24  # another scaling filter


@pytest.mark.parametrize("seed", range(10))
def test_mirrored_hashes_equal_the_hashes_of_the_mirrored_image(seed):
    found, other = hashed(shades(seed)), hashed(ImageOps.mirror(shades(seed)))
    fine = int.from_bytes(found.fine_hash_mirrored, "big") ^ int.from_bytes(other.fine_hash, "big")
    assert (found.phash_mirrored ^ other.phash).bit_count() <= 2  # scaling rounds to grey levels, not symmetrically
    assert fine.bit_count() <= 6


def test_a_quarter_turn_moves_many_bits():
    turned = shades(0).transpose(Image.Transpose.ROTATE_90)
    assert (hashed(shades(0)).phash ^ hashed(turned).phash).bit_count() > 16
