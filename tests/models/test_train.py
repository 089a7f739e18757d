"""Training as a whole: resuming, outputs, refusals, learning rates and curves."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.methods.method import load_method
from models.training import checkpoint
from models.training import loop as train_module
from models.training.loop import train
from models.training.optimisers import linear_learning_rate, progress
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.storage import packed_arrays as packed
from pipeline.storage.files import sha256
from tests.models.conftest import TINY, train_in

PACK = Path("data/train")


class Killed(Exception):
    pass


@pytest.fixture
def tiny(any_method):
    return any_method


def run(params, root):
    """Train in the workspace `root`; returns the digests of the files that it makes."""
    train_in(root, params)
    return files_of(root)


def files_of(folder):
    return {str(path.relative_to(folder)): sha256(path) for path in Path(folder).rglob("*") if path.is_file()}


def die_at(monkeypatch, step):
    """Make this step, and all later ones, raise."""
    steps = 0
    true_step = train_module.train_step

    def stepping(*args):
        nonlocal steps
        steps += 1
        if steps >= step:
            raise Killed
        return true_step(*args)

    monkeypatch.setattr(train_module, "train_step", stepping)


def test_resumed_training_equals_uninterrupted(pack, tiny, monkeypatch):
    whole = run(tiny, "whole")
    with monkeypatch.context() as patch:
        die_at(patch, 6)  # after 10 images, two after the last checkpoint
        with pytest.raises(Killed):
            run(tiny, "parts")
    assert files_of("parts") == {}
    assert run(tiny, "parts") == whole


def test_resumed_training_equals_uninterrupted_with_a_shorter_last_batch(pack, tiny, monkeypatch):
    params = replace(tiny, batch_size=3, images_per_domain=11, save_every_images=5)
    whole = run(params, "whole")
    with monkeypatch.context() as patch:
        die_at(patch, 4)
        with pytest.raises(Killed):
            run(params, "parts")
    assert run(params, "parts") == whole


def test_training_writes_weights_state_json_curves_and_samples(pack, tiny):
    made = run(tiny, "out")
    method = load_method(tiny.method)
    weights = {f"checkpoints/{name}.safetensors" for name in method.make_networks(tiny)}
    assert weights == {name for name in made if name.endswith(".safetensors")}
    assert {"checkpoints/state.pt", "checkpoints/checkpoint.json"} < made.keys()
    assert {"reports/training/metrics.json", "reports/training/progress.png"} < made.keys()
    curve = Path(f"out/reports/training/plots/metrics/{method.plateau_term}.tsv").read_text().splitlines()
    assert curve[0] == f"step\t{method.plateau_term}"
    assert [int(line.split("\t")[0]) for line in curve[1:]] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize("batch_size", [2, 5])
def test_a_training_whose_last_state_is_saved_is_published_without_another_step(pack, tiny, monkeypatch, batch_size):
    params = replace(tiny, batch_size=batch_size)
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "publish", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(params, Paths())
    die_at(monkeypatch, 1)
    train(params, Paths())
    assert checkpoint.read_info(Path("checkpoints")).images_seen == 12


def test_a_finished_training_is_published_again_without_training(pack, tiny, monkeypatch):
    # As after a kill before DVC has recorded the result: DVC removes nothing, and runs the same command.
    paths = Paths()
    train(tiny, paths)
    made = files_of("checkpoints")
    shutil.rmtree("checkpoints")
    die_at(monkeypatch, 1)
    train(tiny, paths)
    assert files_of("checkpoints") == made


def test_after_a_change_of_the_code_a_finished_training_is_not_used(pack, tiny, monkeypatch):
    train(tiny, Paths())
    monkeypatch.setattr(train_module, "closure_digest", lambda module: f"other code of {module}")
    die_at(monkeypatch, 1)
    with pytest.raises(Killed):
        train(tiny, Paths())


def test_the_next_training_removes_the_finished_one(pack, tiny):
    train(tiny, Paths())
    train(replace(tiny, seed=tiny.seed + 1), Paths())
    assert len(list(Path("work/train").iterdir())) == 1


def test_a_full_disk_is_an_error_of_the_system_and_keeps_the_earlier_state(pack, tiny, monkeypatch):
    true_write = Path.write_bytes

    def write(path, content):
        if path.name == checkpoint.STATE_NAME and "state-000000000008" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return true_write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space left on device"):
        train(tiny, Paths())
    assert [state.name for state in Path("work/train").glob("*/state-*")] == ["state-000000000004"]


def test_checkpoint_json_contains_licence_pack_and_parameters(pack, tiny):
    run(tiny, "out")
    values = json.loads(Path("out/checkpoints/checkpoint.json").read_text())
    assert values["data_licence"] == "CC BY-NC-SA 4.0"
    assert values["images_seen"] == tiny.images_per_domain
    assert values["params"]["method"] == tiny.method
    assert values["pack_sha256"] == sha256(PACK / "pack.json")
    assert values["schema"] == checkpoint.SCHEMA


def test_training_changes_all_generators(pack, tiny):
    run(tiny, "out")
    trained, _ = checkpoint.load_generators(Path("out/checkpoints"))
    fresh = load_method(tiny.method).make_networks(tiny)
    assert trained.keys() == {name for name in fresh if name in checkpoint.GENERATORS}
    for name in trained:
        pairs = zip(trained[name].parameters(), fresh[name].parameters(), strict=True)
        assert all((one - other).abs().sum() > 0 for one, other in pairs if one.dim() > 1)


def test_a_nan_stops_training_and_keeps_the_last_good_state(pack, tiny, monkeypatch):
    true_step = train_module.train_step

    def stepping(state, *args):
        losses = true_step(state, *args)
        return {**losses, "cycle": float("nan")} if state.images_seen == 6 else losses

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "train_step", stepping)
        with pytest.raises(FacemaskError, match=r"stopped at image 6: cycle is not a finite number.*state-0+4"):
            run(tiny, "out")
    (state,) = Path("work/train").glob("*/state-*")
    assert checkpoint.read_info(state).images_seen == 4
    assert files_of("out") == {}


def test_weights_that_are_not_finite_are_not_saved(pack, tiny, monkeypatch):
    true_step = train_module.train_step

    def stepping(state, *args):
        losses = true_step(state, *args)
        if state.images_seen == 6:
            next(next(iter(state.networks.values())).parameters()).grad.fill_(float("inf"))
        return losses

    monkeypatch.setattr(train_module, "train_step", stepping)
    with pytest.raises(FacemaskError, match=r"image 8: generator_(mask|faces).*not a finite number.*state-0+4"):
        run(tiny, "out")


def test_an_empty_domain_is_refused_in_one_line(pack, tiny):
    images, landmarks, faces = packed.array_paths(PACK, "masked_train")
    for path in (images, landmarks, packed.areas_path(PACK, "masked_train")):
        np.save(path, np.load(path)[:0])
    packed.write_faces(faces, [], [], [])
    with pytest.raises(FacemaskError, match="no masked faces to train on") as caught:
        run(tiny, "out")
    assert "\n" not in str(caught.value)


def test_a_crop_larger_than_the_packed_images_is_refused(pack, tiny):
    with pytest.raises(FacemaskError, match=r"train.image_px is 64.*packed at 36 px"):
        run(replace(tiny, image_px=64), "out")


def test_a_second_process_in_the_same_work_folder_is_refused(pack, tiny, monkeypatch):
    def stepping(*args):
        with pytest.raises(FacemaskError, match="another process is training"):
            run(tiny, "second")
        raise Killed

    monkeypatch.setattr(train_module, "train_step", stepping)
    with pytest.raises(Killed):
        run(tiny, "first")


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "plateau"},
        {"loss": "vanilla"},
        {"method": "cyclegan", "lambda_identity": 0.0},
        {"method": "simgan", "schedule": "plateau"},
        {"method": "pix2pix", "schedule": "plateau"},
        {"method": "fastgan", "schedule": "plateau", "pool_size": 0},
    ],
)
def test_resumed_training_equals_uninterrupted_with_other_losses_and_schedules(pack, changes, monkeypatch):
    params = replace(TINY, images_per_domain=40, **changes)  # eight epochs of the five faces: enough for a plateau
    whole = run(params, "whole")
    with monkeypatch.context() as patch:
        die_at(patch, 18)
        with pytest.raises(Killed):
            run(params, "parts")
    assert run(params, "parts") == whole


def test_plateau_schedule_divides_the_learning_rate_by_five_if_the_cycle_loss_does_not_fall(pack, monkeypatch):
    true_step = train_module.train_step
    monkeypatch.setattr(train_module, "train_step", lambda *args: {**true_step(*args), "cycle": 1.0})
    run(replace(TINY, schedule="plateau", images_per_domain=70), "out")  # ten epochs of the seven faces
    rows = Path("out/reports/training/plots/metrics/learning_rate.tsv").read_text().splitlines()[1:]
    assert [float(row.split("\t")[1]) for row in (rows[0], rows[-1])] == pytest.approx([2e-4, 4e-5])


def test_linear_schedule_is_constant_for_half_the_images_then_falls_to_0(tiny):
    params = replace(tiny, images_per_domain=1000, learning_rate=2e-4)
    rates = [linear_learning_rate(params, progress(params, seen, 0.0)) for seen in (0, 500, 750, 1000)]
    assert rates == pytest.approx([2e-4, 2e-4, 1e-4, 0])


def test_a_time_limit_ends_a_training_and_its_learning_rate_falls_by_the_time(pack, tiny):
    params = replace(tiny, images_per_domain=1_000_000, minutes=0.02)
    assert progress(params, 10, 0.9) == pytest.approx(0.75)
    paths = train_in("limited", params)
    assert checkpoint.read_info(paths.checkpoints).images_seen < 1_000_000
    assert checkpoint.read_info(paths.checkpoints).seconds >= 1.2
    assert (paths.training_report / "plots/metrics").is_dir()


def test_tensorboard_shows_each_point_once_after_an_interruption(pack, monkeypatch):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with monkeypatch.context() as patch:
        die_at(patch, 6)
        with pytest.raises(Killed):
            run(TINY, "out")
    run(TINY, "out")
    (folder,) = Path("work/tensorboard").iterdir()
    board = events.EventAccumulator(str(folder)).Reload()
    assert [event.step for event in board.Scalars("cycle")] == [2, 4, 6, 8, 10, 12]
