"""`facemask apply` on photos of the sample's faces, with a generator that paints the mask region blue."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from pipeline.storage import worker_pool as workers
from pipeline.tools import paint_photos as module
from pipeline.tools.provenance import read_provenance
from tests.models.conftest import BLUE, TINY, write_checkpoint
from tests.pipeline.strangers import EPS


@pytest.fixture
def photos(portraits):
    """photos/one.jpg with EXIF and a colour profile, photos/two/group.png with two faces, photos/none.png with none."""
    Path("photos/two").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # to be rotated by a quarter turn
    turned = portraits[0].transpose(Image.Transpose.ROTATE_90)
    turned.save("photos/one.jpg", quality=95, exif=exif, icc_profile=b"a profile")
    group = Image.new("RGB", (900, 600), (96, 112, 128))
    group.paste(portraits[1], (60, 200))
    group.paste(portraits[2].resize((180, 180)), (620, 60))
    group.save("photos/two/group.png")
    Image.new("RGB", (300, 200), (96, 112, 128)).save("photos/none.png")
    write_checkpoint(Path("model"))
    return Path("photos")


def run(*arguments):
    main(["apply", *map(str, arguments)])


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def blue(picture):
    return np.abs(picture - BLUE).max(axis=2) <= 16


def test_every_face_is_painted_and_all_other_pixels_are_unchanged(photos):
    run("model", photos / "two/group.png", "--out", "out")
    before, after = pixels(photos / "two/group.png"), pixels("out/group.png")
    assert before.shape == after.shape
    for left, top, side in ((60, 200, 256), (620, 60, 180)):
        assert 0.05 < blue(after[top : top + side, left : left + side]).mean() < 0.4
    changed = (before != after).any(axis=2)
    around = np.ones_like(changed)
    around[190:470, 50:330] = around[50:250, 610:810] = False
    assert not changed[around].any()
    assert 0.02 < changed.mean() < 0.15


def test_a_photo_without_a_face_is_copied_and_named(photos, capsys):
    run("model", photos / "none.png", "--out", "out")
    assert Path("out/none.png").read_bytes() == (photos / "none.png").read_bytes()
    assert "no face in photos/none.png: copied unchanged" in capsys.readouterr().out


def test_a_rotated_photo_is_written_upright_with_its_metadata(photos, portraits):
    run("model", photos / "one.jpg", "--out", "out")
    with Image.open("out/one.png") as made:
        assert made.size == portraits[0].size
        assert dict(made.getexif()) == {0x010F: "a camera"}
        assert made.info["icc_profile"] == b"a profile"
    assert np.abs(pixels("out/one.png")[:40] - np.asarray(portraits[0])[:40]).mean() < 6


def test_an_output_is_marked_as_synthetic_and_names_its_checkpoint(photos, capsys):
    run("model", photos / "two", "--out", "out", "--unmask")
    mark = read_provenance(Path("out/group.png"))
    assert (mark.painted, mark.faces, mark.tool) == ("unmask", 2, "facemask 0.1.0")
    run("--check", "out/group.png")
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("out/group.png: compositeWithTrainedAlgorithmicMedia; unmask on 2 faces by facemask")
    assert mark.checkpoint in line


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_check_finds_the_mark_in_a_picture_that_was_converted_from_png(photos, capsys, suffix):
    run("model", photos / "two", "--out", "out")
    with Image.open("out/group.png") as made:
        xmp = made.info["XML:com.adobe.xmp"].encode()
        made.save(f"group{suffix}", xmp=xmp)
    run("--check", f"group{suffix}")
    assert f"group{suffix}: compositeWithTrainedAlgorithmicMedia" in capsys.readouterr().out


def test_check_fails_for_an_image_without_a_mark(photos):
    with pytest.raises(SystemExit, match="1 of 1 images are not marked as synthetic"):
        run("--check", photos / "none.png")


def test_side_by_side_writes_the_photo_and_the_painted_photo(photos):
    run("model", photos / "two", "--out", "out", "--side-by-side")
    both, photo = pixels("out/group.png"), pixels(photos / "two/group.png")
    assert both.shape == (600, 1800, 3)
    assert (both[:, :900] == photo).all()
    assert blue(both[:, 900:]).any()


def test_present_outputs_are_not_written_again(photos, capsys):
    run("model", photos, "--out", "out")
    made = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.png")}
    assert len(made) == 3
    run("model", photos, "--out", "out")
    assert "0 faces painted in 0 photos, 0 without a face copied, 3 already present" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.png")} == made


@pytest.mark.parametrize("change", ["another checkpoint", "another photo", "another direction"])
def test_an_output_is_written_again_when_checkpoint_photo_or_direction_changed(photos, portraits, change):
    run("model", photos / "two", "--out", "out")
    before = read_provenance(Path("out/group.png"))
    more = []
    if change == "another checkpoint":
        write_checkpoint(Path("model"), replace(TINY, seed=9), colour=(200, 20, 20))
    elif change == "another photo":
        portraits[0].save(photos / "two/group.png")
    else:
        more = ["--unmask"]
    run("model", photos / "two", "--out", "out", *more)
    assert read_provenance(Path("out/group.png")) != before


def test_many_photos_are_processed_by_several_processes(photos, portraits, capsys):
    for number in range(5):
        portraits[number % 3].save(photos / f"more{number}.png")
    (photos / "broken.png").write_bytes(b"no image")
    with pytest.raises(SystemExit, match=r"1 of 9 photos cannot be read, the first is photos/broken.png"):
        run("model", photos, "--out", "out")
    output = capsys.readouterr().out
    assert "apply: 9 of 9 photos" in output
    assert "8 faces painted in 7 photos, 1 without a face copied" in output
    assert len(list(Path("out").rglob("*.png"))) == 8


def test_an_image_that_facemask_did_not_create_is_not_overwritten(photos, portraits):
    Path("out").mkdir()
    portraits[1].save("out/one.png")
    mine = Path("out/one.png").read_bytes()
    with pytest.raises(SystemExit, match=r"out/one.png already exists and was not created by facemask"):
        run("model", photos, "--out", "out")
    assert Path("out/one.png").read_bytes() == mine


def test_a_file_of_the_same_size_as_the_photo_is_not_overwritten(photos):
    Path("out").mkdir()
    Path("out/none.png").write_bytes(b"x" * (photos / "none.png").stat().st_size)
    with pytest.raises(SystemExit, match=r"out/none\.png already exists and was not created by facemask"):
        run("model", photos / "none.png", "--out", "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model"], "name the photos"),
        (
            ["nowhere", "photos", "--out", "out"],
            "nowhere is no photo, no folder and no model: name one (no model is registered",
        ),
        (["empty", "photos", "--out", "out"], "has neither checkpoint.json nor images"),
        (["model", "nothing.png", "--out", "out"], "nothing.png does not exist"),
    ],
)
def test_wrong_arguments_are_a_one_line_error(photos, arguments, message):
    Path("empty").mkdir()
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert str(ended.value).startswith("facemask: error: ")
    assert message in str(ended.value)
    assert "\n" not in str(ended.value)
    assert not Path("out").exists()


def test_the_papers_generator_repaints_the_frame_of_the_face_only(photos):
    write_checkpoint(Path("cyclegan"), replace(TINY, method="cyclegan"))
    run("cyclegan", photos / "two", "--out", "out")
    changed = (pixels("out/group.png") != pixels(photos / "two/group.png")).any(axis=2)
    assert changed[260:400, 120:260].mean() > 0.9
    assert not changed[:, 400:560].any()


@pytest.mark.parametrize("many", [False, True], ids=["one process", "several processes"])
def test_no_photo_starts_a_program(photos, portraits, fake_ghostscript, many):
    (photos / "eps.jpg").write_bytes(EPS)
    for number in range(5 * many):
        portraits[number % 3].save(photos / f"more{number}.png")
    with pytest.raises(SystemExit, match=r"the first is photos/eps.jpg"):
        run("model", photos, "--out", "out")
    assert not fake_ghostscript.exists()


def test_check_starts_no_program(photos, fake_ghostscript):
    (photos / "eps.jpg").write_bytes(EPS)
    with pytest.raises(SystemExit, match="1 of 1 images are not marked"):
        run("--check", photos / "eps.jpg")
    assert not fake_ghostscript.exists()


def test_check_of_a_huge_image_is_a_one_line_error(photos, capsys):
    Image.new("1", (20_000, 20_000)).save(photos / "huge.png")
    with pytest.raises(SystemExit) as ended:
        run("--check", photos / "huge.png")
    assert str(ended.value).startswith("facemask: error: 1 of 1 images are not marked")
    assert capsys.readouterr().err == ""


def test_a_fifo_in_a_folder_of_photos_is_ignored(photos, capsys):
    os.mkfifo(photos / "fifo.png")
    run("model", photos, "--out", "out")
    assert "apply: 3 of 3 photos" in capsys.readouterr().out


def test_a_file_above_the_size_limit_is_named_and_not_read(photos, capsys):
    os.truncate(photos / "none.png", 30_000_000_000)  # sparse
    with pytest.raises(SystemExit, match="1 of 1 photos cannot be read"):
        run("model", photos / "none.png", "--out", "out")
    assert "it has 30,000,000,000 bytes, more than 500,000,000" in capsys.readouterr().out


def test_deeply_nested_xmp_is_left_out(photos, portraits):
    deep = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{'<a>' * 20_000}{'</a>' * 20_000}</x:xmpmeta>"
    portraits[1].save(photos / "two/deep.webp", xmp=deep.encode())
    run("model", photos / "two/deep.webp", "--out", "out")
    assert read_provenance(Path("out/deep.png")).faces == 1


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"icc_profile": bytes(2_000_000)}, "colour profile"),
        ({"exif": b"Exif\0\0junk and more junk"}, "EXIF"),
        ({"xmp": b"<a/>"}, "XMP"),
    ],
)
def test_metadata_that_cannot_be_kept_is_left_out_with_one_line(photos, portraits, capsys, options, what):
    portraits[1].save(photos / "two/odd.webp", lossless=True, **options)
    run("model", photos / "two/odd.webp", "--out", "out")
    assert f"apply: out/odd.png is without the photo's {what} (" in capsys.readouterr().out
    assert read_provenance(Path("out/odd.png")).faces == 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no CPU timer on this platform")
def test_the_cpu_time_of_decoding_is_limited(photos, monkeypatch):
    left = []

    def decode(*_):
        left.append(signal.getitimer(signal.ITIMER_PROF)[0])

    monkeypatch.setattr(workers, "_is_worker", True)
    monkeypatch.setattr(module, "decode", decode)
    with pytest.raises(SystemExit):
        run("model", photos / "one.jpg", "--out", "out")
    assert len(left) == 1 and 0 < left[0] < workers.IMAGE_CPU_S + 1
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
