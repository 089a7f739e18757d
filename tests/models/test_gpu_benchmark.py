"""The GPU's benchmark, tiny and on the CPU: so it is ready where a GPU is at hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import PARTS, main
from benchmarks.gpu_faces import read_small_pack, write_small_pack
from models.training import checkpoint
from pipeline.storage import packed_arrays as packed
from tests.models.conftest import write_pack

PROJECT = Path(__file__).parents[2]
COUNTS = {"unmasked_train": 5, "masked_train": 7, "unmasked_test": 3, "masked_test": 2}
MISSING = {"pyarrow", "dvc", "dvclive", "prefect", "mediapipe", "imagehash", "tensorboard", "onnxruntime", "dlib"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A pack with its images as JPEG."""
    folder = tmp_path_factory.mktemp("pack")
    write_small_pack(write_pack(folder / "pack", COUNTS), folder / "small")
    return folder / "small"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def found(small, out, tmp_path_factory):
    """The JSON of a whole run where only a GPU machine's packages are, as it is kept and as it is printed last."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({MISSING}))\n")
    command = [sys.executable, "-m", "benchmarks.gpu", "--smoke", "--pack", str(small), "--out", str(out)]
    environment = {name: value for name, value in os.environ.items() if name != "FACEMASK_WORK"}
    environment |= {"PYTHONPATH": f"{site}:{PROJECT}", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads((out / "gpu.json").read_text()), json.loads(run.stdout.splitlines()[-1])


def test_smoke_runs_every_part_and_keeps_what_it_prints(found):
    kept, printed = found
    assert kept == printed
    assert set(PARTS) <= set(kept)


def test_the_share_of_the_peak_is_given_for_every_variant_of_the_step(found):
    kept, _ = found
    variants = {name for name, value in kept.items() if isinstance(value, dict) and "images_per_s" in value}
    assert variants == set(kept["share_of_bfloat16_peak"]) == set(kept["against_paper_float32"])
    assert variants == {"paper_float32", "paper_tf32", "ours_eager", "guided_eager", "ours", "guided"}


def test_on_one_thread_a_resumed_training_is_bit_exact_and_has_moved(found):
    kept, _ = found
    for mode in ("usual", "deterministic"):
        assert kept["resume"][mode]["resumed_is_bit_exact"]
        assert kept["resume"][mode]["weights_moved_by"] > 0


def test_a_training_is_evaluated_beside_what_is_drawn_without_it(found):
    kept, _ = found
    for stage in ("drawing", "trained"):
        assert kept["training"][stage]["mask"]["images"] == COUNTS["unmasked_test"]
        assert kept["training"][stage]["unmask"]["images"] == COUNTS["masked_test"]
    assert kept["training"]["trained"]["images"] > kept["training"]["drawing"]["images"]


def test_the_trained_checkpoint_comes_back_in_files_small_enough_to_travel(found, out):
    generators, info = checkpoint.load_generators(out / "training")
    assert generators.keys() == {"generator_mask", "generator_unmask"}
    assert checkpoint.load_masks(out / "training", info)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {"grid.png", "progress.png", "gpu.json"} <= {path.name for path in files}
    assert len(files) <= 8 and max(path.stat().st_size for path in files) <= 2**24


def test_a_small_pack_is_read_as_the_pack_that_it_is_a_copy_of(tmp_path):
    pack = write_pack(tmp_path / "pack", COUNTS)
    for name in ("unmasked_train", "masked_test"):
        to_images = packed.array_paths(pack, name)[0]
        np.save(to_images, np.full_like(np.load(to_images), 90))  # of noise, a JPEG keeps little
    write_small_pack(pack, tmp_path / "small")
    again = read_small_pack(tmp_path / "small", tmp_path / "again")
    for domain, split in (("unmasked", "train"), ("masked", "test")):
        one, other = (packed.read_set(folder, domain, split) for folder in (pack, again))
        assert np.abs(one.images.astype(int) - other.images).max() <= 1
        assert np.array_equal(one.landmarks, other.landmarks) and one.image_ids == other.image_ids
    assert {path.name for path in pack.iterdir()} == {path.name for path in again.iterdir()}


def test_a_pack_that_is_not_small_is_used_as_it_is(tmp_path):
    pack = write_pack(tmp_path / "pack", COUNTS)
    assert read_small_pack(pack, tmp_path / "again") == pack


def test_a_part_that_does_not_exist_is_refused_by_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu", "--only", "resume,speed"])
    with pytest.raises(SystemExit):
        main()
    assert "no part speed" in capsys.readouterr().err
