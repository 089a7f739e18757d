import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.curation.hashes import fine_hashes, image_hash

# Frozen: hashes are stored in manifests, so that no version of Pillow or imagehash may change them.
GOLDEN = [0xE0C8A49A157CC7ED, 0xEBA4FCC499E21CD0, 0x8D143EC2CB374CAD]


def shades(seed):
    """A smooth random image, as photos are: of white noise many frequencies are near the median."""
    grid = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((120, 100), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("seed", range(3))
def test_hashes_equal_those_that_are_stored_in_manifests(seed):
    assert image_hash(shades(seed)) == GOLDEN[seed]


@pytest.mark.parametrize("seed", range(100))
def test_fine_hashes_equal_imagehash_s_of_the_same_scaled_image(seed):
    scaled = cv2.resize(np.asarray(shades(seed).convert("L")), (64, 64), interpolation=cv2.INTER_AREA)
    image = Image.fromarray(scaled)
    expected = [str(imagehash.phash(one, hash_size=16)) for one in (image, ImageOps.mirror(image))]
    assert [found.hex() for (found,) in fine_hashes(scaled[None])] == expected


@pytest.mark.parametrize("seed", range(100))
def test_the_64_bit_hash_equals_imagehash_s(seed):
    assert f"{image_hash(shades(seed)):016x}" == str(imagehash.phash(shades(seed)))


def test_a_quarter_turn_moves_many_bits():
    turned = shades(0).transpose(Image.Transpose.ROTATE_90)
    assert (image_hash(shades(0)) ^ image_hash(turned)).bit_count() > 16
