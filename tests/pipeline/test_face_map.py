"""The map of faces, on made features."""

import numpy as np
import pytest

from pipeline.report import face_map as module
from pipeline.report.face_map import embed, face_map
from tests.pipeline.test_selection import varied

CLUSTERS = 3


@pytest.fixture
def clustered():
    """Features of 150 images in three clusters, which follow each other."""
    random = np.random.default_rng(0)
    centres = np.repeat(random.normal(0, 60, (CLUSTERS, 20)), 50, axis=0)
    return np.rint(centres + random.normal(0, 10, centres.shape)).astype(np.float32)


def share_of_neighbours_in_the_cluster(places):
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    nearest = np.argsort(distances, axis=1)[:, 1:6]
    cluster = np.arange(len(places)) // 50
    return (cluster[nearest] == cluster[:, None]).mean()


def test_like_images_are_near_each_other(clustered):
    assert share_of_neighbours_in_the_cluster(embed(clustered)) > 0.95


def test_images_between_few_anchors_are_near_those_that_they_are_like(clustered, monkeypatch):
    monkeypatch.setattr(module, "_ANCHORS", 30)
    assert share_of_neighbours_in_the_cluster(embed(clustered)) > 0.95


def test_the_map_fills_the_square_and_is_the_same_each_time(clustered):
    places = embed(clustered)
    assert np.abs(places.min(axis=0) - 0.01).max() < 1e-6
    assert np.abs(places.max(axis=0) - 0.99).max() < 1e-6
    assert np.array_equal(places, embed(clustered))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_few_images_have_places_too(clustered, count):
    places = embed(clustered[:count])
    assert places.shape == (count, 2)
    assert ((places >= 0) & (places <= 1)).all()


def test_equal_images_have_places_too():
    assert np.isfinite(embed(np.zeros((20, 5), np.float32))).all()


def test_images_that_pass_all_rules_are_on_the_map_whether_selected_or_not():
    rows = varied(4)
    rows["accepted"] = [True, True, False, False]
    rows["reasons"] = [[], [], ["not_selected"], ["blurred"]]
    assert np.isfinite(face_map(rows)).all(axis=1).tolist() == [True, True, True, False]


def test_the_order_of_the_rows_does_not_change_the_map():
    rows = varied(30).assign(accepted=True, reasons=[[]] * 30)
    shuffled = rows.sample(frac=1, random_state=0)
    assert np.array_equal(face_map(shuffled), face_map(rows)[shuffled.index])
