"""The selection of the best and most varied images, on made measurements."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.selection import image_features, image_quality, select_images, select_in_splits
from tests.pipeline.test_rules import NO_FACE, UNMASKED, WELL_MASKED

PLAIN = {"skin_tone": 40.0, "mask_lightness": None, "mask_a": None, "mask_b": None, "face_grid": bytes([120] * 96)}
SHARP = {"sharpness": 25.0, "brightness": 120.0}


def faces(*rows):
    """Images in the order of their ids, like UNMASKED and PLAIN but for what `rows` say."""
    table = [UNMASKED | PLAIN | {"image_id": f"s/{n:05d}", "review": None, "split": "train"} | row
             for n, row in enumerate(rows)]  # fmt: skip
    return pd.DataFrame(table)


def varied(count, seed=0, **more):
    """Images with random pose, tone, sharpness and grid."""
    random = np.random.default_rng(seed)

    def face():
        grid = random.normal(120, 25, 96).clip(0, 255).astype(np.uint8).tobytes()
        pose = {"yaw": random.normal(0, 15), "pitch": random.normal(0, 8)}
        return pose | {"skin_tone": random.normal(30, 25), "sharpness": random.uniform(5, 25), "face_grid": grid} | more

    return faces(*(face() for _ in range(count)))


def chosen_ids(images, count):
    return set(images["image_id"][select_images(images, count)])


@given(count=st.integers(0, 60), shuffle=st.integers(0, 1000))
def test_the_choice_has_the_wanted_size_and_does_not_depend_on_the_order_of_the_rows(count, shuffle):
    images = varied(50)
    ids = chosen_ids(images, count)
    assert len(ids) == min(count, 50)
    assert chosen_ids(images.sample(frac=1, random_state=shuffle), count) == ids


def test_among_like_images_the_sharper_one_is_chosen():
    images = faces(*([{"sharpness": 6.0}] * 5), SHARP, *([{"sharpness": 6.0}] * 5))
    assert chosen_ids(images, 1) == {"s/00005"}


def test_among_equal_images_the_order_of_the_ids_and_of_the_rows_does_not_matter():
    images = faces(*([{}] * 100))
    ids = chosen_ids(images, 40)
    assert chosen_ids(images.iloc[::-1], 40) == ids
    assert 10 <= sum(image_id < "s/00050" for image_id in ids) <= 30


@pytest.mark.parametrize(
    "difference",
    [
        {"yaw": 40.0}, {"pitch": -30.0}, {"roll": 30.0}, {"skin_tone": -40.0}, {"face_grid": bytes([180] * 96)},
        {"face_grid": bytes([120] * 80 + [160] * 16)}, {"mask_lightness": 10.0}, {"mask_a": 40.0}, {"mask_b": -40.0},
    ],
    ids=lambda difference: next(iter(difference)),
)  # fmt: skip
def test_an_image_that_differs_in_one_feature_is_chosen_before_a_second_like_the_rest(difference):
    images = faces(*([{}] * 10), difference, *([{}] * 10))
    assert "s/00010" in chosen_ids(images, 2)


def test_every_image_is_like_a_chosen_one_and_chosen_ones_differ():
    images = varied(400)
    features, quality, chosen = image_features(images), image_quality(images), select_images(images, 60)
    distances = np.linalg.norm(features[:, None] - features[chosen][None], axis=2)
    among = distances[chosen] + np.diag(np.full(60, np.inf))
    radius = (among.min(axis=1) * quality[chosen]).min()
    assert (distances[~chosen].min(axis=1) * quality[~chosen]).max() <= radius / 0.7 + 1e-3


@pytest.mark.parametrize(("feature", "rare"), [("yaw", (-25, 25)), ("skin_tone", (-10, 70))])
def test_rare_faces_get_more_than_their_share(feature, rare):
    images = varied(600, **SHARP, face_grid=PLAIN["face_grid"])
    is_rare = ~images[feature].between(*rare)
    chosen = select_images(images, 40)
    assert is_rare[chosen].mean() > 1.5 * is_rare.mean() > 0.1


def test_images_kept_in_review_are_chosen_first_and_count():
    images = varied(50)
    images.loc[[3, 4], "review"] = "keep"
    ids = chosen_ids(images, 10)
    assert {"s/00003", "s/00004"} <= ids
    assert len(ids) == 10


def test_images_kept_in_review_are_chosen_even_beyond_the_number():
    images = varied(20)
    images.loc[:7, "review"] = "keep"
    assert chosen_ids(images, 3) == set(images["image_id"][:8])


def test_an_image_without_a_face_that_was_kept_in_review_is_chosen():
    images = faces(*([{}] * 5), NO_FACE | {"skin_tone": None, "face_grid": None, "review": "keep"})
    assert "s/00005" in chosen_ids(images, 2)


def test_most_of_the_choice_stays_when_images_are_added():
    images = varied(2100)
    before = images.drop(images.sample(100, random_state=1).index)
    stays = chosen_ids(images, 200) & chosen_ids(before, 200)
    assert len(stays) >= 170  # farthest-point traversal keeps 103 of them


def test_each_split_gets_its_share():
    images = varied(100)
    images["split"] = ["train"] * 70 + ["val"] * 10 + ["test"] * 20
    counts = images["split"][select_in_splits(images, 33)].value_counts()
    assert counts.to_dict() == {"train": 23, "test": 7, "val": 3}


def test_the_choice_in_one_split_does_not_depend_on_another():
    images = varied(100)
    images["split"] = ["train"] * 50 + ["test"] * 50
    before = images["image_id"][select_in_splits(images, 20)]
    images.loc[:49, "yaw"] = 0.0
    after = images["image_id"][select_in_splits(images, 20)]
    assert set(before[before.index >= 50]) == set(after[after.index >= 50])


@pytest.mark.parametrize(
    "worse",
    [
        {"sharpness": 4.5}, {"face_px": 62.0}, {"brightness": 30.0}, {"brightness": 230.0},
        {"cover_nose": 0.31}, {"cover_mouth": 0.61}, {"cover_chin": 0.17}, {"cover_symmetry": 0.05},
        {"cover_eyes": 0.19},
    ],
    ids=str,
)  # fmt: skip
def test_quality_falls_near_each_limit(worse):
    good, bad = image_quality(faces(WELL_MASKED | SHARP, WELL_MASKED | SHARP | worse))
    assert good == 1
    assert bad <= 0.55


def test_squared_distances_of_the_largest_features_stay_whole_in_float32():
    features = image_features(
        faces({"yaw": 9e9, "face_grid": bytes([255] * 96)}, {"yaw": -9e9, "face_grid": bytes(96)})
    )
    assert np.array_equal(features, np.rint(features))
    assert (features.astype(np.float64) ** 2).sum(axis=1).max() * 3 < 2**24  # the largest sum in their computation
