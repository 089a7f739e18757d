import numpy as np
import pytest

from pipeline.curation.acceptance import acceptance_rate
from pipeline.storage.packed_arrays import read_set
from tests.conftest import inside


@pytest.mark.parametrize(("domain", "low", "high"), [("masked", 0.8, 1.0), ("unmasked", 0.0, 0.1)])
def test_the_gate_lets_masked_faces_pass_and_plain_ones_not(sample_workspace, domain, low, high):
    with inside(sample_workspace):
        share = acceptance_rate(np.array(read_set(sample_workspace / "data/train", domain, "train").images))
    assert low <= share <= high


def test_noise_does_not_pass(sample_workspace):
    noise = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    with inside(sample_workspace):
        assert acceptance_rate(noise) == 0.0
