"""Training batches: order, crops, mirroring, resizing, drawn masks, pairs and bare faces."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from models.drawings import put_on
from models.methods.method import DrawnInputs
from models.training import drawn_inputs
from models.training.data import (
    TrainingSet,
    evenly_spaced,
    image_index,
    to_faces,
    to_pixels,
    training_batch,
    whole_batch,
)
from models.training.drawn_inputs import WholeDrawings, drawn_masks, resized
from pipeline.faces.conditioning import conditioning_maps
from pipeline.storage.packed_arrays import packed_area, read_set
from tests.models.conftest import BLUE, LOAD_PX, LOWER_HALF, plain_mask

DOMAINS = ("unmasked", "masked")
RED = (230, 30, 30)


def masked_set(packed):
    """All masked faces of the pack, each once in an epoch, without drawn masks."""
    return TrainingSet("masked", packed, np.arange(7))


def drawing_set(pack, domain, ffhq_ids=None):
    """The faces of a domain with drawn masks; `ffhq_ids` of the unmasked and the masked ones."""
    packed = {name: read_set(pack, name, "train") for name in DOMAINS}
    for name, ids in zip(DOMAINS, ffhq_ids or [], strict=False):
        packed[name] = replace(packed[name], ffhq_ids=ids)
    masks = drawn_masks(packed["unmasked"], packed["masked"], [plain_mask(RED), plain_mask(BLUE)])
    return TrainingSet(domain, packed[domain], np.arange(len(packed[domain])), masks)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("drawings", [False, True])
def test_batches_are_a_pure_function_of_seed_and_position(pack, domain, drawings):
    data = drawing_set(pack, domain, ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1, None, None]))
    data = data if drawings else replace(data, masks=None)
    straight = training_batch(data, 3, range(12), 32)
    drawn = 5 + 3 * (domain == "unmasked") + 4  # a mask, a pair, a bare face
    assert straight.shape == (12, 32, 32, 5 + drawn * drawings)
    for start in (0, 7):
        assert torch.equal(straight[start : start + 3], training_batch(data, 3, range(start, start + 3), 32))
    assert not torch.equal(straight, training_batch(data, 4, range(12), 32))


def test_each_epoch_shows_each_image_once_in_a_new_order():
    epochs = [[image_index(1, "masked", epoch * 30 + place, 30) for place in range(30)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_another_seed_and_another_domain_give_another_order():
    orders = {
        tuple(image_index(seed, domain, place, 30) for place in range(30))
        for seed in (1, 2)
        for domain in ("masked", "unmasked")
    }
    assert len(orders) == 4


def test_the_guide_is_cropped_and_mirrored_with_its_image(pack):
    packed = read_set(pack, "masked", "train")
    maps = np.stack([conditioning_maps(points, LOAD_PX, LOAD_PX) for points in packed.landmarks])
    marked = replace(packed, images=np.concatenate([maps, maps[..., :1]], axis=3))
    images, conditioning, *_ = to_faces(training_batch(masked_set(marked), 0, range(30), 32))
    assert torch.allclose((images[:, :2] + 1) / 2, conditioning, atol=1e-6)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_drawing_is_cropped_and_mirrored_with_its_image(pack, domain, monkeypatch):
    monkeypatch.setattr(drawn_inputs, "draw_mask", lambda face, *_: np.dstack([face.image, face.image[..., :2]]))
    faces = to_faces(training_batch(drawing_set(pack, domain), 0, range(20), 32))
    assert torch.allclose(faces.drawing[:, :3], (faces.images + 1) / 2, atol=1e-6)


def test_the_bare_face_is_cropped_and_mirrored_with_its_image(pack, monkeypatch):
    monkeypatch.setattr(drawn_inputs, "draw_bare", lambda image, *_: np.dstack([image, image[..., 0]]))
    faces = to_faces(training_batch(drawing_set(pack, "masked"), 0, range(20), 32))
    assert torch.allclose(faces.bare[:, :3], (faces.images + 1) / 2, atol=1e-6)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_drawn_mask_is_on_the_lower_face(pack, domain):
    faces = to_faces(training_batch(drawing_set(pack, domain), 0, range(20), 32))
    covered, region = faces.drawing[:, 3] > 0.5, faces.conditioning[:, 0] > 0
    assert ((covered & region).sum(dim=(1, 2)) / covered.sum(dim=(1, 2))).min() > 0.9
    assert ((covered & region).sum(dim=(1, 2)) / region.sum(dim=(1, 2))).min() > 0.5


def test_a_pair_differs_from_its_face_under_the_mask_only(pack):
    faces = to_faces(training_batch(drawing_set(pack, "unmasked"), 0, range(20), 32))
    changed, region = (faces.pair - faces.images).abs().amax(dim=1) > 0.04, faces.conditioning[:, 0] > 0
    assert ((changed & region).sum(dim=(1, 2)) / region.sum(dim=(1, 2))).min() > 0.5
    assert not changed[:, :8].any()


def test_half_of_the_pairs_of_a_face_with_a_twin_are_its_twin(pack):
    """Unmasked face 2 and masked face 1 have one FFHQ id: the pair then is the masked face, cropped as the other."""
    data = drawing_set(pack, "unmasked", ([None, None, 9, None, None], [None, 9, None, None, None, None, None]))
    assert data.masks.twins.tolist() == [-1, -1, 1, -1, -1]
    data = replace(data, epoch=np.array([2]))
    swapped = replace(data, packed=replace(data.packed, images=data.masks.masked.images[[0, 0, 1]]))
    pairs = training_batch(data, 0, range(60), 32)[..., 10:13]
    twins = training_batch(swapped, 0, range(60), 32)[..., :3]
    same = (pairs == twins).all(dim=3).all(dim=2).all(dim=1)
    assert 20 <= same.sum() <= 40


def test_a_set_without_ffhq_ids_has_no_twins(pack):
    assert (drawing_set(pack, "unmasked").masks.twins == -1).all()


def without_landmarks(data):
    return replace(data, packed=replace(data.packed, landmarks=np.full_like(data.packed.landmarks, np.nan)))


def test_a_face_without_landmarks_gets_no_mask_and_is_its_own_pair(pack):
    faces = to_faces(training_batch(without_landmarks(drawing_set(pack, "unmasked")), 0, range(5), 32))
    assert not faces.drawing.any() and not faces.conditioning.any()
    assert torch.equal(faces.pair, faces.images)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_face_without_landmarks_is_its_own_bare_face_without_an_area(pack, domain):
    faces = to_faces(training_batch(without_landmarks(drawing_set(pack, domain)), 0, range(5), 32))
    assert torch.allclose(2 * faces.bare[:, :3] - 1, faces.images, atol=1e-6)
    assert not faces.bare[:, 3].any()


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_bare_face_differs_from_its_photo_at_the_mask_only(pack, domain):
    faces = to_faces(training_batch(drawing_set(pack, domain), 0, range(14), 32))
    photos = faces.images if domain == "masked" else faces.pair
    area, differs = faces.bare[:, 3] > 0, (2 * faces.bare[:, :3] - 1 - photos).abs().amax(dim=1) > 0.02
    far = torch.nn.functional.max_pool2d(area.float()[:, None], 7, stride=1, padding=3)[:, 0] == 0
    assert not (differs & far).any()
    assert ((differs & area).sum(dim=(1, 2)) / area.sum(dim=(1, 2))).min() > 0.9


def test_a_masked_face_gets_a_bare_face_where_its_mask_is_packed(pack):
    bare = to_faces(training_batch(drawing_set(pack, "masked"), 0, range(14), 32)).bare
    assert bare[:, 3, 20:].all() and not bare[:, 3, :12].any()  # rows of LOWER_HALF in all crops


@pytest.fixture
def nothing_drawn(monkeypatch):
    """Bare faces are the photos that they would be drawn in."""
    monkeypatch.setattr(drawn_inputs, "draw_bare", lambda image, _, area: np.dstack([image, 255 * area.astype("u1")]))


def test_bare_faces_are_those_of_the_pairs_and_every_fourth_pair_has_the_drawn_mask_for_g(pack, nothing_drawn):
    faces = to_faces(training_batch(drawing_set(pack, "unmasked"), 0, range(20), 32))
    drawn = put_on(faces.images, faces.drawing)
    in_bare, with_drawing = (
        (faces.pair - photos).abs().flatten(1).amax(dim=1) < 0.01 for photos in (2 * faces.bare[:, :3] - 1, drawn)
    )
    assert in_bare.all()
    assert with_drawing.tolist() == [True, False, False, False] * 5


def test_no_second_mask_is_drawn_where_gs_output_takes_the_pairs_place(pack, monkeypatch):
    drawn, draw = [], drawn_inputs.draw_varied
    monkeypatch.setattr(drawn_inputs, "draw_varied", lambda *given: drawn.append(given) or draw(*given))
    training_batch(drawing_set(pack, "unmasked"), 0, range(20), 32)
    assert len(drawn) == 15


def test_without_drawings_for_g_the_bare_faces_are_those_of_the_pairs(pack, nothing_drawn):
    data = drawing_set(pack, "unmasked")
    data = replace(data, masks=replace(data.masks, inputs=DrawnInputs((), 0.5, bare=True)))
    faces = to_faces(training_batch(data, 0, range(8), 32))
    assert faces.drawing is None and torch.allclose(2 * faces.bare[:, :3] - 1, faces.pair, atol=1e-6)


def overlap(one, other):
    """The common share of two areas (B, H, W), for each face."""
    return (one & other).sum(dim=(1, 2)) / (one | other).sum(dim=(1, 2))


def test_the_area_of_a_corrected_bare_face_is_that_of_the_drawn_mask_but_for_errors(pack):
    data = drawing_set(pack, "unmasked")
    faces = to_faces(training_batch(data, 0, range(40), 32))
    same = overlap(faces.bare[:, 3] > 0, faces.drawing[:, 3] > 0.5)[::4]
    assert same.min() > 0.8 and (same < 1).any()


def test_the_bare_face_of_a_pair_does_not_read_the_pairs_mask(pack):
    """Unmasked face 2 and masked face 1 have one FFHQ id."""
    data = drawing_set(pack, "unmasked", ([None, None, 9, None, None], [None, 9, None, None, None, None, None]))
    data = replace(data, epoch=np.array([2]), masks=replace(data.masks, inputs=DrawnInputs(twin_share=1.0, bare=True)))
    images = data.masks.masked.images.copy()
    images[:, LOAD_PX // 2 + 3 :] = 255 - images[:, LOAD_PX // 2 + 3 :]  # LOWER_HALF, but for the errors of areas
    others = replace(data, masks=replace(data.masks, masked=replace(data.masks.masked, images=images)))
    one, other = (to_faces(training_batch(sets, 0, range(8), 32)) for sets in (data, others))
    assert torch.equal(one.bare, other.bare)
    assert not torch.equal(one.pair, other.pair)


def test_the_mask_area_of_a_twin_is_that_of_the_masked_photo(pack):
    data = drawing_set(pack, "unmasked", ([None, None, 9, None, None], [None, 9, None, None, None, None, None]))
    areas = np.repeat(packed_area(np.zeros_like(LOWER_HALF))[None], 7, axis=0)
    areas[1] = packed_area(~LOWER_HALF)
    masks = replace(
        data.masks, masked=replace(data.masks.masked, areas=areas), inputs=DrawnInputs(twin_share=1.0, bare=True)
    )
    faces = to_faces(training_batch(replace(data, epoch=np.array([2]), masks=masks), 0, range(4), 32))
    assert faces.bare[:, 3, :12].all() and not faces.bare[:, 3, 20:].any()


def test_a_test_face_gets_a_bare_face_at_its_own_mask_or_at_the_drawn_one(pack):
    drawn = WholeDrawings([plain_mask(RED)])
    masked = whole_batch(read_set(pack, "masked", "train"), "masked", [0, 1], LOAD_PX, drawn)
    assert torch.equal(masked.bare[:, 3] > 0, torch.from_numpy(np.stack([LOWER_HALF] * 2)))
    unmasked = whole_batch(read_set(pack, "unmasked", "train"), "unmasked", [0, 1], LOAD_PX, drawn)
    assert torch.equal(unmasked.bare[:, 3] > 0, unmasked.drawing[:, 3] > 127 / 255)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_test_face_comes_with_what_its_directions_take_and_looks_the_same_with_fewer(pack, domain):
    packed, masks = read_set(pack, domain, "train"), [plain_mask(RED), plain_mask(BLUE)]
    both, mask, unmask = (
        whole_batch(packed, domain, [0, 1], LOAD_PX, WholeDrawings(masks, directions))
        for directions in (("mask", "unmask"), ("mask",), ("unmask",))
    )
    assert mask.bare is None and torch.equal(mask.drawing, both.drawing)
    assert unmask.drawing is None and torch.equal(unmask.bare, both.bare)


def drawn_share(drawing, channel):
    """How much of each drawing's colour (B,) is of one channel, where the mask is solid."""
    solid = drawing[:, 3:4] > 0.95
    sums = (drawing[:, :3] * solid).sum(dim=(2, 3))
    return sums[:, channel] / sums.sum(dim=1)


def test_bare_faces_get_the_masks_of_the_training_set(pack):
    drawing = to_faces(training_batch(drawing_set(pack, "unmasked"), 0, range(20), 32)).drawing
    red, blue = drawn_share(drawing, 0) > 0.6, drawn_share(drawing, 2) > 0.6
    assert (red | blue).all() and red.any() and blue.any()


def test_masked_faces_get_a_mask_of_the_colour_of_their_own(pack):
    data = drawing_set(pack, "masked")
    green = np.zeros_like(data.packed.images) + np.array([20, 150, 40], np.uint8)
    data = replace(data, packed=replace(data.packed, images=green))
    assert (drawn_share(to_faces(training_batch(data, 0, range(7), 32)).drawing, 1) > 0.5).all()


def test_without_masks_of_the_training_set_any_kind_is_drawn(pack):
    data = drawing_set(pack, "unmasked")
    data = replace(data, masks=replace(data.masks, lifted=[]))
    assert to_faces(training_batch(data, 0, range(5), 32)).drawing[:, 3].amax(dim=(1, 2)).min() > 0.9


def test_the_mask_of_a_test_face_depends_on_its_id_and_the_masks_only(pack):
    packed, masks = read_set(pack, "unmasked", "train"), [plain_mask((90, 120, 150)), plain_mask((20, 20, 20))]
    drawn, reverse = WholeDrawings(masks), WholeDrawings(masks[::-1])
    together = whole_batch(packed, "unmasked", [0, 1, 2], 32, drawn).drawing
    assert torch.equal(together[2:], whole_batch(packed, "unmasked", [2], 32, drawn).drawing)
    renamed = replace(packed, image_ids=["other", *packed.image_ids[1:]])
    assert torch.equal(together[2:], whole_batch(renamed, "unmasked", [2], 32, drawn).drawing)
    others = [replace(packed, image_ids=[f"other {number}"] * 5) for number in range(8)]
    assert any(
        not torch.equal(together[2:], whole_batch(other, "unmasked", [2], 32, drawn).drawing) for other in others
    )
    assert not torch.equal(together[2:], whole_batch(packed, "unmasked", [2], 32, reverse).drawing)


@pytest.mark.parametrize("channels", [2, 3])
def test_resizing_is_pillow_s_bilinear_filter_within_a_grey_level(channels):
    picture = np.random.default_rng(0).integers(0, 256, (90, 90, channels), np.uint8)
    picture.setflags(write=False)  # as in a memory-mapped pack
    found = resized(picture, 36).astype(int)
    for channel in range(channels):
        expected = Image.fromarray(picture[..., channel]).resize((36, 36), Image.Resampling.BILINEAR)
        assert np.abs(found[..., channel] - np.asarray(expected)).max() <= 1


def test_a_resized_region_is_0_or_1_and_a_resized_sketch_is_not(pack):
    conditioning = whole_batch(read_set(pack, "masked", "train"), "masked", [0, 1], 16, None).conditioning
    assert set(conditioning[:, 0].unique().tolist()) == {0, 1}
    assert len(conditioning[:, 1].unique()) > 2


def test_crops_move_and_about_half_are_mirrored(pack):
    packed = read_set(pack, "masked", "train")
    ramp = packed.images.copy()
    ramp[:] = torch.arange(36, dtype=torch.uint8).numpy()[None, None, :, None]
    ramps = replace(packed, images=ramp)
    images = to_faces(training_batch(masked_set(ramps), 0, range(400), 32)).images
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, -1]
    assert 0.4 < mirrored.float().mean() < 0.6
    left_edges = to_pixels(images[~mirrored])[:, 0, 0, 0]
    assert set(left_edges.tolist()) == {0, 1, 2, 3, 4}


def test_pixels_to_tensors_and_back_are_unchanged(pack):
    packed = read_set(pack, "masked", "test")
    faces = whole_batch(packed, "masked", [0, 1], 36, None)
    assert faces.drawing is None and faces.pair is None and faces.bare is None
    assert (to_pixels(faces.images) == packed.images).all()


def test_evenly_spaced_indices_are_distinct():
    assert evenly_spaced(10, 5) == [0, 2, 4, 6, 8]
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert len(set(evenly_spaced(1234, 1000))) == 1000
