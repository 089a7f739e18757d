"""Taking masks off without a network: the model of the lower face, where a mask is, and what is drawn there."""

from dataclasses import fields

import cv2
import numpy as np
import pytest

from pipeline.faces.regions import EYES, FACE_OVAL, lower_face_mask, polygon_mask
from pipeline.masks.compositing import compose
from pipeline.masks.fit import SIDES
from pipeline.masks.records import UnmaskedFace
from pipeline.masks.worn import draw_worn
from pipeline.unmasking.bare_face import bare_face, with_sides_at_edge
from pipeline.unmasking.continuation import continued
from pipeline.unmasking.lower_face_model import (
    draw_lower_face,
    estimate_components,
    fit_model,
    may_be_skin,
    packaged_model,
    read_model,
    texture_of,
    to_logarithms,
    write_model,
)
from pipeline.unmasking.mask_area import _loops, find_mask_area

PX = 256
FAR = 0.05  # of the side: farther from a mask than that nothing changes


@pytest.fixture(scope="module")
def faces(rendered_faces):
    """Synthetic faces whose landmarks are not those of a mirror image."""
    return [face for face in rendered_faces if face.landmarks[EYES[0][0], 0] < face.landmarks[EYES[1][0], 0]]


@pytest.fixture(scope="module")
def model(faces):
    return fit_model(faces)


def masked(face, kind="surgical"):
    """The face with a mask, and the alpha of its cloth and of its ear loops."""
    layers = draw_worn(face, np.random.default_rng(1), kind, (90, 120, 150))
    return UnmaskedFace(compose(face.image, layers), face.landmarks), layers.coverage, layers.straps.alpha


def lower_half():
    """An area such as a mask's, without a network."""
    area = np.zeros((PX, PX), bool)
    area[150:215, 90:170] = True
    return area


def far_from(area):
    reach = 2 * round(FAR * PX) + 1
    return cv2.dilate(area.astype(np.uint8), np.ones((reach, reach), np.uint8)) == 0


def test_the_model_of_a_few_faces_draws_each_of_them_better_than_the_mean(faces, model):
    """It knows them; the mean face alone is what an estimate of no components would give."""
    for face in faces:
        region = lower_face_mask(face.landmarks, PX, PX) > 0
        drawn = draw_lower_face(face, model)
        mean = draw_lower_face(UnmaskedFace(np.full_like(face.image, 128), face.landmarks), model)
        error, of_mean = (np.abs(image - face.image)[region].mean() for image in (drawn, mean))
        assert error < 0.5 * of_mean


def test_a_model_has_no_more_components_than_its_faces_allow(faces):
    one = fit_model(faces[:1])
    assert len(one.variances) == 1
    assert all(np.isfinite(values).all() for values in (one.modes, one.seen_modes, one.variances))


def test_a_written_model_is_read_as_it_was_to_its_resolution(model):
    read = read_model(write_model(model))
    for field in fields(model):
        stored, loaded = np.asarray(getattr(model, field.name)), np.asarray(getattr(read, field.name))
        step = np.abs(stored).max() / 127 if field.name == "modes" else 1e-3
        assert stored.shape == loaded.shape and np.abs(stored - loaded).max() <= step


def test_a_model_that_is_read_and_written_again_keeps_its_bytes(model):
    content = write_model(model)
    assert write_model(read_model(content)) == content


def test_a_dark_eye_changes_the_drawn_face_little(faces):
    """As glasses and hair do: without weights for the pixels the change is twice as large."""
    for face in faces:
        hidden = face.image.copy()
        hidden[cv2.dilate(polygon_mask(face.landmarks, EYES[0], PX, PX), np.ones((7, 7), np.uint8)) > 0] = 20
        region = lower_face_mask(face.landmarks, PX, PX) > 0
        seen, unseen = (
            draw_lower_face(UnmaskedFace(image, face.landmarks), packaged_model()) for image in (face.image, hidden)
        )
        assert np.abs(seen - unseen)[region].mean() < 10


def test_a_strange_face_is_drawn_no_farther_from_the_mean_than_faces_are():
    """A washed out or half hidden face is explained by components that hardly any face has."""
    model = packaged_model()
    usual, strange = model.seen_modes[0] * np.sqrt(model.variances[0]), 9 * model.seen_modes[0]
    lengths = [np.linalg.norm(estimate_components(seen, model) / np.sqrt(model.variances)) for seen in (usual, strange)]
    assert 0.5 < lengths[0] < 1.1 and 2.4 < lengths[1] < 2.51


def test_a_face_with_smooth_skin_gets_no_wrinkles(faces):
    everywhere = np.ones((PX, PX), bool)
    for face in faces:
        strengths = [
            texture_of(to_logarithms(draw_lower_face(face, packaged_model(), texture)), everywhere, PX)
            for texture in (1.0, 0.0)
        ]
        assert strengths[1] < 0.75 * strengths[0]


def test_glasses_and_sky_may_not_be_skin_but_all_of_a_grey_photo_may():
    skin, sky = np.log([[200, 150, 120]]) - np.log(255), np.log([[90, 120, 160]]) - np.log(255)
    grey = np.zeros((1, 3))
    assert may_be_skin(np.concatenate([skin, sky, sky, sky]).astype(np.float32)).tolist() == [True] + 3 * [False]
    assert may_be_skin(np.concatenate([grey] * 3).astype(np.float32)).all()


def test_known_values_are_not_changed_by_a_continuation():
    rng = np.random.default_rng(0)
    values, known = rng.uniform(0, 255, (40, 56, 3)).astype(np.float32), rng.random((40, 56)) < 0.5
    out = continued(values, known.astype(np.float32))
    assert np.abs(out - values)[known].max() < 1e-3
    assert np.abs(out - values)[~known].max() > 1


def test_a_constant_is_continued_as_itself():
    known = np.zeros((70, 45), np.float32)
    known[:3] = 1
    out = continued(np.where(known[..., None] > 0, 77.0, 0.0).astype(np.float32).repeat(3, axis=2), known)
    assert np.abs(out - 77).max() < 0.01


def test_a_continuation_stays_between_the_known_values():
    known = np.zeros((64, 64), np.float32)
    known[:4], known[-4:] = 1, 1
    values = np.zeros((64, 64, 3), np.float32)
    values[-4:] = 100
    column = continued(values, known)[:, 32, 0]
    assert column.min() > -1e-3 and column.max() < 100.001
    assert (np.diff(column) >= -1e-3).all() and 30 < column[32] < 70


def test_no_pixel_of_the_mask_is_read(faces):
    face, area = faces[0], lower_half()
    other = face.image.copy()
    other[area] = np.random.default_rng(0).integers(0, 256, (int(area.sum()), 3))
    drawn = [bare_face(UnmaskedFace(image, face.landmarks), area, packaged_model()) for image in (face.image, other)]
    assert np.array_equal(drawn[0][area], drawn[1][area])


def grown(area, px):
    return cv2.dilate(area.astype(np.uint8), np.ones((2 * px + 1, 2 * px + 1), np.uint8)) > 0


def test_the_colour_of_the_masks_edge_is_not_mixed_in(faces):
    """A dark seam, or the cloth's colour in the pixels that the edge shares with skin, left a line over the nose."""
    area = lower_half()
    edge = cv2.dilate(area.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > area
    edged = faces[0].image.copy()
    edged[edge] = (0, 0, 60)
    plain, drawn = (
        bare_face(UnmaskedFace(image, faces[0].landmarks), area, packaged_model()) for image in (faces[0].image, edged)
    )
    assert np.array_equal(plain, drawn)


@pytest.mark.parametrize(("colour", "end"), [((25, 20, 20), 120), ((110, 140, 190), 160)])
def test_hair_or_glasses_beside_the_mask_do_not_change_the_colour_of_the_face(faces, colour, end):
    """What is drawn in the middle of the face is skin in the light of the other skin."""
    area, hidden = lower_half(), faces[0].image.copy()
    hidden[grown(area, 12) & ~area & (np.arange(PX) < end)] = colour
    plain, drawn = (
        bare_face(UnmaskedFace(image, faces[0].landmarks), area, packaged_model()).astype(float)
        for image in (faces[0].image, hidden)
    )
    assert np.abs(plain - drawn)[175:205, 118:150].mean() < 12


def test_on_a_smooth_photo_a_smooth_face_is_drawn(faces):
    area = lower_half()
    smooth = UnmaskedFace(cv2.GaussianBlur(faces[0].image, (0, 0), 4), faces[0].landmarks)
    sharp_face, smooth_face = (
        texture_of(to_logarithms(bare_face(face, area, packaged_model())), area, PX) for face in (faces[0], smooth)
    )
    assert smooth_face < 0.9 * sharp_face


def test_the_drawn_face_goes_over_into_a_dark_thing_beside_the_mask(faces):
    """It has little weight for the light, and without a transition its end would be seen as a line."""
    area, hidden = lower_half(), faces[0].image.copy()
    hidden[120:153, 92:112] = 0.3 * hidden[120:153, 92:112]
    plain, drawn = (
        bare_face(UnmaskedFace(image, faces[0].landmarks), area, packaged_model()).astype(float)
        for image in (faces[0].image, hidden)
    )
    at_edge, farther = (
        drawn[rows, 97:107].mean() / plain[rows, 97:107].mean() for rows in (slice(150, 153), slice(170, 180))
    )
    assert at_edge < 0.75 and farther > 0.9


MOUTH_CORNERS, CHEEKBONES = [61, 291], list(SIDES)


def widened(face, area):
    """How much wider the jaw becomes, px, and how far a corner of the mouth moves at most."""
    before, after = (one.landmarks * PX for one in (face, with_sides_at_edge(face, area)))
    jaw = [np.ptp(points[[58, 288], 0]) for points in (before, after)]
    return jaw[1] - jaw[0], np.abs(after - before)[MOUTH_CORNERS].max()


def test_a_face_under_a_mask_that_is_wider_is_drawn_nearly_as_wide(faces):
    for face in faces:
        oval = polygon_mask(face.landmarks, FACE_OVAL, PX, PX) > 0
        width = np.ptp(face.landmarks[CHEEKBONES, 0]) * PX
        wider, narrower = grown(oval, round(0.07 * width)), lower_half()
        jaw, mouth = widened(face, wider)
        assert 0.04 < jaw / width < 0.125 and mouth < 0.6 * jaw / 2
        assert widened(face, narrower)[0] == 0


def test_ear_loops_do_not_widen_a_face(faces):
    """They go from the mask to the ear at all heights between nose and lip."""
    area = lower_half().astype(np.uint8)
    for column, ear in ((90, 20), (170, 236)):
        cv2.line(area, (column, 210), (ear, 120), 1, 3)
    assert widened(faces[0], area > 0)[0] == 0


def test_pixels_far_from_the_mask_keep_their_values(faces):
    area = lower_half()
    drawn = bare_face(faces[0], area, packaged_model())
    far = far_from(area)
    assert np.array_equal(drawn[far], faces[0].image[far])
    assert np.abs(drawn[area].astype(int) - faces[0].image[area]).mean() > 1


def test_without_a_mask_nothing_changes(faces):
    drawn = bare_face(faces[0], np.zeros((PX, PX), bool), packaged_model())
    assert np.array_equal(drawn, faces[0].image)


def test_a_black_and_white_photo_stays_one(faces):
    grey = np.repeat(faces[0].image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    drawn = bare_face(UnmaskedFace(grey, faces[0].landmarks), lower_half(), packaged_model())
    assert np.ptp(drawn.astype(int), axis=2).max() <= 1
    assert not np.array_equal(drawn, grey)


def test_a_face_in_other_light_is_drawn_in_that_light(faces):
    """A photo at half the exposure gives the same face at half the exposure."""
    area = lower_half()
    dark = UnmaskedFace((faces[0].image * 0.5).astype(np.uint8), faces[0].landmarks)
    bright, drawn = (bare_face(face, area, packaged_model())[area].mean() for face in (faces[0], dark))
    assert 0.4 < drawn / bright < 0.6


def test_the_same_face_gives_the_same_bytes(faces):
    face, _, _ = masked(faces[0])
    once, twice = (bare_face(face, find_mask_area(face), packaged_model()).tobytes() for _ in range(2))
    assert once == twice


@pytest.mark.parametrize(("kind", "least"), [("surgical", 0.95), ("kn95", 0.9), ("cloth", 0.8)])
def test_the_area_of_a_drawn_mask_is_found(faces, kind, least):
    for face in faces:
        photo, cloth, straps = masked(face, kind)
        beside_straps = cv2.dilate(straps, np.ones((7, 7), np.uint8)) == 0
        found, truth = find_mask_area(photo) & beside_straps, (cloth > 0.5) & beside_straps
        assert (found & truth).sum() / (found | truth).sum() > least


def test_a_mask_that_hangs_lower_than_the_network_expects_is_found(faces):
    """Its map ends there, but the cloth's colour goes on; likewise at a mask's pointed corners."""
    for face in faces:
        photo, cloth, _ = masked(face)
        rows, columns = np.nonzero(cloth > 0.5)
        bottom, middle = int(rows.max()), int(columns[rows > rows.max() - 3].mean())
        hanging = np.zeros((PX, PX), bool)
        hanging[bottom - 3 : bottom + 24, middle - 20 : middle + 20] = True
        hanging &= cloth < 0.5
        image = photo.image.copy()
        image[hanging] = np.median(photo.image[cloth > 0.9], axis=0)
        assert find_mask_area(UnmaskedFace(image, photo.landmarks))[hanging].mean() > 0.97


def test_the_area_is_found_in_a_picture_of_another_size(faces):
    photo, cloth, straps = masked(faces[0])
    large = UnmaskedFace(cv2.resize(photo.image, (3 * PX, 3 * PX)), photo.landmarks)
    cloth, beside_straps = (
        cv2.resize(part, (3 * PX, 3 * PX)) for part in (cloth, 1 - cv2.dilate(straps, np.ones((7, 7), np.uint8)))
    )
    found = find_mask_area(large)
    assert found.shape == cloth.shape
    found, truth = found & (beside_straps > 0.9), (cloth > 0.5) & (beside_straps > 0.9)
    assert (found & truth).sum() / (found | truth).sum() > 0.9


# Ear loops, on a flat picture: a mask whose cloth's area is known, and lines drawn by hand.

SKIN, CLOTH = (200, 160, 130), (90, 120, 150)


@pytest.fixture
def flat(faces):
    """A flat picture of a masked face, its area (H, W) of 0 and 1, and the landmarks."""
    image, landmarks = np.full((PX, PX, 3), SKIN, np.uint8), faces[0].landmarks
    area = (lower_face_mask(landmarks, PX, PX) > 0).astype(np.uint8)
    image[area > 0] = CLOTH
    return image, area, landmarks


def with_loops(image, area, landmarks, colour):
    """Lines from the upper corners of the area to behind the ears; returns where they are."""
    drawn = np.zeros_like(area)
    rows, columns = np.nonzero(area)
    ears = landmarks[list(SIDES)] * PX
    reach = 0.05 * (ears[1, 0] - ears[0, 0])
    for column, outwards, ear in ((columns.min(), -1, ears[0]), (columns.max(), 1, ears[1])):
        start = int(column), int(rows[columns == column].min())
        end = round(float(ear[0] + outwards * reach)), round(float(ear[1] - 1.4 * reach))
        cv2.line(drawn, start, end, 1, 2)
    drawn[area > 0] = 0
    image[drawn > 0] = colour
    return drawn > 0


@pytest.mark.parametrize("colour", [(240, 240, 240), (20, 20, 22)])
def test_ear_loops_are_found_lighter_or_darker_than_what_is_beside_them(flat, colour):
    image, area, landmarks = flat
    loops = with_loops(image, area, landmarks, colour)
    found = _loops(image, area, landmarks) > 0
    assert found[loops].mean() > 0.8
    assert not found[~cv2.dilate(loops.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)].any()


def test_a_dark_ear_before_a_bright_wall_is_no_loop_of_a_mask_with_light_loops(flat):
    image, area, landmarks = flat
    ear, columns = landmarks[SIDES[1]] * PX, np.nonzero(area)[1]
    start = int(columns.max()) - 3, round(float(np.nonzero(area[:, columns.max() - 3])[0].mean()))
    cv2.line(image, start, (round(float(ear[0])) + 18, round(float(ear[1])) - 10), (60, 40, 30), 2)
    image[area > 0] = CLOTH
    dark = (image == (60, 40, 30)).all(axis=2)
    assert _loops(image, area, landmarks)[dark].mean() > 0.9  # alone it could be a loop
    with_loops(image, area, landmarks, (250, 250, 250))
    assert _loops(image, area, landmarks)[dark].mean() < 0.3


def test_a_bright_sliver_along_the_edge_of_a_mask_is_no_loop(flat):
    image, area, landmarks = flat
    image[(cv2.dilate(area, np.ones((5, 5), np.uint8)) > 0) & (area == 0)] = 250
    assert not _loops(image, area, landmarks).any()


def test_a_line_that_does_not_touch_the_mask_is_no_loop(flat):
    image, area, landmarks = flat
    cv2.line(image, (4, 150), (36, 140), (250, 250, 250), 2)
    assert not _loops(image, area, landmarks).any()
