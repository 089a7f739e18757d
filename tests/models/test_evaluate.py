import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.evaluation import evaluate as evaluate_module
from models.evaluation.evaluate import evaluate
from models.evaluation.metrics import mean_over_mask, psnr
from models.face_regions import dilated_region
from models.image_grids import MAX_BYTES, image_grid, write_png
from models.params import EvaluateParams
from models.training.loop import train
from pipeline.errors import FacemaskError
from pipeline.storage import packed_arrays as packed

PARAMS = EvaluateParams(images=10, batch_size=2, grid_faces=2)
REPORT, SAMPLES = Path("reports/evaluation.json"), Path("reports/samples")


@pytest.fixture
def trained(pack, tiny, monkeypatch):
    """A checkpoint, and a gate that needs no landmarks; gives the pictures that the gate was asked about."""
    import pipeline.curation.acceptance

    train(tiny, pack, Path("checkpoints"), Path("reports/training"))
    asked = []

    def accepted_share(images):
        asked.append(images)
        return 0.5

    monkeypatch.setattr(pipeline.curation.acceptance, "accepted_share", accepted_share)
    return asked


def judge(pack):
    evaluate(PARAMS, Path("checkpoints"), pack, REPORT, SAMPLES)
    return json.loads(REPORT.read_text())


def test_both_directions_are_measured_on_the_test_faces(trained, pack, tiny):
    values = judge(pack)
    assert (values["mask"]["images"], values["unmask"]["images"]) == (3, 2)
    assert values["mask"]["accepted"] == values["unmask"]["still_masked"] == 0.5
    assert [images.shape for images in trained] == [(3, 32, 32, 3), (2, 32, 32, 3)]
    assert 0 < values["mask"]["psnr_outside_db"] < 100
    assert values["images_seen"] == tiny.images
    assert (SAMPLES / "grid.png").stat().st_size < MAX_BYTES


def test_evaluation_opens_test_images_only(trained, pack, monkeypatch):
    opened = []

    def read_set(folder, domain, split):
        opened.append(packed.set_name(domain, split))
        return packed.read_set(folder, domain, split)

    monkeypatch.setattr(evaluate_module, "read_set", read_set)
    for name in ("unmasked_train", "masked_train", "unmasked_val", "masked_val"):
        for path in packed.array_paths(pack, name):
            path.unlink()
    judge(pack)
    assert sorted(opened) == ["masked_test", "unmasked_test"]


def test_an_empty_test_set_is_told_in_one_line(trained, pack):
    images, guides, faces = packed.array_paths(pack, "unmasked_test")
    np.save(images, np.load(images)[:0])
    np.save(guides, np.load(guides)[:0])
    packed.write_faces(faces, [], [])
    with pytest.raises(FacemaskError, match="no unmasked test faces"):
        judge(pack)
    assert not REPORT.exists()


def test_a_checkpoint_of_another_pack_is_refused_since_its_training_may_hold_these_faces(trained, pack):
    path = pack / "pack.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(FacemaskError, match="trained on other packed images"):
        judge(pack)


def test_an_earlier_model_is_judged_on_todays_test_faces_in_the_same_figures(trained, pack):
    before = judge(pack)
    path = pack / "pack.json"
    path.write_text(path.read_text() + "\n")
    evaluate_module.evaluate_again(PARAMS, Path("checkpoints"), pack, Path("work/judged.json"))
    assert json.loads(Path("work/judged.json").read_text()) == before


def test_other_test_faces_have_another_name_and_other_training_faces_have_not(trained, pack):
    before = judge(pack)["test_set"]
    for name, same in (("unmasked_train", True), ("unmasked_test", False)):
        images, _, _ = packed.array_paths(pack, name)
        np.save(images, 255 - np.load(images))
        assert (judge(pack)["test_set"] == before) == same


def test_evaluating_twice_gives_the_same_report(trained, pack):
    assert judge(pack) == judge(pack)


def test_psnr_has_its_golden_value_and_looks_only_where_it_is_told():
    one, other = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    other[..., 0] = 0.2
    everywhere, right = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    right[..., 0] = 0
    assert psnr(one, other, everywhere).item() == pytest.approx(10 * np.log10(4 / (0.04 / 4)), abs=1e-4)
    assert psnr(one, other, right).item() == pytest.approx(100)


def test_a_region_grows_by_a_sixteenth_of_the_side():
    region = torch.zeros(1, 1, 32, 32)
    region[..., 16, 16] = 1
    grown = dilated_region(region)[0, 0]
    assert grown.sum() == 25
    assert grown[14:19, 14:19].all()


def test_a_share_is_a_mean_over_the_chosen_pixels():
    values, where = torch.tensor([[[[1.0, 0.0, 0.5]]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert mean_over_mask(values, where).tolist() == [0.5]


def test_a_picture_too_large_for_its_file_is_scaled_down(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    write_png(tmp_path / "noise.png", noise)
    assert MAX_BYTES / 2 < (tmp_path / "noise.png").stat().st_size <= MAX_BYTES


def test_a_grid_puts_pictures_side_by_side_with_white_between():
    black = np.zeros((4, 4, 3), np.uint8)
    sheet = image_grid([[black, black], [black, black]])
    assert sheet.shape == (10, 10, 3)
    assert (sheet[4:6] == 255).all()


def test_each_direction_is_held_against_the_real_faces_it_should_look_like(pack, trained, monkeypatch):
    asked = []

    def kid(fakes, reals):
        asked.append(reals)
        return 0.25

    monkeypatch.setattr(evaluate_module, "kid", kid)
    report = judge(pack)
    assert (report["mask"]["kid"], report["unmask"]["kid"]) == (0.25, 0.25)
    for domain, reals in zip(("masked", "unmasked"), asked, strict=True):
        assert reals.shape[0] == len(packed.read_set(pack, domain, "test"))


def test_without_its_packages_there_is_no_kid(pack, trained, monkeypatch, capsys):
    monkeypatch.setattr(evaluate_module, "kid", lambda _fakes, _reals: None)
    assert "kid" not in judge(pack)["mask"]
    assert "no KID" in capsys.readouterr().out


def test_each_direction_says_how_far_its_faces_are_from_the_photos_of_the_same_people(pack, trained, monkeypatch):
    asked = []

    def distances(before, after):
        asked.append((before, after))
        return [0.5, 0.25, 0.75][: len(before)]

    monkeypatch.setattr(evaluate_module, "distances", distances)
    report = judge(pack)
    assert report["mask"]["identity_distance"] == 0.5
    assert report["unmask"]["identity_distance_back"] == 0.375
    photos = [len(packed.read_set(pack, domain, "test")) for domain in ("unmasked", "unmasked", "masked", "masked")]
    assert [len(before) for before, _ in asked] == photos


def test_without_a_face_recogniser_nothing_is_said_of_identity(pack, trained, monkeypatch):
    monkeypatch.setattr(evaluate_module, "distances", lambda _before, _after: None)
    assert "identity_distance" not in judge(pack)["mask"]
