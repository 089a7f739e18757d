import numpy as np
import pytest

from pipeline.curation.acceptance import acceptance_rate
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.params import load
from pipeline.storage.packed_arrays import read_set


def params_of(workspace):
    """The limits and settings of a workspace."""
    path = workspace / "params.yaml"
    return load("curate", CurateParams, path), load("measure", MeasureParams, path)


@pytest.mark.parametrize(("domain", "low", "high"), [("masked", 0.8, 1.0), ("unmasked", 0.0, 0.1)])
def test_masked_faces_are_accepted_and_unmasked_ones_are_not(sample_workspace, domain, low, high):
    images = np.array(read_set(sample_workspace / "data/train", domain, "train").images)
    share = acceptance_rate(images, *params_of(sample_workspace))
    assert low <= share <= high


def test_noise_is_not_accepted(sample_workspace):
    noise = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    assert acceptance_rate(noise, *params_of(sample_workspace)) == 0.0
