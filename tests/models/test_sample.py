"""`facemask sample`: names, marks, and the same faces for the same seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from pipeline.storage.files import sha256
from pipeline.tools.provenance import SAMPLE_SOURCE_TYPE, read_provenance, read_source_type
from tests.models.conftest import TINY, write_checkpoint

OUT = Path("out")


@pytest.fixture(autouse=True)
def model():
    return write_checkpoint(Path("model"), replace(TINY, method="fastgan"))


def sample(*options, out=OUT):
    main(["sample", "model", "--out", str(out), *map(str, options)])


def pixels(name, out=OUT):
    return np.asarray(Image.open(out / name, formats=["PNG"]))


def test_each_face_is_written_without_and_with_its_mask_and_all_on_a_sheet():
    sample("--count", 5, "--seed", 3)
    faces = [f"seed3-{number:05d}-{kind}.png" for number in range(5) for kind in ("unmasked", "masked")]
    assert {path.name for path in OUT.iterdir()} == {*faces, "seed3-sheet.png"}
    assert pixels(faces[0]).shape == (32, 32, 3)
    assert (pixels(faces[0]) != pixels(faces[1])).any() and (pixels(faces[0]) != pixels(faces[2])).any()
    sheet = pixels("seed3-sheet.png")
    assert (sheet[:32, :32] == pixels(faces[0])).all() and (sheet[:32, 34:66] == pixels(faces[1])).all()


def test_every_picture_is_marked_as_made_by_a_model(model, capsys):
    sample("--count", 2)
    for path in OUT.iterdir():
        mark = read_provenance(path)
        assert (mark.painted, mark.checkpoint) == ("sample", sha256(model / "checkpoint.json")[:12])
        assert read_source_type(path) == SAMPLE_SOURCE_TYPE
    capsys.readouterr()
    main(["apply", "--check", "out/seed0-00000-masked.png"])
    assert "trainedAlgorithmicMedia; sample of 1 face by facemask" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_faces_whatever_the_count():
    sample("--count", 4, "--seed", 2)
    sample("--count", 1, "--seed", 2, out=Path("one"))
    sample("--count", 1, "--seed", 1, out=Path("one"))
    name = "seed2-00000-masked.png"
    assert (pixels(name) == pixels(name, Path("one"))).all()
    assert (pixels(name) != pixels("seed1-00000-masked.png", Path("one"))).any()


def test_a_file_that_facemask_did_not_make_is_not_overwritten():
    sample("--count", 1)
    sample("--count", 1)  # its own files are
    Image.new("RGB", (4, 4)).save(OUT / "seed0-00001-masked.png")
    before = {path.name: sha256(path) for path in OUT.iterdir()}
    with pytest.raises(SystemExit, match=r"seed0-00001-masked\.png already exists and was not created by facemask"):
        sample("--count", 2)
    assert {path.name: sha256(path) for path in OUT.iterdir()} == before


def test_a_model_that_changes_photos_is_refused_in_one_line():
    write_checkpoint(Path("other"), TINY)
    with pytest.raises(SystemExit, match=r"the model in other \(method guided\) changes photos and makes no new faces"):
        main(["sample", "other", "--out", "out"])
    assert not OUT.exists()


@pytest.mark.parametrize("options", [["--count", "0"], ["--count", "two"], ["--seed", "-1"]])
def test_counts_and_seeds_are_whole_numbers(options, capsys):
    with pytest.raises(SystemExit):
        sample(*options)
    assert "is no whole number from" in capsys.readouterr().err
