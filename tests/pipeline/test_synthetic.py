"""The embedded sample: reproducible files in the two layouts, and masks placed as their ground truth says."""

import io
import re
import sys
from collections import Counter
from typing import NamedTuple

import imagehash
import numpy as np
import pydantic
import pytest
from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.regions import CHIN, FACE_OVAL, MOUTH, polygon_mask
from pipeline.synthetic import layout, portraits
from pipeline.synthetic.layout import SampleFile, SampleParams, sample_files

PARAMS = SampleParams(faces=24, image_px=256, seed=5)
FACE_KINDS = {"unmasked", "correct", "nose_out", "chin_out", "chin_only", "eyes_covered", "shifted", "none"}


class Made(NamedTuple):
    unmasked: dict[str, SampleFile]
    masked: dict[str, SampleFile]


@pytest.fixture(scope="session")
def made() -> Made:
    return Made(*({file.path: file for file in sample_files(domain, PARAMS)} for domain in ("unmasked", "masked")))


@pytest.fixture(scope="session")
def landmarks(made):
    """Detected landmarks of each unmasked face, (478, 2) shares, by id."""
    faces = [file for file in made.unmasked.values() if file.kind == "unmasked"]
    return {_id(file): get_landmarker(1)(_pixels(file))[0].points for file in faces}


def _pixels(file: SampleFile) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file.content)).convert("RGB"))


def _id(file: SampleFile) -> int:
    return int(file.path.rsplit("/", 1)[1][:5])


def _of_kind(files: dict[str, SampleFile], kind: str) -> list[SampleFile]:
    return [file for file in files.values() if file.kind == kind and file.copy_of is None]


def _changed(made: Made, landmarks, file: SampleFile, polygon: tuple[int, ...]) -> float:
    """Share of the polygon's pixels in which the masked image clearly differs from the unmasked one."""
    unmasked = _pixels(made.unmasked[f"00000/{_id(file):05d}.png"]).astype(int)
    inside = polygon_mask(landmarks[_id(file)], polygon, *unmasked.shape[:2]) > 0
    return float((np.abs(_pixels(file) - unmasked).max(axis=2) > 24)[inside].mean())


def test_the_same_params_give_the_same_bytes(made):
    again = {file.path: file for file in sample_files("masked", PARAMS)}
    assert again == made.masked


GOLDEN_MEANS = {  # RGB
    "00000/00003.png": (157.80, 128.64, 107.34),
    "CMFD/00000/00000_Mask.jpg": (109.92, 114.40, 106.26),
    "CMFD/00000/00005_Mask.jpg": (97.20, 121.74, 127.97),
    "IMFD/00000/00012_Mask_Mouth_Chin.jpg": (106.58, 94.96, 92.28),
}


def test_the_embedded_sample_stays_the_same(made):
    """Mean colours of some files: they change with the look of the sample, which must only change on purpose."""
    files = made.unmasked | made.masked
    for path, mean in GOLDEN_MEANS.items():
        assert _pixels(files[path]).mean(axis=(0, 1)) == pytest.approx(mean, abs=0.3), path


def test_a_face_does_not_depend_on_the_number_of_faces(made):
    first = next(sample_files("unmasked", SampleParams(faces=30, image_px=256, seed=5)))
    assert first.content == made.unmasked[first.path].content


def test_another_seed_gives_other_images(made):
    other = next(sample_files("unmasked", SampleParams(faces=24, image_px=256, seed=6)))
    assert other.content != made.unmasked[other.path].content


def test_unmasked_files_are_named_as_in_ffhq(made):
    assert all(re.fullmatch(r"00000/000\d\d\.png", path) for path in made.unmasked if path != "LICENSE.txt")


def test_masked_files_are_named_as_in_maskedface_net(made):
    name = r"CMFD/00000/000\d\d_Mask\.jpg|IMFD/00000/000\d\d_Mask_(Mouth_Chin|Nose_Mouth|Chin)\.jpg"
    assert all(re.fullmatch(name, path) for path in made.masked if path != "LICENSE.txt")


def test_folders_hold_a_thousand_ids():
    assert layout._unmasked_path(1234) == "01000/01234.png"


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("nose_out", "_Mask_Mouth_Chin"), ("chin_out", "_Mask_Nose_Mouth"), ("chin_only", "_Mask_Chin")],
)
def test_an_imfd_name_states_what_the_mask_covers(made, kind, ending):
    assert all(file.path.endswith(f"{ending}.jpg") for file in _of_kind(made.masked, kind))


def test_the_sample_has_every_kind(made):
    kinds = {file.kind for files in made for file in files.values()}
    assert kinds == FACE_KINDS | {"broken", "other"}


def test_at_240_faces_cmfd_has_fifteen_of_each_wrong_kind_and_imfd_thirty_of_each():
    plan = layout._plan(SampleParams(faces=240, image_px=256, seed=1))
    assert Counter(plan.cmfd.values()) == {"correct": 195, "eyes_covered": 15, "shifted": 15, "none": 15}
    assert Counter(plan.imfd.values()) == {"nose_out": 30, "chin_out": 30, "chin_only": 30}


def test_images_are_square_and_of_the_requested_size(made):
    faces = [file for files in made for file in files.values() if file.kind in FACE_KINDS and not file.copy_of]
    assert {_pixels(file).shape for file in faces} == {(256, 256, 3)}


def test_a_copy_names_its_original_and_is_a_near_duplicate_of_it(made):
    copies = [(files, file) for files in made for file in files.values() if file.copy_of]
    assert len(copies) == 8
    for files, copy in copies:
        original = files[copy.copy_of]
        assert original.kind in ("unmasked", "correct") and copy.kind == original.kind
        image = Image.fromarray(_pixels(copy))
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        expected = imagehash.phash(Image.fromarray(_pixels(original)))
        assert min(expected - imagehash.phash(image), expected - imagehash.phash(mirrored)) <= 8
        assert copy.content != original.content


def test_faces_of_different_ids_look_different(made):
    hashes = [imagehash.phash(Image.fromarray(_pixels(file))) for file in _of_kind(made.unmasked, "unmasked")]
    distances = [one - other for index, one in enumerate(hashes) for other in hashes[:index]]
    assert min(distances) > 4


def test_broken_files_do_not_decode(made):
    broken = [file for files in made for file in files.values() if file.kind == "broken"]
    assert len(broken) == 6
    for file in broken:
        with pytest.raises((OSError, SyntaxError)):
            Image.open(io.BytesIO(file.content)).load()


def test_every_file_names_its_licence_and_author_and_every_face_its_url(made):
    assert all(file.licence and file.author for files in made for file in files.values())
    assert all(file.url for files in made for file in files.values() if file.kind in FACE_KINDS)


def test_a_face_is_detected_in_every_unmasked_image(landmarks):
    assert sorted(landmarks) == list(range(24 + 4))


def test_a_masked_file_of_kind_none_shows_the_unmasked_face(made, landmarks):
    for file in _of_kind(made.masked, "none"):
        assert _changed(made, landmarks, file, FACE_OVAL) < 0.02  # of the JPEG


NOSE_TIP = (4, 45, 1, 275)


@pytest.mark.parametrize("polygon", [MOUTH, CHIN, NOSE_TIP])
def test_a_correct_mask_covers_mouth_chin_and_nose(made, landmarks, polygon):
    for file in _of_kind(made.masked, "correct"):
        assert _changed(made, landmarks, file, polygon) > 0.75, file.path


@pytest.mark.parametrize(
    ("kind", "free", "covered"),
    [("nose_out", NOSE_TIP, MOUTH), ("chin_out", CHIN, MOUTH), ("chin_only", MOUTH, CHIN)],
)
def test_an_incorrectly_worn_mask_leaves_free_what_its_kind_names(made, landmarks, kind, free, covered):
    for file in _of_kind(made.masked, kind):
        assert _changed(made, landmarks, file, free) < 0.25, file.path
        assert _changed(made, landmarks, file, covered) > 0.7, file.path


def test_a_mask_over_the_eyes_covers_both_eyes(made, landmarks):
    for file in _of_kind(made.masked, "eyes_covered"):
        for eye in ((33, 159, 133, 145), (263, 386, 362, 374)):
            assert _changed(made, landmarks, file, eye) > 0.7, file.path


def test_a_shifted_mask_leaves_half_the_mouth_free(made, landmarks):
    for file in _of_kind(made.masked, "shifted"):
        assert 0.2 < _changed(made, landmarks, file, MOUTH) < 0.8, file.path


def test_the_error_for_a_missing_portrait_package_names_the_extra_to_install(monkeypatch):
    portraits.load_portraits.cache_clear()
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(FacemaskError, match=r"pip install -e '\.\[sample\]'"):
        next(sample_files("unmasked", PARAMS))


@pytest.mark.parametrize("wrong", [{"faces": 19}, {"faces": 10_001}, {"image_px": 64}, {"seed": -1}, {"colour": "red"}])
def test_params_that_are_out_of_range_or_unknown_are_refused(wrong):
    values = {"faces": 24, "image_px": 256, "seed": 1} | wrong
    with pytest.raises(pydantic.ValidationError):
        SampleParams(**values)
