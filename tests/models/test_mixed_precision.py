"""Training in bfloat16 with values that would overflow a smaller number format: float16 ends at 65504."""

from dataclasses import replace

import pytest
import torch

from models.methods.method import METHODS, load_method
from models.training import loop
from tests.models.conftest import TINY, train_in

METHODS_WITH_LOSS = [(name, loss) for name in METHODS for loss in ("lsgan", "vanilla") if name != "fastgan"]


@pytest.mark.parametrize(("name", "loss"), [*METHODS_WITH_LOSS, ("fastgan", "lsgan")])  # fastgan has one loss only
def test_losses_and_weights_stay_finite_where_weights_are_ten_thousand_times_too_large(pack, name, loss, monkeypatch):
    method = load_method(name)

    def large_networks(params):
        networks = method.make_networks(params)
        with torch.no_grad():
            for network in networks.values():
                for weight in network.parameters():
                    weight.mul_(1e4)
        return networks

    monkeypatch.setattr(loop, "load_method", lambda _: replace(method, make_networks=large_networks))
    paths = train_in("out", replace(TINY, method=name, loss=loss, precision="bfloat16"))  # raises if any is not finite
    assert (paths.checkpoints / "checkpoint.json").is_file()
