"""benchmarks/downstream: whom it trains and tests on, its fakes, its classifier and its intervals."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks import downstream
from benchmarks.downstream import (
    ADDED,
    DRAWN,
    REAL,
    Folder,
    Trial,
    classify,
    compare,
    make_folder,
    measures,
    persons_to_test,
    pick,
    with_interval,
)
from benchmarks.downstream_classifier import Examples, fit, train
from benchmarks.downstream_faces import (
    BARE,
    CORRECT,
    PER_FACE,
    SIDE,
    WRONG,
    LabelledFaces,
    draw_fakes,
    draw_varied_fakes,
    make_fakes,
    read_labelled,
)
from pipeline.errors import FacemaskError
from tests.models.conftest import BLUE, FACE, TINY, plain_mask, with_masks, write_checkpoint, write_pack


def faces_of(kinds, persons):
    """Grey faces."""
    count = len(kinds)
    images = np.full((count, SIDE, SIDE, 3), 128, np.uint8)
    return LabelledFaces(images, np.repeat(FACE[None], count, 0), np.array(kinds), np.array(persons, np.int64))


def examples_of(kinds, persons=None, seed=0, shift=3.0, size=4):
    """Noise, moved by `shift` where the mask is worn correctly."""
    kinds = np.array(kinds)
    features = np.random.default_rng(seed).normal(0, 1, (len(kinds), size)) + shift * (kinds == CORRECT)[:, None]
    return Examples(features, kinds, np.arange(len(kinds)) if persons is None else np.array(persons))


@pytest.fixture
def bare():
    return faces_of([BARE] * 5, range(5))


def test_nobody_on_whom_the_pack_trains_is_tested(tmp_path):
    pack = write_pack(tmp_path / "pack", {"unmasked_train": 2, "masked_train": 1})
    for name, ids in (("unmasked_train", [3, None]), ("masked_train", [20_007])):
        path = pack / f"{name}.faces.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"ffhq_ids": ids}))
    assert persons_to_test(np.array([3, 4, 4, 7, 60_007]), pack).tolist() == [4, 60_007]


def test_without_a_pack_some_persons_are_tested_and_some_are_not():
    assert 0 < len(persons_to_test(np.arange(10), None)) < 10


def test_nobody_is_trained_and_tested_on_not_as_a_fake_either(monkeypatch):
    monkeypatch.setattr(downstream, "face_features", lambda images: images.reshape(len(images), -1)[:, :4] * 1.0)
    monkeypatch.setattr(downstream, "accept", lambda images: np.ones(len(images), bool))
    faces = faces_of([BARE, BARE, CORRECT, "nose_out", BARE], [0, 1, 0, 1, 2])
    folder = make_folder(faces, np.array([1]), [])
    assert set(folder.test.persons) == {1}
    assert set(folder.train.persons) == set(folder.added[DRAWN].persons) | {0} == {0, 2}


def test_each_person_gives_one_picture_before_any_gives_two():
    examples = examples_of([CORRECT] * 9, [1, 1, 1, 1, 1, 1, 2, 3, 4])
    for seed in range(20):
        assert sorted(pick(examples, 4, np.random.default_rng(seed)).persons) == [1, 2, 3, 4]


@pytest.mark.parametrize("draw", [draw_fakes, draw_varied_fakes])
def test_every_bare_face_gets_correct_and_wrong_masks_of_all_kinds(bare, draw):
    drawn = draw(bare)
    assert (drawn.kinds.reshape(5, -1) == CORRECT).sum(axis=1).tolist() == [PER_FACE] * 5
    assert set(drawn.kinds) == {CORRECT, *WRONG}
    assert drawn.persons.tolist() == np.repeat(range(5), 2 * PER_FACE).tolist()
    assert np.array_equal(drawn.images, draw(bare).images)
    changed = (drawn.images != bare.images.repeat(2 * PER_FACE, 0)).any(axis=3).mean(axis=(1, 2))
    assert changed.min() > 0.02


def test_masks_of_one_face_differ(bare):
    drawn = draw_fakes(bare)
    assert len(np.unique(drawn.images.reshape(len(drawn), -1), axis=0)) == len(drawn)


def test_a_generator_that_takes_drawings_gets_correct_and_wrong_ones_of_its_own_masks(bare, tmp_path):
    folder = with_masks(write_checkpoint(tmp_path / "checkpoint"), [plain_mask(BLUE)])
    fakes = make_fakes(bare, folder)
    assert fakes.kinds.tolist() == draw_fakes(bare).kinds.tolist()
    blue = fakes.images[..., 2].astype(int) - fakes.images[..., 0] > 60
    assert blue.mean(axis=(1, 2)).min() > 0.02


def test_a_generator_that_paints_makes_the_correct_ones_only(bare, tmp_path):
    fakes = make_fakes(bare, write_checkpoint(tmp_path / "checkpoint", replace(TINY, method="pix2pix")))
    painted, drawn = fakes.at(fakes.kinds == CORRECT), draw_fakes(bare)
    assert len(painted) == len(bare) and (painted.images[..., 2] > 200).any()
    assert np.array_equal(fakes.images[fakes.kinds != CORRECT], drawn.images[drawn.kinds != CORRECT])


def test_a_folder_without_labels_is_a_one_line_error(tmp_path):
    with pytest.raises(FacemaskError, match=r"no labels\.csv"):
        read_labelled(tmp_path)


@pytest.mark.parametrize("size", [3, 40])
def test_the_classifier_is_the_logistic_regression_of_all_features(size):
    """It is sought among sums of the faces' features, which has the same minimum."""
    examples = examples_of([CORRECT] * 5 + [BARE] * 15, size=size, shift=0.5)
    values = (examples.features - examples.features.mean(0)) / (examples.features.std(0) + 1e-6)
    signs = np.where(examples.correct, 1.0, -1.0)
    shares = np.where(examples.correct, 0.1, 1 / 30)

    def loss(at):
        margins = signs * (values @ at[:-1] + at[-1])
        slopes = -shares * signs * expit(-margins)
        value = shares @ np.logaddexp(0, -margins) + 0.1 * size / 2 * at[:-1] @ at[:-1]
        return value, np.append(values.T @ slopes + 0.1 * size * at[:-1], slopes.sum())

    at = minimize(loss, np.zeros(size + 1), jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9}).x
    np.testing.assert_allclose(fit(examples, (0.1,))[0].scores(examples.features), values @ at[:-1] + at[-1], atol=2e-3)


def test_the_penalty_is_chosen_by_real_faces_not_by_added_ones(monkeypatch):
    judged = []
    monkeypatch.setattr("benchmarks.downstream_classifier._loss", lambda _, examples: judged.append(examples) or 0.0)
    real = examples_of([CORRECT, BARE] * 9)
    added = examples_of([CORRECT, "nose_out"] * 9, persons=range(100, 118))
    train(real, added, 0)
    assert judged and all(examples.persons.max() < 100 for examples in judged)


def test_persons_left_out_are_left_out_of_the_added_faces_too(monkeypatch):
    shown = []

    def spy(examples, strengths):
        shown.append(examples)
        return fit(examples, strengths)

    monkeypatch.setattr("benchmarks.downstream_classifier.fit", spy)
    real = examples_of([CORRECT, BARE] * 9)
    train(real, examples_of([CORRECT, "nose_out"] * 9), 0)
    assert all(len(set(examples.persons.tolist())) == 12 for examples in shown[:-1])
    assert len(set(shown[-1].persons.tolist())) == 18


def test_the_same_repeat_has_the_same_real_faces_whatever_is_added(monkeypatch):
    seen = []

    class Silent:
        def scores(self, features):
            return np.zeros(len(features))

    monkeypatch.setattr(downstream, "train", lambda real, added, _: seen.append((real, added)) or Silent())
    real = examples_of([CORRECT, "nose_out", BARE] * 60)
    folder = Folder(real, real, {DRAWN: examples_of([CORRECT, "nose_out"] * 300)})
    for added in (REAL, DRAWN):
        classify(folder, 20, added, [real], 2)
    alone, more = seen[:2], seen[2:]
    assert [one.features.tolist() for one, _ in alone] == [one.features.tolist() for one, _ in more]
    assert alone[0][0].features.tolist() != alone[1][0].features.tolist()
    assert [len(added) for _, added in more] == [2 * ADDED] * 2


def test_figures_of_perfect_and_of_blind_scores():
    correct = np.arange(50) < 20
    perfect = measures(Trial(np.where(correct, 1.0, -1.0)[None], correct, np.arange(50)))
    blind = measures(Trial(np.ones((2, 50)), correct, np.arange(50)))
    assert [values[0] for values in perfect.values()] == [1, 1, 1]
    assert {name: values[0] for name, values in blind.items()} == {
        "balanced_accuracy": 0.5,
        "accuracy": 0.4,
        "auc": 0.5,
    }


def test_the_interval_is_wider_where_faces_are_of_fewer_persons():
    rng = np.random.default_rng(0)
    scores, correct = rng.normal(0, 1, (1, 120)), np.arange(120) // 10 % 2 == 0
    scores = scores + np.repeat(rng.normal(0, 2, 12), 10) + correct

    def width(persons):
        _, low, high = with_interval(measures(Trial(scores, correct, persons))["auc"])
        return high - low

    assert width(np.arange(120) // 10) > 1.2 * width(np.arange(120))


def test_the_gain_of_what_changes_nothing_is_0_with_no_interval(monkeypatch):
    monkeypatch.setattr(downstream, "train", lambda real, added, seed: train(real, None, seed))
    real = examples_of([CORRECT, "nose_out", BARE] * 40, shift=0.5)
    rows = list(compare({"faces": Folder(real, real, {DRAWN: real})}, 2))
    gains = [row["auc_gain"] for row in rows if row["added"] == DRAWN and row["masked"]]
    assert gains == [[0, 0, 0]] * 3


def test_curations_rules_are_compared_on_the_same_test_faces(monkeypatch):
    monkeypatch.setattr(downstream, "MASKED_IMAGES", ())
    test = examples_of([CORRECT, "nose_out"] * 20)
    accepted = np.array([True, False] * 15 + [True, True] * 5)
    (row,) = compare({"faces": Folder(test, test, {}, accepted)}, 2)
    assert row["balanced_accuracy"][0] == 0.875
