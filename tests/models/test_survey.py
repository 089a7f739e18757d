"""The pictures of `facemask survey`: which faces, what is made of them, and that no picture gives itself away."""

import io
import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from models.evaluation import survey as survey_module
from models.evaluation.survey_faces import Task, deal_faces
from models.evaluation.survey_pictures import (
    drawing_method,
    open_method,
    refuse_same_names,
    survey_pictures,
)
from models.evaluation.translation import FaceSet, translate_and_reconstruct
from models.params import EvaluateParams
from models.registry import DRAWING
from models.training import checkpoint
from models.training.drawn_inputs import WholeDrawings
from pipeline.errors import FacemaskError
from pipeline.faces.conditioning import conditioning_maps
from pipeline.paths import Paths
from pipeline.storage import packed_arrays as packed
from tests.closure import ROOT
from tests.models.conftest import FACE, LOAD_PX, LOWER_HALF, TINY, plain_mask, with_masks, write_checkpoint, write_pack

PARAMS = EvaluateParams(images=1000, batch_size=4, grid_faces=2)
FACES = 16  # test faces of each domain
BOTH = [Task(0, "mask"), Task(0, "unmask")]


@pytest.fixture
def pack(tmp_path):
    counts = {"unmasked_test": FACES, "masked_test": FACES, "unmasked_train": 2, "masked_train": 2}
    return write_pack(tmp_path / "data/train", counts)


@pytest.fixture
def guided(pack, tmp_path):
    return with_masks(write_checkpoint(tmp_path / "guided"), [plain_mask((12, 200, 40))])


def pictures_of(*folders, count=3, seed=0):
    methods = [drawing_method() if folder is None else open_method(folder) for folder in folders]
    return survey_pictures(methods, PARAMS, Paths(), count, seed)


def pixels_of(shown):
    with Image.open(io.BytesIO(shown.png), formats=["PNG"]) as image:
        return np.asarray(image)


def read_tests():
    return {domain: packed.read_set(Path("data/train"), domain, "test") for domain in packed.DOMAINS}


def whole(domain, folder, px=TINY.image_px):
    """All test faces of a domain, as stage `evaluate` reads them for the checkpoint in `folder`."""
    generators, info = checkpoint.load_generators(folder)
    drawn = WholeDrawings(checkpoint.load_masks(folder, info)) if info.generator == "guided" else None
    return generators, FaceSet(read_tests()[domain], domain, list(range(FACES)), px, 4, drawn)


def set_people(domain, ffhq_ids):
    """Say who is on the test pictures of a domain."""
    path = packed.array_paths(Path("data/train"), f"{domain}_test")[2]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ffhq_ids": ffhq_ids}))


# Which faces


def test_no_person_is_shown_twice_not_even_once_with_and_once_without_a_mask(pack):
    set_people("unmasked", list(range(FACES)))
    set_people("masked", list(range(8, 8 + FACES)))  # eight persons have both
    tests = read_tests()
    eligible = {domain: list(range(FACES)) for domain in packed.DOMAINS}
    dealt = deal_faces(tests, eligible, BOTH, 100, 0)
    people = [tests[one.domain].ffhq_ids[one.index] for one in dealt]
    assert len(people) == len(set(people)) > 15


def test_made_pictures_are_among_as_many_real_ones_that_look_alike(pack):
    tests = read_tests()
    dealt = deal_faces(tests, {domain: list(range(FACES)) for domain in packed.DOMAINS}, BOTH, 4, 0)
    assert Counter((one.kind, one.direction, one.domain) for one in dealt if one.kind != "check") == {
        ("made", "mask", "unmasked"): 4,
        ("real", "mask", "masked"): 4,
        ("made", "unmask", "masked"): 4,
        ("real", "unmask", "unmasked"): 4,
    }
    assert sum(one.kind == "check" for one in dealt) == 3


@pytest.mark.parametrize("tasks", [BOTH, [*BOTH, Task(1, "mask"), Task(1, "unmask"), Task(2, "mask")]])
def test_where_persons_are_few_each_method_and_direction_gets_equally_few(pack, tasks):
    dealt = deal_faces(read_tests(), {domain: list(range(FACES)) for domain in packed.DOMAINS}, tasks, 100, 0)
    made = Counter((one.method, one.direction) for one in dealt if one.kind == "made")
    assert made.keys() == set(tasks) and len(set(made.values())) == 1
    assert sum(one.kind == "real" for one in dealt) == sum(made.values())


def test_too_few_persons_are_a_one_line_error(pack):
    tasks = [Task(place, direction) for place in range(20) for direction in ("mask", "unmask")]
    with pytest.raises(FacemaskError, match="has 16 unmasked and 16 masked faces, too few for this survey: "):
        deal_faces(read_tests(), {domain: list(range(FACES)) for domain in packed.DOMAINS}, tasks, 1, 0)


def test_the_seed_decides_which_faces_are_shown_and_as_what(pack):
    eligible = {domain: list(range(FACES)) for domain in packed.DOMAINS}
    first, again, other = (deal_faces(read_tests(), eligible, BOTH, 4, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_faces_without_landmarks_are_not_shown(guided, pack):
    path = packed.array_paths(pack, "unmasked_test")[1]
    points = np.load(path)
    points[6:] = np.nan
    np.save(path, points)
    shown = pictures_of(guided, count=1)
    bare = {as_bytes(image) for images, _ in [photos("unmasked", guided)] for image in images[6:]}
    assert {as_bytes(pixels_of(one)) for one in shown if one.kind == "real"} & bare == set()


# What is shown


def photos(domain, folder):
    """The test faces of a domain in the generators' size, and their fakes, as stage `evaluate` has them."""
    generators, faces = whole(domain, folder)
    direction = "mask" if domain == "unmasked" else "unmask"
    result = translate_and_reconstruct(direction, generators, faces)
    return result.photos, result.fakes


def as_bytes(image):
    return image.tobytes()


@pytest.mark.parametrize("method", ["guided", "cyclegan"])
def test_made_pictures_are_those_of_the_evaluation(pack, tmp_path, method):
    folder = write_checkpoint(tmp_path / method, replace(TINY, method=method))
    if method == "guided":
        with_masks(folder, [plain_mask((12, 200, 40))])
    shown = pictures_of(folder)
    for direction, domain in (("mask", "unmasked"), ("unmask", "masked")):
        _, fakes = photos(domain, folder)
        made = [pixels_of(one) for one in shown if (one.kind, one.direction) == ("made", direction)]
        assert len(made) == 3
        for image in made:  # in batches of other faces, sums may differ in the last bit
            assert min(np.abs(fake.astype(int) - image).max() for fake in fakes) <= 1


def test_real_pictures_are_test_faces_of_the_domain_that_made_ones_should_resemble(guided):
    shown = pictures_of(guided)
    for direction, domain in (("mask", "masked"), ("unmask", "unmasked")):
        known = {as_bytes(image) for image in photos(domain, guided)[0]}
        real = [as_bytes(pixels_of(one)) for one in shown if (one.kind, one.direction) == ("real", direction)]
        assert len(real) == 3 and set(real) <= known


def test_pictures_of_generators_of_two_sizes_are_files_of_one_length(guided, tmp_path):
    larger = write_checkpoint(tmp_path / "larger", replace(TINY, method="pix2pix", image_px=36))
    shown = pictures_of(guided, larger, None, count=1)
    assert {one.method for one in shown} == {"guided", "larger", DRAWING, ""}
    assert {pixels_of(one).shape for one in shown} == {(32, 32, 3)}
    assert len({len(one.png) for one in shown}) == 1
    generators, faces = whole("masked", larger, 36)
    fakes = translate_and_reconstruct("unmask", generators, faces).fakes
    whole_fakes = [np.asarray(Image.fromarray(fake).resize((32, 32), Image.Resampling.BILINEAR), int) for fake in fakes]
    [made] = [pixels_of(one) for one in shown if (one.method, one.direction) == ("larger", "unmask")]
    assert min(np.abs(fake - made).max() for fake in whole_fakes) <= 2


def test_kinds_do_not_follow_each_other_in_the_pictures_numbers(guided):
    kinds = [one.kind for one in pictures_of(guided, count=6)]
    assert sum(before != after for before, after in pairwise(kinds)) > 6


def test_an_attention_check_has_a_flat_patch_over_the_whole_lower_face(guided):
    checks = [pixels_of(one) for one in pictures_of(guided) if one.kind == "check"]
    assert len(checks) == 3
    rows, columns = (slice(int(0.7 * 32), int(0.8 * 32)), slice(int(0.4 * 32), int(0.6 * 32)))
    region = conditioning_maps(FACE, 32, 32)[..., 0] > 0
    assert region[rows, columns].all()
    for image in checks:
        assert np.ptp(image[rows, columns].reshape(-1, 3), axis=0).max() == 0
        assert np.ptp(image[:4].reshape(-1, 3), axis=0).min() > 100  # the noise above the face stays


def test_the_drawing_alone_puts_masks_on_and_changes_nothing_else(pack):
    shown = pictures_of(None)
    made = [one for one in shown if one.kind == "made"]
    assert {(one.method, one.direction) for one in made} == {(DRAWING, "mask"), (DRAWING, "unmask")}
    known = read_tests()["unmasked"].images
    for image in (pixels_of(one) for one in made if one.direction == "mask"):
        changed = min(((image != photo).any(axis=2) for photo in known), key=np.sum)
        assert 0.05 < changed.mean() < 0.6 and image.shape[0] == LOAD_PX
        assert not changed[:8].any()


def test_the_drawing_alone_takes_masks_off_where_they_are_and_changes_nothing_else(pack):
    made = [pixels_of(one) for one in pictures_of(None) if (one.kind, one.direction) == ("made", "unmask")]
    known = read_tests()["masked"].images
    assert len(made) == 3
    for image in made:
        changed = min(((image != photo).any(axis=2) for photo in known), key=np.sum)
        assert changed[LOWER_HALF].mean() > 0.9
        assert not changed[: LOAD_PX // 2 - 2].any()


def test_a_model_that_only_puts_masks_on_has_no_pictures_without_masks(pack, tmp_path):
    folder = write_checkpoint(tmp_path / "simgan", replace(TINY, method="simgan"))
    assert {(one.kind, one.direction) for one in pictures_of(folder) if one.kind != "check"} == {
        ("made", "mask"),
        ("real", "mask"),
    }


def test_a_picture_has_the_same_id_in_every_survey_and_another_for_another_checkpoint(guided, tmp_path):
    other = write_checkpoint(tmp_path / "other")
    alone, beside = (pictures_of(*folders, count=20) for folders in ([guided], [guided, other]))
    ids = {as_bytes(pixels_of(one)): one.picture_id for one in alone if one.kind != "check"}
    again = [one for one in beside if one.method != "other" and as_bytes(pixels_of(one)) in ids]
    assert len(again) > 5 and all(ids[as_bytes(pixels_of(one))] == one.picture_id for one in again)
    for pictures in (alone, beside):
        assert len({one.picture_id for one in pictures}) == len(pictures)


def test_a_survey_that_starts_again_makes_no_picture_twice(guided, capsys):
    before = pictures_of(guided)
    assert "guided makes 3 pictures (mask)" in capsys.readouterr().out
    assert pictures_of(guided) == before
    assert "makes" not in capsys.readouterr().out


def test_fewer_pictures_than_were_wanted_are_said(guided, capsys):
    pictures_of(guided, count=50)
    assert "instead of 50: the test set has no more persons, and none is shown twice" in capsys.readouterr().out


def test_two_checkpoints_that_votes_could_not_tell_apart_are_refused(guided, tmp_path):
    method = open_method(guided)
    with pytest.raises(FacemaskError, match="are the checkpoint"):
        refuse_same_names([method, replace(method, name="other")])
    with pytest.raises(FacemaskError, match="have the name guided: leave one out"):
        refuse_same_names([method, replace(method, checkpoint="0" * 12)])


# The command


@pytest.fixture
def served(guided, monkeypatch):
    """What the command would serve."""
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    found = []
    monkeypatch.setattr(survey_module, "serve_survey", lambda survey, port: found.append((survey, port)))
    return found


def test_the_command_compares_checkpoints_and_the_drawing(served, capsys):
    main(["survey", "guided", "drawing", "--count", "6", "--seed", "4", "--port", "4999"])
    [(survey, port)] = served
    assert Counter((one.method, one.direction) for one in survey.pictures if one.kind == "made") == {
        ("guided", "mask"): 3,
        ("guided", "unmask"): 3,
        (DRAWING, "mask"): 3,
        (DRAWING, "unmask"): 3,
    }
    assert (survey.seed, port) == (4, 4999)
    assert (survey.votes, survey.result) == (Path("data/survey.jsonl"), Path("data/survey.json"))
    assert "guided was trained on other packed images" in capsys.readouterr().err


def test_results_are_printed_and_written_without_pictures(served, capsys):
    main(["survey", "--results"])
    assert served == []
    assert "facemask: the original study: 40% of 2,200" in capsys.readouterr().out
    assert json.loads(Path("data/survey.json").read_text()) == {}


def test_an_unknown_checkpoint_is_refused_in_one_line(served, capsys):
    with pytest.raises(SystemExit):
        main(["survey", "v9"])
    assert served == []


@pytest.mark.parametrize("count", ["0", "-3"])
def test_a_count_below_one_is_refused(served, count, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["survey", "guided", f"--count={count}"])
    assert ended.value.code == 2 and "is no whole number from 1 on" in capsys.readouterr().err
