"""FID, precision and recall: their values for images, and the features that they use."""

import socket

import numpy as np
import pytest

from models.evaluation import fid as module
from models.evaluation.features import feature_network
from models.evaluation.fid import MIN_IMAGES, fidelity
from models.evaluation.kid import FEATURES

pytestmark = pytest.mark.skipif(feature_network(FEATURES) is None, reason="the extra `evaluation` is not installed")


def images(count, seed, shade=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 128, (count, 8, 8, 3), dtype=np.uint8) + shade).astype(np.uint8)


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(module, "inception", lambda: None)


def test_images_of_another_distribution_have_a_higher_fid_and_no_precision_or_recall(offline):
    near = fidelity(images(20, 0), images(20, 1))
    far = fidelity(images(20, 0), images(20, 1, shade=120))
    assert near.features == FEATURES
    assert far.fid > 2 * near.fid
    assert far.precision == far.recall == 0
    assert min(near.precision, near.recall) > 0.5


def test_equal_sets_have_fid_0_precision_1_and_recall_1(offline):
    found = fidelity(images(20, 0), images(20, 0))
    assert (found.fid, found.precision, found.recall) == pytest.approx((0, 1, 1), abs=1e-3)


def test_too_few_images_give_none(offline):
    assert fidelity(images(MIN_IMAGES - 1, 0), images(40, 1)) is None


def test_a_failed_download_of_inceptions_weights_prints_one_line(monkeypatch, capsys):
    import torch_fidelity.feature_extractor_inceptionv3 as theirs

    def no_network(*_args, **_options):
        raise OSError("no route to host")

    monkeypatch.setattr(theirs, "load_state_dict_from_url", no_network)
    module.inception.cache_clear()
    assert module.inception() is None
    module.inception.cache_clear()
    assert capsys.readouterr().out == (
        "FID uses efficientnet-lite0: the weights of Inception cannot be downloaded (no route to host)\n"
    )


def test_the_download_timeout_ends_with_the_download(monkeypatch):
    import torch_fidelity.feature_extractor_inceptionv3 as theirs

    timeouts = []

    def no_network(*_args, **_options):
        timeouts.append(socket.getdefaulttimeout())
        raise OSError("no route to host")

    monkeypatch.setattr(theirs, "load_state_dict_from_url", no_network)
    module.inception.cache_clear()
    module.inception()
    module.inception.cache_clear()
    assert timeouts == [module._DOWNLOAD_TIMEOUT_S]
    assert socket.getdefaulttimeout() is None
