import imagehash
import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.hashes import hashes


def shades(seed):
    """A smooth random picture, as photos are: white noise would leave the hash's median to chance."""
    grid = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((120, 100), Image.Resampling.BICUBIC)


def hashed(image):
    return hashes([image])[0]


def test_a_hash_is_the_same_whatever_images_come_along():
    images = [shades(seed) for seed in range(9)]
    assert hashes(images) == [hashed(image) for image in images]


@pytest.mark.parametrize("seed", range(100))
def test_the_hash_is_imagehash_s_to_the_bit(seed):
    assert f"{hashed(shades(seed)).phash:016x}" == str(imagehash.phash(shades(seed)))


def test_the_fine_hash_is_near_imagehash_s_of_its_size():
    other = int(str(imagehash.phash(shades(0), hash_size=16)), 16)
    assert (int.from_bytes(hashed(shades(0)).fine_hash, "big") ^ other).bit_count() <= 24  # scaled in another way


@pytest.mark.parametrize("seed", range(10))
def test_the_mirrored_hashes_are_those_of_the_mirrored_image(seed):
    found, other = hashed(shades(seed)), hashed(ImageOps.mirror(shades(seed)))
    fine = int.from_bytes(found.fine_hash_mirrored, "big") ^ int.from_bytes(other.fine_hash, "big")
    assert (found.phash_mirrored ^ other.phash).bit_count() <= 2  # scaling rounds, and rounding is not mirrored
    assert fine.bit_count() <= 6


def test_a_quarter_turn_moves_many_bits():
    turned = shades(0).transpose(Image.Transpose.ROTATE_90)
    assert (hashed(shades(0)).phash ^ hashed(turned).phash).bit_count() > 16
