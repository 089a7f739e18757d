"""Masks drawn without a checkpoint: which faces get one, where pixels change, and what kind, colour and seed do."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from pipeline import params
from pipeline.curation.acceptance import acceptance_rate
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.errors import FacemaskError
from pipeline.masks.catalogue import KINDS, OFTEN
from pipeline.masks.designs import FAMILIES
from pipeline.masks.named_designs import draw_kind
from pipeline.tools import draw_masks
from pipeline.tools.draw_masks import MaskChoice, draw_photo, draw_task, make_choice
from pipeline.tools.provenance import read_provenance
from tests.conftest import GROUP_BOXES, ROOT, inside

BLUE = (31, 111, 235)


@pytest.fixture(scope="module")
def group(group_photo):
    """A photo with two faces."""
    return np.asarray(group_photo)


@pytest.fixture
def photos(group, portraits, tmp_path, monkeypatch):
    """The current folder, with photos/one.png, photos/group.png and photos/none.png, which shows no face."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    portraits[0].save("photos/one.png")
    Image.fromarray(group).save("photos/group.png")
    Image.new("RGB", (300, 200), (96, 112, 128)).save("photos/none.png")
    return Path("photos")


def run(*arguments):
    main(["apply", *map(str, arguments)])


def changed(before, after):
    return (before != after).any(axis=2)


def middle(pixels, box):
    """The mean colour where a mask of the face in the box is."""
    left, top, side = box
    rows = slice(round(top + 0.66 * side), round(top + 0.74 * side))
    columns = slice(round(left + 0.42 * side), round(left + 0.58 * side))
    return pixels[rows, columns].reshape(-1, 3).mean(axis=0)


def test_every_face_gets_a_mask_and_pixels_away_from_the_masks_stay_the_same(group):
    drawn = draw_photo(group, MaskChoice())
    assert (drawn.faces, drawn.left) == (2, 0)
    different = changed(group, drawn.pixels)
    away = np.ones_like(different)
    for left, top, side in GROUP_BOXES:
        assert 0.08 < different[top : top + side, left : left + side].mean() < 0.5
        away[top + round(0.35 * side) : top + side + 20, left - 10 : left + side + 10] = False
    assert not different[away].any()


@pytest.mark.parametrize("kind", KINDS)
def test_curation_accepts_a_mask_of_each_kind(portraits, kind):
    with inside(ROOT):
        limits, settings = params.load("curate", CurateParams), params.load("measure", MeasureParams)
    drawn = [draw_photo(np.asarray(portrait), MaskChoice(kind, seed=1)).pixels for portrait in portraits[:3]]
    assert acceptance_rate(np.stack(drawn), limits, settings) == 1.0


def test_a_masked_face_is_left_as_it_is(group):
    once = draw_photo(group, MaskChoice("surgical")).pixels
    twice = draw_photo(once, MaskChoice("cloth"))
    assert (twice.faces, twice.left) == (0, 2)
    assert (twice.pixels == once).all()


def test_a_small_detection_that_is_not_found_again_is_left(group, monkeypatch):
    """As where an eye is taken for a face."""
    found = draw_masks.find_all_faces(group)
    monkeypatch.setattr(draw_masks, "find_all_faces", lambda _: [*found, found[1] * 0.3 + (400, 300)])
    monkeypatch.setattr(draw_masks, "_SURELY_BARE", 1.1)
    monkeypatch.setattr(draw_masks, "_MIN_BARE", -1.0)
    drawn = draw_photo(group, MaskChoice())
    assert (drawn.faces, drawn.left) == (2, 1)


def test_a_small_masked_face_counts_where_only_the_second_detector_finds_it_again(group, monkeypatch):
    masked = draw_photo(group, MaskChoice("surgical", seed=1)).pixels
    faces = draw_masks.find_all_faces(masked)
    monkeypatch.setattr(draw_masks, "_LARGE", 9.0)
    monkeypatch.setattr(draw_masks, "get_landmarker", lambda _: lambda crop: [])
    assert len(draw_masks.masked_faces(masked, faces)) == len(faces) == 2
    assert draw_masks.masked_faces(masked, [faces[0] * 0.3 + (400, 300)]) == []


def test_the_same_photo_gives_the_same_picture_and_the_same_seed_too(group):
    assert (draw_photo(group, MaskChoice()).pixels == draw_photo(group, MaskChoice()).pixels).all()
    assert (draw_photo(group, MaskChoice(seed=3)).pixels == draw_photo(group, MaskChoice(seed=3)).pixels).all()


def test_another_seed_gives_another_mask(group):
    pictures = [draw_photo(group, MaskChoice("cloth", seed=seed)).pixels for seed in range(3)]
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_another_photo_gives_another_mask_by_default(portraits):
    """The same face, with one other pixel far from it."""
    one = np.asarray(portraits[0]).copy()
    other = one.copy()
    other[0, 0] ^= 1
    first, second = draw_photo(one, MaskChoice()).pixels, draw_photo(other, MaskChoice()).pixels
    assert changed(first, second).sum() > 1000


def test_the_faces_of_a_photo_get_different_masks(portraits):
    """The same face twice."""
    photo = Image.new("RGB", (640, 320), (96, 112, 128))
    for left in (20, 350):
        photo.paste(portraits[0], (left, 20))
    drawn = draw_photo(np.asarray(photo), MaskChoice()).pixels
    assert changed(drawn[20:276, 20:276], drawn[20:276, 350:606]).sum() > 1000


def test_a_colour_is_the_fabrics_and_keeps_its_shading():
    """All families, by the colours of the flat drawing."""
    for kind in KINDS:
        drawing = draw_kind(np.random.default_rng(1), kind, BLUE, 416).drawing
        inside_mask = drawing[80:230, 100:316, :3].reshape(-1, 3)
        share = inside_mask / inside_mask.sum(axis=1, keepdims=True)
        assert np.abs(share.mean(axis=0) - np.array(BLUE) / sum(BLUE)).max() < 0.06
        assert inside_mask[:, 1].std() > 2


def test_black_cloth_shows_its_folds():
    inside_mask = draw_kind(np.random.default_rng(1), "surgical", (0, 0, 0), 416).drawing[80:230, 100:316, 1]
    assert inside_mask.std() > 1
    assert inside_mask.max() < 60


def test_a_colour_changes_nothing_but_the_fabric():
    plain, blue = (draw_kind(np.random.default_rng(1), "kn95", fabric, 416).drawing for fabric in (None, BLUE))
    assert (plain[..., 3] == blue[..., 3]).all()
    assert np.corrcoef(plain[80:230, 100:316, 1].ravel(), blue[80:230, 100:316, 1].ravel())[0, 1] > 0.95


def test_a_colour_is_seen_on_the_face(group):
    drawn = draw_photo(group, MaskChoice("kn95", BLUE)).pixels
    for box in GROUP_BOXES:
        red, green, blue = middle(drawn, box)
        assert blue > green > red and blue > 2 * red


def test_a_texture_is_fitted_to_the_mask_the_right_way_up():
    texture = np.zeros((300, 200, 3), np.uint8)
    texture[:150], texture[150:] = (200, 0, 0), (0, 0, 200)
    drawing = draw_kind(np.random.default_rng(1), "cloth", texture, 416).drawing
    above, below = drawing[60, 208], drawing[220, 208]
    assert above[0] > 100 > above[2] and below[2] > 100 > below[0]


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 900, 3), (900, 3, 3), (288, 416, 3)])
def test_a_texture_may_have_any_shape(shape):
    design = draw_kind(np.random.default_rng(1), "kn95", np.full(shape, 90, np.uint8), 416)
    assert design.drawing.shape == (288, 416, 4)


def test_the_catalogue_has_each_family_once():
    assert sorted(kind.family for kind in KINDS.values()) == sorted(FAMILIES)
    assert set(OFTEN) <= set(KINDS)


def test_a_larger_face_has_a_finer_drawing():
    small, large = (draw_kind(np.random.default_rng(1), "kn95", None, width).drawing for width in (100, 900))
    assert small.shape == (144, 208, 4) and large.shape[1] == 900


def test_a_photo_of_hardly_any_face_is_not_drawn_on(group, monkeypatch):
    """A detection outside the photo, but for some pixels."""
    points = draw_masks.find_all_faces(group)[0]
    beyond = points + np.float32((-points[:, 0].max() - 0.4 * np.ptp(points[:, 0]), 0))
    monkeypatch.setattr(draw_masks, "find_all_faces", lambda _: [beyond])
    drawn = draw_photo(group, MaskChoice())
    assert (drawn.faces, drawn.left) == (0, 0)
    assert (drawn.pixels == group).all()


@pytest.mark.parametrize("colour", ["#1f6feb", "#1F6FEB", "rgb(31, 111, 235)"])
def test_colours_are_hex_or_css(colour):
    assert make_choice(None, colour, None, None).fabric == BLUE


def test_css_names_are_colours():
    assert make_choice(None, "navy", None, None).fabric == (0, 0, 128)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("n96", None, None, None), "there is no mask 'n96': --kind is one of surgical, "),
        ((None, "blurple", None, None), "'blurple' is no colour"),
        ((None, "red", Path("a.png"), None), "not both"),
        ((None, None, Path("missing.png"), None), "missing.png"),
        ((None, None, ROOT / "README.md", None), "cannot be read as an image"),
        ((None, None, None, -1), "--seed -1 is negative"),
        ((None, None, None, None, Path("missing.png")), "--like missing.png"),
        ((None, None, None, None, ROOT / "README.md"), "README.md cannot be read as an image"),
        (("kn95", None, None, None, Path("a.png")), "leave --kind, --colour and --texture out"),
        ((None, "red", None, None, Path("a.png")), "leave --kind, --colour and --texture out"),
        ((None, None, Path("b.png"), None, Path("a.png")), "leave --kind, --colour and --texture out"),
    ],
)
def test_wrong_choices_are_one_line_errors(arguments, message):
    with pytest.raises(FacemaskError, match=message) as raised:
        make_choice(*arguments)
    assert "\n" not in str(raised.value)


def test_tasks_of_different_choices_differ_and_of_equal_ones_do_not():
    texture = np.zeros((4, 4, 3), np.uint8)
    choices = [
        MaskChoice(),
        MaskChoice("kn95"),
        MaskChoice("kn95", BLUE),
        MaskChoice("kn95", texture),
        MaskChoice("kn95", texture + 1),
        MaskChoice(seed=1),
    ]
    assert len({draw_task(choice).drawing for choice in choices}) == len(choices)
    assert draw_task(MaskChoice("kn95", texture)).drawing == draw_task(MaskChoice("kn95", texture.copy())).drawing


def test_the_command_draws_and_marks_the_pictures(photos, capsys):
    run(photos, "--out", "out", "--kind", "kn95", "--colour", "#1f6feb")
    mark = read_provenance(Path("out/group.png"))
    assert (mark.painted, mark.faces, mark.checkpoint) == ("mask", 2, "")
    assert mark.drawing.startswith("kn95, colour #1f6feb, seed of the photo")
    printed = capsys.readouterr().out
    assert "apply: no face in photos/none.png: copied unchanged" in printed
    assert "3 faces drawn on in 2 photos, 1 without a bare face copied, 0 already present" in printed
    run("--check", "out/group.png")
    assert "mask on 2 faces by facemask 0.1.0, drawn: kn95, colour #1f6feb" in capsys.readouterr().out


def test_a_masked_face_is_named(photos, capsys):
    run(photos / "group.png", "--out", "out")
    run("out/group.png", "--out", "again")
    assert "apply: out/group.png: 2 faces are masked or covered already: copied unchanged" in capsys.readouterr().out
    assert Path("again/group.png").read_bytes() == Path("out/group.png").read_bytes()


def test_a_finished_drawing_is_kept_and_another_choice_draws_again(photos, capsys):
    run(photos / "one.png", "--out", "out", "--seed", 1)
    first = Path("out/one.png").read_bytes()
    run(photos / "one.png", "--out", "out", "--seed", 1)
    assert "1 already present" in capsys.readouterr().out
    run(photos / "one.png", "--out", "out", "--seed", 2)
    assert Path("out/one.png").read_bytes() != first


def test_many_photos_are_drawn_on_by_several_processes_as_by_one(photos, portraits):
    for number in range(5):
        portraits[number % 3].save(photos / f"more{number}.png")
    run(photos, "--out", "out")
    run(photos / "more0.png", "--out", "alone")
    assert len(list(Path("out").iterdir())) == 8
    assert np.array_equal(*(np.asarray(Image.open(f"{folder}/more0.png")) for folder in ("out", "alone")))


def test_a_texture_of_the_command_is_on_the_mask(photos):
    Image.new("RGB", (50, 50), (230, 20, 200)).save("print.png")
    run(photos / "group.png", "--out", "out", "--kind", "cloth", "--texture", "print.png")
    red, green, blue = middle(np.asarray(Image.open("out/group.png")), GROUP_BOXES[0])
    assert red > 3 * green and blue > 3 * green


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "--out", "out", "--kind", "n96"], "there is no mask 'n96'"),
        (["empty", "photos", "--out", "out"], "empty has neither checkpoint.json nor images"),
        (["model", "photos", "--out", "out", "--kind", "kn95"], "--kind is for drawn masks, and model is a checkpoint"),
        (["model", "photos", "--out", "out", "--seed", "0"], "--seed is for drawn masks, and model is a checkpoint"),
        (
            ["model", "photos", "--out", "out", "--like", "a.png"],
            "--like is for drawn masks, and model is a checkpoint",
        ),
        (["photos"], "--out is missing: name the folder where the PNG files go"),
        (["missing.png", "--out", "out"], "missing.png does not exist"),
    ],
)
def test_wrong_arguments_are_a_one_line_error(photos, arguments, message):
    Path("empty").mkdir()
    Path("model").mkdir()
    Path("model/checkpoint.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert str(ended.value).startswith("facemask: error: ") and message in str(ended.value)
    assert "\n" not in str(ended.value)
    assert not Path("out").exists()


@pytest.fixture
def masked(portraits):
    """masked.png: a face with a blue mask, beside a smaller one with a red mask."""
    photo = Image.new("RGB", (900, 600), (96, 112, 128))
    for portrait, colour, (left, top, side) in zip(portraits[1:3], (BLUE, (220, 30, 30)), GROUP_BOXES, strict=True):
        drawn = draw_photo(np.asarray(portrait), MaskChoice("kn95", colour)).pixels
        photo.paste(Image.fromarray(drawn).resize((side, side)), (left, top))
    photo.save("masked.png")
    return Path("masked.png")


def test_like_draws_the_mask_of_the_largest_masked_face_and_records_the_photo(photos, masked):
    run(photos / "one.png", "--out", "out", "--like", masked)
    red, _, blue = np.asarray(Image.open("out/one.png"))[170:190, 110:146].reshape(-1, 3).mean(axis=0)
    assert blue > 2 * red
    digest = hashlib.sha256(masked.read_bytes()).hexdigest()[:12]
    assert read_provenance(Path("out/one.png")).drawing.startswith(f"like the mask in {digest}, ")


def test_another_photo_to_copy_from_draws_again(photos, masked, capsys):
    run(photos / "one.png", "--out", "out", "--like", masked)
    run(photos / "one.png", "--out", "out", "--like", masked)
    assert "1 already present" in capsys.readouterr().out
    Image.open(masked).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(masked)
    run(photos / "one.png", "--out", "out", "--like", masked)
    assert "1 face drawn on in 1 photo," in capsys.readouterr().out


@pytest.mark.parametrize(("times", "soft"), [(1, False), (4, True)])
def test_a_line_says_where_a_copied_mask_is_smaller_than_the_face(photos, masked, portraits, capsys, times, soft):
    portraits[0].resize((256 * times, 256 * times)).save("large.png")
    run("large.png", "--out", "out", "--like", masked)
    assert ("px wide, this face" in capsys.readouterr().out) is soft


def test_a_line_says_where_a_mask_is_too_small_to_be_copied(photos, masked, capsys):
    Image.open(masked).crop((60, 200, 316, 456)).resize((72, 72)).save("small.png")
    run(photos / "one.png", "--out", "out", "--like", "small.png")
    assert "the mask to copy is too small or partly hidden: a drawn one has its colour" in capsys.readouterr().out
    red, _, blue = np.asarray(Image.open("out/one.png"))[170:190, 110:146].reshape(-1, 3).mean(axis=0)
    assert blue > 2 * red


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.png", "no face is found in this photo"), ("one.png", "no face in this photo wears a mask")],
)
def test_a_photo_without_a_mask_to_copy_is_a_one_line_error(photos, name, message):
    with pytest.raises(SystemExit, match=message) as ended:
        run(photos / "one.png", "--out", "out", "--like", photos / name)
    assert "\n" not in str(ended.value) and not Path("out").exists()


def test_the_help_lists_the_kinds(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    printed = capsys.readouterr().out
    assert all(name in printed and kind.description in printed for name, kind in KINDS.items())


def test_drawing_imports_neither_torch_nor_prefect(photos):
    code = (
        "import sys; from flows.cli import main; main(['apply', 'photos/one.png', '--out', 'out']); "
        "sys.exit(', '.join({'torch', 'prefect', 'torchvision'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0
    assert Path("out/one.png").is_file()
