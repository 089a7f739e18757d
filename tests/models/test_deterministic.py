"""Operations in a form with a fixed order, for trainings that give the same weights on a GPU from run to run."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.deterministic import AdaptiveAveragePool, ReflectConv2d, reflected, upsampled
from models.training import loop
from models.training.device import deterministic_algorithms
from tests.models.conftest import TINY, train_in

WITHOUT_A_FIXED_ORDER = {
    "reflection_pad2d_backward",
    "_adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_bicubic2d_backward",
    "grid_sampler_2d_backward",
    "nll_loss_forward",
    "histc",
    "put_",
}
"""Of the operations for which torch.use_deterministic_algorithms raises on a GPU, those on pictures."""


def results(work, features):
    """What `work` gives and its gradient, as usual and deterministic."""
    found = []
    for wanted in (False, True):
        values = features.clone().requires_grad_()
        with deterministic_algorithms(wanted):
            out = work(values)
            (out * torch.arange(out.numel()).reshape(out.shape)).sum().backward()
        found.append((out.detach(), values.grad))
    return found


@pytest.mark.parametrize("size", [(16, 24), (13, 8), (9, 9)])
@pytest.mark.parametrize(
    "work",
    [
        lambda features: reflected(features, 3),
        AdaptiveAveragePool(8),
        lambda features: upsampled(features, (37, 64)),
        lambda features: upsampled(features[..., :1, :1], (5, 5)),
    ],
)
def test_the_form_with_a_fixed_order_gives_the_same_result_and_gradient(work, size):
    features = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    (usual, gradient), (fixed, fixed_gradient) = results(work, features)
    torch.testing.assert_close(fixed, usual)
    torch.testing.assert_close(fixed_gradient, gradient)


@pytest.mark.parametrize(("kernel", "padding", "dilation"), [(7, 3, 1), (3, 1, 1), (3, 2, 2)])
def test_a_reflecting_convolution_is_that_of_torch(kernel, padding, dilation):
    ours = ReflectConv2d(3, 4, kernel, dilation)
    theirs = torch.nn.Conv2d(3, 4, kernel, padding=padding, dilation=dilation, padding_mode="reflect")
    theirs.load_state_dict(ours.state_dict())
    features = torch.rand(2, 3, 16, 16)
    assert torch.equal(ours(features), theirs(features))


class Operations(TorchDispatchMode):
    """Collects the names of the operations that run within it, those of backward passes too."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.add(operation.overloadpacket.__name__)
        return operation(*args, **(kwargs or {}))


def operations_of_training(params, monkeypatch):
    """The names of the operations of the steps of a training."""
    true_step, seen = loop.train_step, Operations()

    def watched(*args):
        with seen:
            return true_step(*args)

    monkeypatch.setattr(loop, "train_step", watched)
    train_in("out", params)
    return seen.names


def test_a_deterministic_training_has_no_operation_without_a_fixed_order(pack, any_method, monkeypatch):
    names = operations_of_training(replace(any_method, deterministic=True), monkeypatch)
    assert "convolution_backward" in names
    assert not names & WITHOUT_A_FIXED_ORDER


def test_the_usual_training_of_the_painters_has_such_operations(pack, monkeypatch):
    assert operations_of_training(TINY, monkeypatch) & WITHOUT_A_FIXED_ORDER


def test_the_setting_ends_with_the_training(pack):
    train_in("out", replace(TINY, deterministic=True))
    assert not torch.are_deterministic_algorithms_enabled()
