import pytest
import torch

from models.networks import (
    CoarseDiscriminator,
    FacePainter,
    PatchDiscriminator,
    TwoScaleDiscriminator,
    blend,
    make_generator,
)


def test_each_score_of_the_patch_discriminator_depends_on_70_by_70_pixels():
    discriminator = PatchDiscriminator(4, instance_norm=False)  # instance norm would mix all pixels
    image = torch.randn(1, 3, 256, 256, requires_grad=True)
    scores = discriminator(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    touched = image.grad.abs().sum(dim=(0, 1)) > 0
    assert int(touched.any(dim=1).sum()) == 70
    assert int(touched.any(dim=0).sum()) == 70


def test_every_layer_of_the_coarse_discriminator_has_spectral_norm_1():
    torch.manual_seed(0)
    discriminator = CoarseDiscriminator(4)
    for _ in range(20):  # each a power iteration
        discriminator(torch.randn(1, 3, 64, 64))
    weights = [layer.weight for layer in discriminator.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(weights) == 5
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_the_coarse_discriminator_ignores_patterns_that_vanish_at_64_px():
    torch.manual_seed(0)
    discriminator = CoarseDiscriminator(4).eval()
    image = torch.rand(1, 3, 128, 128) - 0.5
    stroke = torch.zeros(1, 1, 128, 128)
    stroke[..., 0::2], stroke[..., 1::2] = 0.25, -0.25  # 0 at half the size
    assert torch.allclose(discriminator(image), discriminator(image + stroke), atol=1e-6)
    assert not torch.allclose(discriminator(image), discriminator(image + stroke.abs()), atol=1e-4)


@pytest.mark.parametrize("direction", ["mask", "unmask"])
@pytest.mark.parametrize("kind", ["guided", "resnet"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 64)])
def test_a_generator_keeps_the_shape(kind, direction, height, width):
    image, guide = torch.rand(2, 3, height, width) * 2 - 1, torch.ones(2, 2, height, width)
    drawing = torch.rand(2, 5, height, width)
    painted, matte = make_generator(kind, direction, 4, 1)(image, guide, drawing)
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


def test_the_matte_of_an_untrained_face_painter_is_open_in_the_region_only():
    torch.manual_seed(0)
    guide = torch.zeros(1, 2, 32, 32)
    guide[:, 0, 16:] = 1
    _, matte = make_generator("guided", "unmask", 4, 1)(torch.zeros(1, 3, 32, 32), guide)
    assert matte[..., 19:, :].min() > 0.85
    assert matte[..., :13, :].max() < 0.15
    assert 0.3 < matte[..., 16, :].mean() < 0.7  # undecided at the edge


def output(image, guide):
    """The output of an untrained face painter."""
    torch.manual_seed(0)
    return make_generator("guided", "unmask", 4, 1)(image, guide)[0]


def test_unmask_depends_on_the_landmark_sketch():
    image, guide = torch.rand(1, 3, 32, 32), torch.zeros(1, 2, 32, 32)
    sketched = guide.clone()
    sketched[:, 1, 20:24, 10:20] = 0.7
    assert not torch.equal(output(image, guide), output(image, sketched))


def test_mask_depends_on_the_drawing_and_not_on_the_guide():
    torch.manual_seed(0)
    generator = make_generator("guided", "mask", 4, 1)
    image, drawing = torch.rand(1, 3, 32, 32), torch.rand(1, 5, 32, 32)
    guides = torch.zeros(1, 2, 32, 32), torch.ones(1, 2, 32, 32)
    first, second = (generator(image, guide, drawing)[0] for guide in guides)
    assert torch.equal(first, second)
    assert not torch.equal(first, generator(image, guides[0], drawing.flip(3))[0])


def test_the_two_scale_discriminator_scores_fine_and_coarse_patches_and_its_features_end_with_them():
    torch.manual_seed(0)
    discriminator, image = TwoScaleDiscriminator(4, 6).eval(), torch.rand(2, 6, 128, 128)
    near, afar = discriminator(image)
    assert near.shape == (2, 1, 14, 14) and afar.shape == (2, 1, 6, 6)
    features, coarse = discriminator.features(image)
    assert torch.equal(features[-1], near) and torch.equal(coarse, afar)
    assert [feature.shape[1] for feature in features] == [4, 8, 16, 32, 1]


def test_initial_weights_are_normal_with_a_standard_deviation_of_one_fiftieth():
    torch.manual_seed(0)
    generator = make_generator("resnet", "mask", 16, 2)
    weights = torch.cat([value.flatten() for name, value in generator.named_parameters() if "weight" in name])
    assert abs(float(weights.detach().std()) - 0.02) < 0.0005
    assert all(not value.any() for name, value in generator.named_parameters() if "bias" in name)


def test_the_face_painter_has_no_transposed_convolution():
    layers = [type(layer) for layer in FacePainter(4, 1).modules()]
    assert torch.nn.ConvTranspose2d not in layers
