"""The GPU's benchmark, tiny and on the CPU: so it is ready where a GPU is at hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import PARTS, main

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The JSON of a whole run, as it is kept and as it is printed last."""
    out = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, "-m", "benchmarks.gpu", "--smoke", "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
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


def test_a_part_that_does_not_exist_is_refused_by_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu", "--only", "resume,speed"])
    with pytest.raises(SystemExit):
        main()
    assert "no part speed" in capsys.readouterr().err
