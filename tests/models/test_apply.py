"""`facemask apply` on photos of the sample's faces, with generators that draw masks and bluish bare faces."""

import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flows.cli import main
from models.drawings import put_on
from models.inference import painter
from models.inference.painter import paint_photo
from models.networks import FaceCorrector, initialised, make_generator
from models.training.data import to_faces, to_pixels
from pipeline.faces.conditioning import conditioning_maps
from pipeline.masks.records import UnmaskedFace
from pipeline.masks.worn import draw_worn, flatten
from pipeline.storage import worker_pool as workers
from pipeline.tools import paint_photos as module
from pipeline.tools.draw_masks import MaskChoice, draw_photo, drawable_faces, masked_faces
from pipeline.tools.provenance import read_provenance
from pipeline.unmasking.photo_faces import CutFace, changed_matte, cut_masked_face, paste_bare_face
from tests.conftest import GROUP_BOXES
from tests.models.conftest import FACE, GREY, TINY, plain_mask, with_masks, write_checkpoint
from tests.pipeline.strangers import EPS


@pytest.fixture
def photos(portraits, group_photo):
    """photos/one.jpg with EXIF and a colour profile, photos/two/group.png with two faces, photos/none.png with none."""
    Path("photos/two").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # to be rotated by a quarter turn
    turned = portraits[0].transpose(Image.Transpose.ROTATE_90)
    turned.save("photos/one.jpg", quality=95, exif=exif, icc_profile=b"a profile")
    group_photo.save("photos/two/group.png")
    Image.new("RGB", (300, 200), (96, 112, 128)).save("photos/none.png")
    write_checkpoint(Path("model"))
    return Path("photos")


@pytest.fixture
def masked_photo(photos):
    """photos/masked.png: the two faces of group.png with masks."""
    drawn = draw_photo(np.asarray(Image.open(photos / "two/group.png")), MaskChoice("surgical")).pixels
    Image.fromarray(drawn).save(photos / "masked.png")
    return photos / "masked.png"


def run(*arguments):
    main(["apply", *map(str, arguments)])


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def drawn_bare(path):
    """A photo with a drawn bare face in place of each mask, without a checkpoint."""
    photo = pixels(path).astype(np.uint8)
    painted = photo.copy()
    for points in reversed(masked_faces(photo, drawable_faces(photo))):
        face = cut_masked_face(painted, points)
        paste_bare_face(painted, face, face.bare.astype(np.float32), changed_matte(face))
    return painted.astype(int)


def test_every_bare_face_gets_a_mask_and_all_other_pixels_are_unchanged(photos):
    run("model", photos / "two/group.png", "--out", "out")
    changed = (pixels(photos / "two/group.png") != pixels("out/group.png")).any(axis=2)
    away = np.ones_like(changed)
    for left, top, side in GROUP_BOXES:
        assert 0.08 < changed[top : top + side, left : left + side].mean() < 0.5
        away[top + round(0.35 * side) : top + side + 20, left - 10 : left + side + 10] = False
    assert not changed[away].any()


def test_every_mask_is_taken_off_and_all_other_pixels_are_unchanged(masked_photo):
    run("model", masked_photo, "--out", "out", "--unmask")
    before, after = pixels(masked_photo), pixels("out/masked.png")
    changed, around = (before != after).any(axis=2), np.ones(before.shape[:2], bool)
    for left, top, side in GROUP_BOXES:
        assert 0.08 < changed[top : top + side, left : left + side].mean() < 0.6
        assert not changed[top : top + round(0.3 * side), left : left + side].any()
        around[top - 10 : top + side + 14, left - 10 : left + side + 14] = False
    assert not changed[around].any()


def test_the_correction_is_added_to_the_drawn_bare_face(masked_photo):
    """The checkpoint takes 69 levels from red and green, and adds as many to blue."""
    run("model", masked_photo, "--out", "out", "--unmask")
    added = pixels("out/masked.png") - drawn_bare(masked_photo)
    for left, top, side in GROUP_BOXES:
        red, green, blue = added[top : top + side, left : left + side].reshape(-1, 3).T
        lower = np.abs(red) + np.abs(blue) > 0
        assert 0.05 < lower.mean() < 0.6
        assert -75 < np.median(red[lower]) < -40 and -75 < np.median(green[lower]) < -40
        assert 40 < np.median(blue[lower]) < 75


def test_what_is_corrected_beside_the_drawn_bare_face_replaces_the_photo_too(masked_photo):
    photo, drawn = pixels(masked_photo), drawn_bare(masked_photo)
    run("model", masked_photo, "--out", "out", "--unmask")
    beside, changed = (drawn == photo).all(axis=2), np.abs(pixels("out/masked.png") - photo).max(axis=2) > 40
    assert (beside & changed).sum() > 0.05 * changed.sum() > 0


def test_a_masked_face_of_the_models_size_is_corrected_as_the_generator_sees_it(photos, monkeypatch):
    """Neither the face nor the correction is scaled: what is pasted is the generator's output."""
    torch.manual_seed(0)
    generator = initialised(FaceCorrector(4, 1)).eval()
    torch.nn.init.normal_(generator.layers[-1].weight, 0.0, 1.0)
    side = painter._hanging_px(64)
    rng = np.random.default_rng(0)
    photo, bare = (rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(2))
    area = np.repeat(np.arange(side)[:, None] > side // 2, side, axis=1)
    bare[~area] = photo[~area]
    face = CutFace(FACE, np.zeros((2, 3)), UnmaskedFace(photo, FACE), area, bare)
    pasted = []
    monkeypatch.setattr(painter, "cut_masked_face", lambda *_: face)
    monkeypatch.setattr(painter, "paste_bare_face", lambda *arguments: pasted.append(arguments))
    monkeypatch.setattr(painter, "has_bf16_units", lambda _: False)
    painter._correct_bare(photo, FACE, painter._Generator(generator, 64, 0.0, torch.device("cpu"), []))
    layers = [photo, conditioning_maps(FACE, side, side), np.dstack([bare, np.where(area, 255, 0).astype(np.uint8)])]
    faces = to_faces(torch.from_numpy(np.dstack(layers))[None])
    with torch.inference_mode():
        expected, share = generator(faces.images, faces.conditioning, faces.bare)
    ((_, _, colours, matte),) = pasted
    assert np.abs(colours - to_pixels(expected)[0]).max() <= 1
    assert np.abs(colours - bare).max() > 30
    beside = ~changed_matte(face).astype(bool)
    assert np.allclose(matte[beside], share[0, 0].numpy()[beside], atol=1e-5) and matte[area].min() == 1


def test_an_untrained_guided_generator_draws_the_bare_face_of_the_drawing_alone(masked_photo):
    """F changes nothing yet: to a grey level of rounding."""
    untrained = write_checkpoint(Path("untrained"), colour=GREY)
    found = paint_photo(pixels(masked_photo).astype(np.uint8), untrained, "unmask", MaskChoice())
    expected = drawn_bare(masked_photo)
    assert (found.faces, found.left) == (2, 0)
    assert np.abs(found.pixels.astype(int) - expected).max() <= 2
    assert np.abs(expected - pixels(masked_photo)).max() > 60


@pytest.mark.parametrize(
    ("options", "copied", "why"),
    [
        ([], "photos/masked.png", "2 faces are masked or covered already"),
        (["--unmask"], "photos/two/group.png", "2 faces are without a mask"),
    ],
    ids=["mask", "unmask"],
)
def test_faces_that_need_no_change_are_named_and_left(masked_photo, capsys, options, copied, why):
    run("model", copied, "--out", "out", *options)
    assert f"apply: {copied}: {why}: copied unchanged" in capsys.readouterr().out
    assert Path("out", Path(copied).name).read_bytes() == Path(copied).read_bytes()


def test_a_face_far_larger_than_the_models_images_is_said_to_become_soft(masked_photo, capsys):
    write_checkpoint(Path("painter"), replace(TINY, method="pix2pix"))
    run("painter", masked_photo, "--out", "out", "--unmask")
    assert re.search(r"the model's images have 32 px, this face \d{2,}: it is painted soft", capsys.readouterr().out)


def test_only_the_masked_face_of_two_is_painted(photos, masked_photo, capsys):
    mixed = pixels(photos / "two/group.png").astype(np.uint8)
    mixed[:, :500] = pixels(masked_photo)[:, :500]
    Image.fromarray(mixed).save("mixed.png")
    run("model", "mixed.png", "--out", "out", "--unmask")
    assert "mixed.png: 1 face is without a mask: left unchanged" in capsys.readouterr().out
    changed = (pixels("out/mixed.png") != mixed).any(axis=2)
    assert changed[:, :500].any() and not changed[:, 500:].any()
    assert read_provenance(Path("out/mixed.png")).faces == 1


def test_an_untrained_guided_generator_draws_the_mask_of_the_drawing_alone(photos):
    """G changes nothing yet: the same kind, colour and light, to a grey level of rounding."""
    photo = pixels(photos / "two/group.png").astype(np.uint8)
    found = paint_photo(photo, Path("model"), "mask", MaskChoice("kn95", (31, 111, 235), seed=4))
    expected = draw_photo(photo, MaskChoice("kn95", (31, 111, 235), seed=4))
    assert (found.faces, found.left) == (expected.faces, expected.left) == (2, 0)
    assert np.abs(found.pixels.astype(int) - expected.pixels).max() <= 2


@pytest.fixture
def red_masks(photos):
    """A checkpoint whose training set had red masks, 150 px wide."""
    return with_masks(write_checkpoint(Path("red")), [plain_mask((230, 30, 30))])


def red_pixels(picture):
    values = picture.astype(int)
    return (values[..., 0] > 2 * values[..., 1]) & (values[..., 0] > 2 * values[..., 2])


def test_a_model_draws_the_masks_of_its_training_set(photos, red_masks):
    photo = pixels(photos / "two/group.png").astype(np.uint8)
    found = paint_photo(photo, red_masks, "mask", MaskChoice(seed=4))
    assert found.faces == 2 and red_pixels(found.pixels).sum() > 0.05 * red_pixels(photo).size


def test_a_chosen_kind_is_drawn_instead_of_the_training_sets_masks(photos, red_masks):
    photo, choice = pixels(photos / "two/group.png").astype(np.uint8), MaskChoice("kn95", (31, 111, 235), seed=4)
    found = paint_photo(photo, red_masks, "mask", choice)
    assert np.array_equal(found.pixels, paint_photo(photo, Path("model"), "mask", choice).pixels)


def test_a_face_far_wider_than_the_masks_of_the_training_set_is_said_to_get_a_soft_one(photos, red_masks):
    photo = np.asarray(Image.open(photos / "two/group.png").convert("RGB").resize((2700, 1800)))
    assert "masks are 150 px wide, this face" in paint_photo(photo, red_masks, "mask", MaskChoice()).note
    assert not paint_photo(photo, red_masks, "mask", MaskChoice("kn95")).note


def test_a_photo_that_is_its_frame_is_corrected_as_the_generator_sees_it(photos, monkeypatch):
    """Drawing and correction at the photo's size equal those at image_px."""
    generator = make_generator("guided", "mask", 8, 1)
    for head in (generator.coarse[-1], generator.fine[-1]):
        torch.nn.init.normal_(head.weight, 0.0, 1.0)
    side, photo = 64, np.asarray(Image.open(photos / "two/group.png").convert("RGB"))
    photo = np.ascontiguousarray(photo[200:456:4, 60:316:4])
    whole = np.array([[1 / side, 0, 0], [0, 1 / side, 0]])
    monkeypatch.setattr(painter, "face_frame", lambda _: whole)
    monkeypatch.setattr(painter, "crop_box", lambda *_: (0, 0, side, side))
    monkeypatch.setattr(painter, "has_bf16_units", lambda _: False)
    ready = painter._Generator(generator, side, 0.0, torch.device("cpu"), [])
    painted = photo.copy()
    painter._draw_corrected(painted, FACE * side, ready, MaskChoice("cloth"), (1, 0))
    drawing = flatten(draw_worn(UnmaskedFace(photo, FACE), np.random.default_rng((1, 0)), "cloth"))
    planes = [torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255 for array in (photo.copy(), drawing)]
    with torch.inference_mode():
        expected, _ = generator(planes[0] * 2 - 1, torch.zeros(1, 2, side, side), planes[1])
        untouched = put_on(planes[0] * 2 - 1, planes[1])
    assert np.abs(painted.astype(int) - to_pixels(expected)[0]).max() <= 1
    assert np.abs(painted.astype(int) - to_pixels(untouched)[0]).max() > 8


@pytest.mark.parametrize("folder", ["model", "cyclegan", "simgan", "pix2pix"])
def test_the_largest_face_is_painted_last(photos, monkeypatch, folder):
    """It is nearest to the camera: where two overlap, it is in front."""
    if folder != "model":
        write_checkpoint(Path(folder), replace(TINY, method=folder))
    sides = []
    true_frame = painter.face_frame
    monkeypatch.setattr(painter, "face_frame", lambda points: sides.append(np.ptp(points[:, 1])) or true_frame(points))
    paint_photo(pixels(photos / "two/group.png").astype(np.uint8), Path(folder), "mask", MaskChoice())
    assert len(sides) >= 2 and sides[0] < sides[1]


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


def test_an_output_is_marked_as_synthetic_and_names_its_checkpoint(masked_photo, capsys):
    run("model", masked_photo, "--out", "out", "--unmask")
    mark = read_provenance(Path("out/masked.png"))
    assert (mark.painted, mark.faces, mark.tool) == ("unmask", 2, "facemask 0.1.0")
    run("--check", "out/masked.png")
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("out/masked.png: compositeWithTrainedAlgorithmicMedia; unmask on 2 faces by facemask")
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
    assert (both[:, 900:] != photo).any()


def test_present_outputs_are_not_written_again(photos, capsys):
    run("model", photos, "--out", "out")
    made = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.png")}
    assert len(made) == 3
    run("model", photos, "--out", "out")
    assert "0 faces painted in 0 photos, 0 without a bare face copied, 3 already present" in capsys.readouterr().out
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
    assert "8 faces painted in 7 photos, 1 without a bare face copied" in output
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
            "nowhere does not exist, and no model: name a photo, a folder, or a model (there is no model here yet",
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


@pytest.mark.parametrize(("options", "name"), [([], "two/group.png"), (["--unmask"], "masked.png")])
def test_a_pix2pix_model_paints_the_lower_face_only(photos, masked_photo, options, name):
    write_checkpoint(Path("pix2pix"), replace(TINY, method="pix2pix"))
    run("pix2pix", photos / name, "--out", "out", *options)
    change = np.abs(pixels(f"out/{Path(name).name}") - pixels(photos / name)).max(axis=2)
    left, upper = change[330:390, 150:230], change[200:270, 60:320]  # of the larger face
    assert (left > 60).mean() > 0.5 and (upper > 60).mean() < 0.05


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
