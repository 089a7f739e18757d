import pytest
import torch

from models.networks import GuidedGenerator, PatchDiscriminator, blend, make_discriminator, make_generator


def test_each_score_of_the_discriminator_sees_70_by_70_pixels():
    judge = PatchDiscriminator(4, instance_norm=False)  # which looks at the whole picture
    image = torch.randn(1, 3, 256, 256, requires_grad=True)
    scores = judge(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    touched = image.grad.abs().sum(dim=(0, 1)) > 0
    assert int(touched.any(dim=1).sum()) == 70
    assert int(touched.any(dim=0).sum()) == 70


def test_every_layer_of_the_judge_of_plain_faces_that_guided_makes_has_spectral_norm_1():
    torch.manual_seed(0)
    judge = make_discriminator("guided", "unmasked", 4)
    for _ in range(20):  # each a power iteration
        judge(torch.randn(1, 3, 64, 64))
    weights = [layer.weight for layer in judge.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(weights) == 5
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_the_judge_of_plain_faces_that_guided_makes_sees_no_stroke_finer_than_64_px_show():
    torch.manual_seed(0)
    judge = make_discriminator("guided", "unmasked", 4).eval()
    image = torch.rand(1, 3, 128, 128) - 0.5
    stroke = torch.zeros(1, 1, 128, 128)
    stroke[..., 0::2], stroke[..., 1::2] = 0.25, -0.25  # none, at half the size
    assert torch.allclose(judge(image), judge(image + stroke), atol=1e-6)
    assert not torch.allclose(judge(image), judge(image + stroke.abs()), atol=1e-4)


@pytest.mark.parametrize("direction", ["mask", "unmask"])
@pytest.mark.parametrize("kind", ["guided", "resnet"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 64)])
def test_a_generator_keeps_the_shape(kind, direction, height, width):
    image, guide = torch.rand(2, 3, height, width) * 2 - 1, torch.ones(2, 2, height, width)
    painted, matte = make_generator(kind, direction, 4, 1)(image, guide)
    assert painted.shape == image.shape
    assert matte.shape == guide[:, :1].shape
    assert painted.abs().max() <= 1


def test_the_guided_output_equals_the_input_to_the_bit_where_the_matte_is_0():
    image, paint = torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8)
    matte = torch.zeros(1, 1, 8, 8)
    matte[..., :4] = 1
    mixed = blend(paint, image, matte)
    assert torch.equal(mixed[..., 4:], image[..., 4:])
    assert torch.equal(mixed[..., :4], paint[..., :4])


def test_the_untrained_guided_generator_paints_inside_the_region_first():
    torch.manual_seed(0)
    guide = torch.zeros(1, 2, 32, 32)
    guide[:, 0, 16:] = 1
    _, matte = make_generator("guided", "mask", 4, 1)(torch.zeros(1, 3, 32, 32), guide)
    assert matte[..., 19:, :].min() > 0.95
    assert matte[..., :13, :].max() < 0.05
    assert 0.3 < matte[..., 16, :].mean() < 0.7  # at the edge it is open which


def told(direction, **changed):
    """What the guided generator paints on a picture by a guide, with or without more to go by."""
    torch.manual_seed(0)
    generator = make_generator("guided", direction, 4, 1)
    given = {"image": torch.rand(1, 3, 32, 32), "guide": torch.zeros(1, 2, 32, 32)} | changed
    return generator(**given)[0]


def test_a_mask_is_taken_off_by_the_drawing_of_the_face():
    image, guide = torch.rand(1, 3, 32, 32), torch.zeros(1, 2, 32, 32)
    guide[:, 1, 20:24, 10:20] = 0.7
    assert not torch.equal(told("unmask", image=image), told("unmask", image=image, guide=guide))
    assert torch.equal(told("mask", image=image), told("mask", image=image, guide=guide))  # a mouth under a mask


def test_a_mask_is_put_on_in_the_colours_that_are_given():
    image, cloth = torch.rand(1, 3, 32, 32), torch.ones(1, 4, 32, 32)
    assert not torch.equal(told("mask", image=image), told("mask", image=image, hint=cloth))
    assert torch.equal(told("mask", image=image), told("mask", image=image, hint=torch.zeros_like(cloth)))


def test_a_mask_is_taken_off_otherwise_where_it_is_known_to_be_painted():
    image, painted = torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    assert not torch.equal(told("unmask", image=image), told("unmask", image=image, hint=painted))
    assert torch.equal(told("unmask", image=image), told("unmask", image=image, hint=torch.zeros_like(painted)))


def test_weights_start_from_a_normal_distribution_of_width_one_fiftieth():
    torch.manual_seed(0)
    generator = make_generator("resnet", "mask", 16, 2)
    weights = torch.cat([value.flatten() for name, value in generator.named_parameters() if "weight" in name])
    assert abs(float(weights.detach().std()) - 0.02) < 0.0005
    assert all(not value.any() for name, value in generator.named_parameters() if "bias" in name)


def test_the_guided_generator_has_no_transposed_convolution():
    layers = [type(layer) for layer in GuidedGenerator("mask", 4, 1).modules()]
    assert torch.nn.ConvTranspose2d not in layers
