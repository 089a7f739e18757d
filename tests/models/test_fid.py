"""FID, precision and recall: what they say of pictures, and which features they rest on."""

import numpy as np
import pytest

from models.evaluation import fid as module
from models.evaluation import kid
from models.evaluation.fid import FEWEST, fidelity

pytestmark = pytest.mark.skipif(kid.feature_network() is None, reason="the extra `evaluation` is not installed")


def pictures(count, seed, shade=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 128, (count, 8, 8, 3), dtype=np.uint8) + shade).astype(np.uint8)


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(module, "inception", lambda: None)


def test_pictures_of_another_kind_are_further_off_and_none_of_them_is_among_the_real_ones(offline):
    near, features = fidelity(pictures(20, 0), pictures(20, 1))
    far, _ = fidelity(pictures(20, 0), pictures(20, 1, shade=120))
    assert features == kid.FEATURES
    assert far["fid"] > 2 * near["fid"]
    assert far["precision"] == far["recall"] == 0
    assert min(near["precision"], near["recall"]) > 0.5


def test_the_same_pictures_have_no_distance_and_all_are_found(offline):
    figures, _ = fidelity(pictures(20, 0), pictures(20, 0))
    assert figures == pytest.approx({"fid": 0, "precision": 1, "recall": 1}, abs=1e-3)


def test_of_a_handful_of_pictures_nothing_is_said(offline):
    assert fidelity(pictures(FEWEST - 1, 0), pictures(40, 1)) is None


def test_where_inceptions_weights_cannot_be_fetched_that_is_said_in_a_line(monkeypatch, capsys):
    import torch_fidelity.feature_extractor_inceptionv3 as theirs

    def no_network(*_args, **_options):
        raise OSError("no route to host")

    monkeypatch.setattr(theirs, "load_state_dict_from_url", no_network)
    module.inception.cache_clear()
    assert module.inception() is None
    module.inception.cache_clear()
    assert capsys.readouterr().out == (
        "FID by efficientnet-lite0, not Inception, whose weights cannot be fetched here (no route to host)\n"
    )
