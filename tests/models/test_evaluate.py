import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models import registry
from models.drawings import put_on
from models.evaluation import direction_metrics, face_images, realism, translation
from models.evaluation import evaluate as evaluate_module
from models.evaluation.evaluate import evaluate
from models.evaluation.evaluate_promoted import evaluate_promoted
from models.evaluation.metrics import mean_over_mask, psnr
from models.evaluation.translation import FaceSet, translate_and_reconstruct
from models.face_regions import dilated_region
from models.image_grids import MAX_BYTES, image_grid, with_heads, write_png
from models.params import EvaluateParams
from models.registry import Registry
from models.training import checkpoint, drawn_inputs
from models.training.data import to_pixels
from models.training.drawn_inputs import WholeDrawings
from models.training.loop import train
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.storage import packed_arrays as packed
from tests.models.conftest import BLUE, GREY, LOAD_PX, plain_mask, write_checkpoint

PARAMS = EvaluateParams(images=10, batch_size=2, grid_faces=2)
LIMITS, SETTINGS = object(), object()  # handed on to curation
PATHS = Paths()


@pytest.fixture
def trained(pack, tiny, monkeypatch):
    """A checkpoint, and an acceptance rate that needs no landmarks; gives the images that were passed to it."""
    train(tiny, Paths())
    passed = []

    def acceptance_rate(images, limits, settings):
        assert (limits, settings) == (LIMITS, SETTINGS)
        passed.append(images)
        return 0.5

    monkeypatch.setattr(evaluate_module, "acceptance_rate", acceptance_rate)
    return passed


def evaluated():
    """What evaluation writes for the checkpoint in checkpoints/."""
    evaluate(PARAMS, LIMITS, SETTINGS, PATHS)
    return json.loads(PATHS.evaluation.read_text())


def test_both_directions_are_measured_on_the_test_faces(trained, pack, tiny):
    values = evaluated()
    assert (values["mask"]["images"], values["unmask"]["images"]) == (3, 2)
    assert values["mask"]["accepted"] == values["unmask"]["still_masked"] == 0.5
    assert [images.shape for images in trained] == [(3, 32, 32, 3), (2, 32, 32, 3)]
    assert 0 < values["mask"]["psnr_outside_db"] <= 100
    assert values["images_seen"] == tiny.images_per_domain
    assert (PATHS.samples / "grid.png").stat().st_size < MAX_BYTES


def test_evaluation_opens_test_images_only(trained, pack, monkeypatch):
    opened = []

    def read_set(folder, domain, split):
        opened.append(packed.set_name(domain, split))
        return packed.read_set(folder, domain, split)

    monkeypatch.setattr(face_images, "read_set", read_set)
    for name in ("unmasked_train", "masked_train", "unmasked_val", "masked_val"):
        for path in packed.array_paths(pack, name):
            path.unlink()
    evaluated()
    assert sorted(set(opened)) == ["masked_test", "unmasked_test"]


def test_an_empty_test_set_is_a_one_line_error(trained, pack):
    images, landmarks, faces = packed.array_paths(pack, "unmasked_test")
    np.save(images, np.load(images)[:0])
    np.save(landmarks, np.load(landmarks)[:0])
    packed.write_faces(faces, [], [], [])
    with pytest.raises(FacemaskError, match="has no unmasked test faces"):
        evaluated()
    assert not PATHS.evaluation.exists()


def test_a_checkpoint_trained_on_another_pack_is_refused(trained, pack):
    path = pack / "pack.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(FacemaskError, match="trained on other packed images"):
        evaluated()


def test_the_promoted_model_gets_the_same_metrics_on_a_newer_pack_of_the_same_test_faces(trained, pack):
    before = evaluated()
    path = pack / "pack.json"
    path.write_text(path.read_text() + "\n")
    shutil.copytree("checkpoints", "registry/v1")
    registry.write(Registry("v1", ()))
    evaluate_promoted(PARAMS, LIMITS, SETTINGS, PATHS)
    assert json.loads((PATHS.work() / registry.PROMOTED_EVALUATION).read_text()) == before


def test_without_a_promoted_model_there_is_nothing_to_evaluate():
    with pytest.raises(FacemaskError, match="no model is promoted"):
        evaluate_promoted(PARAMS, LIMITS, SETTINGS, PATHS)


@pytest.mark.parametrize(
    ("name", "same"),
    [("unmasked_train", True), ("masked_train", True), ("unmasked_test", False), ("masked_test", False)],
)
def test_the_digest_of_the_test_set_changes_with_test_faces_only(trained, pack, name, same):
    before = evaluated()["test_set"]
    images, _, _ = packed.array_paths(pack, name)
    np.save(images, 255 - np.load(images))
    assert (evaluated()["test_set"] == before) == same


def test_evaluating_twice_gives_the_same_report(trained, pack):
    assert evaluated() == evaluated()


@pytest.mark.parametrize(("domain", "direction"), [("unmasked", "mask"), ("masked", "unmask")])
def test_an_untrained_guided_model_is_evaluated_as_what_is_drawn(pack, domain, direction):
    folder = write_checkpoint(Path("untrained"), colour=GREY)
    generators, _ = checkpoint.load_generators(folder)
    drawn = WholeDrawings([plain_mask(BLUE)])
    faces = FaceSet(packed.read_set(pack, domain, "test"), domain, [0, 1], 32, 2, drawn)
    found = translate_and_reconstruct(direction, generators, faces)
    (batch,) = faces.batches()
    mask, bare = put_on(batch.images, batch.drawing), 2 * batch.bare[:, :3] - 1
    fakes, back = (to_pixels(images).astype(int) for images in ((mask, bare) if direction == "mask" else (bare, mask)))
    assert np.abs(found.fakes - fakes).max() <= 1
    if direction == "mask":  # where a mask was put on, the bare face is drawn; the other way round G draws on F(y)
        assert np.abs(found.reconstructions - back).max() <= 1


def test_photos_are_the_test_faces_and_nothing_is_drawn_for_them(pack, monkeypatch):
    monkeypatch.setattr(drawn_inputs, "draw_bare", lambda *_: pytest.fail("drawn"))
    test_set = packed.read_set(pack, "masked", "test")
    photos = FaceSet(test_set, "masked", [1, 0], LOAD_PX, 2, WholeDrawings([plain_mask(BLUE)])).photos()
    assert np.array_equal(photos.images, test_set.images[[1, 0]])


def test_psnr_has_its_golden_value_and_ignores_pixels_outside_the_mask():
    one, other = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    other[..., 0] = 0.2
    everywhere, right = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    right[..., 0] = 0
    assert psnr(one, other, everywhere).item() == pytest.approx(10 * np.log10(4 / (0.04 / 4)), abs=1e-4)
    assert psnr(one, other, right).item() == pytest.approx(100)


def test_dilation_adds_a_sixteenth_of_the_side_all_around():
    region = torch.zeros(1, 1, 32, 32)
    region[..., 16, 16] = 1
    dilated = dilated_region(region)[0, 0]
    assert dilated.sum() == 25
    assert dilated[14:19, 14:19].all()


def test_mean_over_mask_ignores_pixels_outside_the_mask():
    values, mask = torch.tensor([[[[1.0, 0.0, 0.5]]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert mean_over_mask(values, mask).tolist() == [0.5]


def test_an_image_larger_than_the_file_limit_is_scaled_down(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    write_png(tmp_path / "noise.png", noise)
    assert MAX_BYTES / 2 < (tmp_path / "noise.png").stat().st_size <= MAX_BYTES


def test_a_grid_puts_images_side_by_side_with_white_lines_between():
    black = np.zeros((4, 4, 3), np.uint8)
    grid = image_grid([[black, black], [black, black]])
    assert grid.shape == (10, 10, 3)
    assert (grid[4:6] == 255).all()


def test_heads_are_written_in_the_middle_of_their_columns_above_the_grid():
    grid = np.full((40, 3 * 128 + 4, 3), 77, np.uint8)
    headed = with_heads(grid, ["photo", "", "and off again"])
    assert np.array_equal(headed[-40:], grid)
    written = (headed[:-40] < 128).any(axis=(0, 2))
    assert written[34:94].any() and written[294:354].any()
    assert not written[128:260].any() and not written[:20].any()


def test_the_sample_grid_has_heads_for_what_the_model_makes(pack, trained, monkeypatch):
    heads = []
    monkeypatch.setattr(translation, "with_heads", lambda grid, names: heads.extend(names) or grid)
    evaluated()
    assert heads == ["photo", "mask on", "and off again", "masked photo", "mask off", "and on again"]


def test_fakes_are_compared_with_real_faces_of_the_other_domain(pack, trained, monkeypatch):
    compared = []

    def kid(fakes, reals):
        compared.append(reals)
        return 0.25

    monkeypatch.setattr(realism, "kid", kid)
    report = evaluated()
    assert (report["mask"]["kid"], report["unmask"]["kid"]) == (0.25, 0.25)
    for domain, reals in zip(("masked", "unmasked"), compared, strict=True):
        assert reals.shape[0] == len(packed.read_set(pack, domain, "test"))


def test_without_the_extra_evaluation_there_is_no_kid(pack, trained, monkeypatch, capsys):
    monkeypatch.setattr(realism, "kid", lambda _fakes, _reals: None)
    assert "kid" not in evaluated()["mask"]
    assert "no KID" in capsys.readouterr().out


def test_identity_distance_is_the_median_over_photos_and_their_translations(pack, trained, monkeypatch):
    passed = []

    def distances(before, after):
        passed.append((before, after))
        return [0.5, 0.25, 0.75][: len(before)]

    monkeypatch.setattr(direction_metrics, "identity_distances", distances)
    report = evaluated()
    assert report["mask"]["identity_distance"] == 0.5
    assert report["unmask"]["identity_distance_back"] == 0.375
    photos = [len(packed.read_set(pack, domain, "test")) for domain in ("unmasked", "unmasked", "masked", "masked")]
    assert [len(before) for before, _ in passed] == photos


def test_without_a_face_recogniser_there_is_no_identity_distance(pack, trained, monkeypatch):
    monkeypatch.setattr(direction_metrics, "identity_distances", lambda _before, _after: None)
    assert "identity_distance" not in evaluated()["mask"]


def test_masked_faces_are_compared_with_their_unmasked_photos_among_all_test_faces(pack, trained, monkeypatch):
    """Two masked test faces, of which the second is the third unmasked one but for its lower face."""
    (to_unmasked, _, unmasked), (to_masked, _, masked) = (
        packed.array_paths(pack, f"{domain}_test") for domain in ("unmasked", "masked")
    )
    true, photos = np.load(to_unmasked), np.load(to_masked)
    lower_face = photos[1, 18:32, 8:28].copy()
    photos[1] = true[2]
    photos[1, 18:32, 8:28] = lower_face
    np.save(to_masked, photos)
    packed.write_faces(unmasked, ["a", "b", "c"], [4, 5, 6], [0.0] * 3)
    packed.write_faces(masked, ["d", "e"], [None, 6], [0.0] * 2)
    passed = []

    def with_truth(metrics, fakes, photos, truths):
        passed.extend((fakes, photos, truths))
        return metrics

    report = evaluated()
    assert report["unmask"]["true_pairs"] == 1
    assert "true_pairs" not in report["mask"]
    monkeypatch.setattr(direction_metrics, "with_truth", with_truth)
    evaluate(
        EvaluateParams(images=2, batch_size=2, grid_faces=2), LIMITS, SETTINGS, PATHS
    )  # not the third unmasked one
    fakes, photos, truths = passed
    assert [faces.ffhq_ids for faces in passed] == [[6]] * 3
    outside = np.ones((32, 32), bool)
    outside[14:31, 5:27] = False
    assert np.abs(photos.images[0].astype(int) - truths.images[0])[outside].max() <= 1
    assert (fakes.images[0] != photos.images[0]).any()


def test_fakes_of_a_direction_are_held_beside_real_faces_of_the_other_domain(pack, trained, monkeypatch):
    passed = []

    def with_realism(metrics, fakes, reals):
        passed.append((len(fakes), len(reals)))
        assert len(fakes.ffhq_ids) == len(fakes.regions) == len(fakes)
        return metrics

    monkeypatch.setattr(direction_metrics, "with_realism", with_realism)
    evaluated()
    assert passed == [(3, 2), (2, 3)]
