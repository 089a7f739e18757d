import pytest
import torch

from models.face_regions import dilated_region
from models.networks import (
    CoarseDiscriminator,
    FaceCorrector,
    FacePainter,
    PatchDiscriminator,
    TwoScaleDiscriminator,
    blend,
    initialised,
    make_generator,
    replaced_share,
)
from models.training.data import to_pixels


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
    drawing = torch.rand(2, 5 if direction == "mask" else 4, height, width)
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
    _, matte = make_generator("painter", "unmask", 4, 1)(torch.zeros(1, 3, 32, 32), guide)
    assert matte[..., 19:, :].min() > 0.85
    assert matte[..., :13, :].max() < 0.15
    assert 0.3 < matte[..., 16, :].mean() < 0.7  # undecided at the edge


def painted(image, guide):
    """The output of an untrained face painter."""
    torch.manual_seed(0)
    return make_generator("painter", "unmask", 4, 1)(image, guide)[0]


def test_a_face_painter_depends_on_the_landmark_sketch():
    image, guide = torch.rand(1, 3, 32, 32), torch.zeros(1, 2, 32, 32)
    sketched = guide.clone()
    sketched[:, 1, 20:24, 10:20] = 0.7
    assert not torch.equal(painted(image, guide), painted(image, sketched))


def bare_inputs(side=64):
    """Two faces in whole grey levels: with a mask, their guide, and a drawn bare face.

    The mask is in rows 30-50 and columns 16-48; the lower-face region has rows 36-56 and columns 20-44.
    """
    pixels = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(1)).float()
    guide, area = torch.zeros(2, 2, side, side), torch.zeros(2, 1, side, side)
    guide[:, 0, 36:56, 20:44], area[..., 30:50, 16:48] = 1, 1
    bare = torch.where(area > 0, pixels.flip(3), pixels)
    return pixels / 127.5 - 1, guide, torch.cat([bare / 255, area], dim=1)


def trained_corrector():
    """A face corrector whose corrections reach their bound."""
    torch.manual_seed(0)
    network = initialised(FaceCorrector(4, 1))
    torch.nn.init.normal_(network.layers[-1].weight, 0, 2)
    return network.eval()


def test_an_untrained_face_corrector_gives_the_drawn_bare_face_to_the_bit():
    image, guide, drawing = bare_inputs()
    found, share = make_generator("guided", "unmask", 4, 1)(image, guide, drawing)
    assert torch.equal(found, 2 * drawing[:, :3] - 1)
    assert torch.equal(share, drawing[:, 3:])


def test_an_untrained_face_corrector_gives_the_photo_where_the_bare_face_equals_it():
    image, guide, drawing = bare_inputs()
    found, _ = make_generator("guided", "unmask", 4, 1)(image, guide, drawing)
    beside = (drawing[:, 3] == 0).numpy()
    assert (to_pixels(found)[beside] == to_pixels(image)[beside]).all()
    assert (to_pixels(found)[~beside] != to_pixels(image)[~beside]).any()


def test_the_correction_of_a_bare_face_reaches_its_bound_and_does_not_exceed_it():
    correction = trained_corrector().correction(*bare_inputs()).abs()
    assert correction.max() <= 0.6
    assert correction.max() > 0.59


@pytest.mark.parametrize("part", ["mask", "region"])
def test_the_correction_of_a_bare_face_is_0_far_from_mask_and_lower_face_and_not_near_them(part):
    image, guide, drawing = bare_inputs()
    (drawing[:, 3:] if part == "region" else guide).zero_()
    centre = drawing[:, 3:] if part == "mask" else guide[:, :1]
    correction = trained_corrector().correction(image, guide, drawing).abs().amax(dim=1, keepdim=True)
    far = dilated_region(centre) == 0
    assert not correction[far].any()
    assert (correction[~far] > 0).float().mean() > 0.95


def test_a_corrected_bare_face_stays_within_the_colours_of_a_picture():
    image, guide, drawing = bare_inputs()
    found, _ = trained_corrector()(image, guide, drawing.round())
    assert found.abs().max() == 1


def test_a_correction_of_a_pixel_beside_the_mask_replaces_it_the_more_the_larger_it_is():
    drawing, correction = torch.zeros(1, 4, 1, 4), torch.zeros(1, 3, 1, 4)
    drawing[..., 3] = 1
    correction[0, 1, 0] = torch.tensor([0, 0.015, -0.3, 0])
    assert replaced_share(correction, drawing).flatten().tolist() == pytest.approx([0, 0.5, 1, 1])


@pytest.mark.parametrize("changed", ["photo", "bare face", "area", "sketch"])
def test_the_correction_of_a_bare_face_depends_on_all_its_inputs(changed):
    network, (image, guide, drawing) = trained_corrector(), bare_inputs()
    before = network.correction(image, guide, drawing)[..., 40, 32]
    match changed:
        case "photo":
            image = image.flip(0)
        case "bare face":
            drawing = torch.cat([drawing[:, :3].flip(0), drawing[:, 3:]], dim=1)
        case "area":
            drawing[:, 3, 44:50] = 0
        case "sketch":
            guide[:, 1, 44:48, 26:38] = 0.7
    assert not torch.equal(before, network.correction(image, guide, drawing)[..., 40, 32])


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
