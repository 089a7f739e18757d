"""The embedded sample: repeatable files in the two layouts, and masks that sit where their truth says."""

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
from pipeline.faces.landmarker import open_landmarker
from pipeline.faces.regions import CHIN, MOUTH, polygon_mask
from pipeline.synthetic import layout, portraits
from pipeline.synthetic.layout import SampleFile, SampleParams, sample_files

PARAMS = SampleParams(faces=24, image_px=256, seed=5)
LOOKS = {"plain", "correct", "nose_out", "chin_out", "chin_only", "eyes_covered", "shifted", "none"}


class Made(NamedTuple):
    unmasked: dict[str, SampleFile]
    masked: dict[str, SampleFile]


@pytest.fixture(scope="session")
def made() -> Made:
    plain, masked = ({file.path: file for file in sample_files(domain, PARAMS)} for domain in ("unmasked", "masked"))
    return Made(plain, masked)


@pytest.fixture(scope="session")
def landmarks(made):
    """Landmarks of each plain face, (478, 2) shares, by id; measured, not taken from the maker."""
    with open_landmarker(1) as detect:
        return {_id(file): detect(_pixels(file))[0].points for file in made.unmasked.values() if file.kind == "plain"}


def _pixels(file: SampleFile) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file.content)).convert("RGB"))


def _id(file: SampleFile) -> int:
    return int(file.path.rsplit("/", 1)[1][:5])


def _of_kind(files: dict[str, SampleFile], kind: str) -> list[SampleFile]:
    return [file for file in files.values() if file.kind == kind and file.copy_of is None]


def _changed(made: Made, landmarks, file: SampleFile, polygon: tuple[int, ...]) -> float:
    """Share of the polygon's pixels in which the masked image clearly differs from its plain one."""
    plain = _pixels(made.unmasked[f"00000/{_id(file):05d}.png"]).astype(int)
    inside = polygon_mask(landmarks[_id(file)], polygon, *plain.shape[:2]) > 0
    return float((np.abs(_pixels(file) - plain).max(axis=2) > 24)[inside].mean())


def test_the_same_params_give_the_same_bytes(made):
    again = {file.path: file for file in sample_files("masked", PARAMS)}
    assert again == made.masked


def test_a_face_does_not_depend_on_how_many_others_are_made(made):
    first = next(sample_files("unmasked", SampleParams(faces=30, image_px=256, seed=5)))
    assert first.content == made.unmasked[first.path].content


def test_another_seed_gives_other_images(made):
    other = next(sample_files("unmasked", SampleParams(faces=24, image_px=256, seed=6)))
    assert other.content != made.unmasked[other.path].content


def test_plain_files_are_named_as_in_ffhq(made):
    assert all(re.fullmatch(r"00000/000\d\d\.png", path) for path in made.unmasked if path != "LICENSE.txt")


def test_masked_files_are_named_as_in_maskedface_net(made):
    name = r"CMFD/00000/000\d\d_Mask\.jpg|IMFD/00000/000\d\d_Mask_(Mouth_Chin|Nose_Mouth|Chin)\.jpg"
    assert all(re.fullmatch(name, path) for path in made.masked if path != "LICENSE.txt")


def test_folders_hold_a_thousand_ids():
    assert layout._plain_path(1234) == "01000/01234.png"


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("nose_out", "_Mask_Mouth_Chin"), ("chin_out", "_Mask_Nose_Mouth"), ("chin_only", "_Mask_Chin")],
)
def test_an_imfd_name_says_what_the_mask_covers(made, kind, ending):
    assert all(file.path.endswith(f"{ending}.jpg") for file in _of_kind(made.masked, kind))


def test_every_kind_is_there(made):
    kinds = {file.kind for files in made for file in files.values()}
    assert kinds == LOOKS | {"broken", "other"}


def test_at_240_faces_cmfd_has_fifteen_of_each_wrong_kind_and_imfd_thirty_of_each():
    plan = layout._plan(SampleParams(faces=240, image_px=256, seed=1))
    assert Counter(plan.cmfd.values()) == {"correct": 195, "eyes_covered": 15, "shifted": 15, "none": 15}
    assert Counter(plan.imfd.values()) == {"nose_out": 30, "chin_out": 30, "chin_only": 30}


def test_images_are_square_and_of_the_asked_size(made):
    looks = [file for files in made for file in files.values() if file.kind in LOOKS and not file.copy_of]
    assert {_pixels(file).shape for file in looks} == {(256, 256, 3)}


def test_a_copy_names_an_original_and_looks_like_it(made):
    copies = [(files, file) for files in made for file in files.values() if file.copy_of]
    assert len(copies) == 8
    for files, copy in copies:
        original = files[copy.copy_of]
        assert original.kind in ("plain", "correct") and copy.kind == original.kind
        look = Image.fromarray(_pixels(copy))
        flipped = look.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        wanted = imagehash.phash(Image.fromarray(_pixels(original)))
        assert min(wanted - imagehash.phash(look), wanted - imagehash.phash(flipped)) <= 8
        assert copy.content != original.content


def test_faces_of_different_ids_look_different(made):
    faces = [imagehash.phash(Image.fromarray(_pixels(file))) for file in _of_kind(made.unmasked, "plain")]
    near = [one - other for index, one in enumerate(faces) for other in faces[:index]]
    assert min(near) > 4


def test_broken_files_do_not_decode(made):
    broken = [file for files in made for file in files.values() if file.kind == "broken"]
    assert len(broken) == 6
    for file in broken:
        with pytest.raises((OSError, SyntaxError)):
            Image.open(io.BytesIO(file.content)).load()


def test_every_image_names_its_licence_and_author(made):
    assert all(file.licence and file.author for files in made for file in files.values())
    assert all(file.url for files in made for file in files.values() if file.kind in LOOKS)


def test_a_face_is_found_in_every_plain_image(landmarks):
    assert sorted(landmarks) == list(range(24 + 4))


def test_without_a_mask_the_face_is_the_plain_one(made, landmarks):
    for file in _of_kind(made.masked, "none"):
        assert _changed(made, landmarks, file, portraits.OVAL) < 0.02  # JPEG alone


NOSE_TIP = (4, 45, 1, 275)


@pytest.mark.parametrize("polygon", [MOUTH, CHIN, NOSE_TIP])
def test_a_correct_mask_covers_mouth_chin_and_nose(made, landmarks, polygon):
    for file in _of_kind(made.masked, "correct"):
        assert _changed(made, landmarks, file, polygon) > 0.75, file.path


@pytest.mark.parametrize(
    ("kind", "free", "covered"),
    [("nose_out", NOSE_TIP, MOUTH), ("chin_out", CHIN, MOUTH), ("chin_only", MOUTH, CHIN)],
)
def test_a_wrong_mask_leaves_free_what_its_kind_says(made, landmarks, kind, free, covered):
    for file in _of_kind(made.masked, kind):
        assert _changed(made, landmarks, file, free) < 0.25, file.path
        assert _changed(made, landmarks, file, covered) > 0.7, file.path


def test_a_mask_over_the_eyes_covers_both(made, landmarks):
    for file in _of_kind(made.masked, "eyes_covered"):
        for eye in ((33, 159, 133, 145), (263, 386, 362, 374)):
            assert _changed(made, landmarks, file, eye) > 0.7, file.path


def test_a_shifted_mask_leaves_half_the_mouth_free(made, landmarks):
    for file in _of_kind(made.masked, "shifted"):
        assert 0.2 < _changed(made, landmarks, file, MOUTH) < 0.8, file.path


def test_a_missing_portrait_package_is_one_line_that_says_what_to_install(monkeypatch):
    portraits.load_portraits.cache_clear()
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(FacemaskError, match=r"pip install -e '\.\[sample\]'"):
        next(sample_files("unmasked", PARAMS))


@pytest.mark.parametrize("wrong", [{"faces": 19}, {"faces": 10_001}, {"image_px": 64}, {"seed": -1}, {"colour": "red"}])
def test_params_out_of_range_or_unknown_are_refused(wrong):
    values = {"faces": 24, "image_px": 256, "seed": 1} | wrong
    with pytest.raises(pydantic.ValidationError):
        SampleParams(**values)
