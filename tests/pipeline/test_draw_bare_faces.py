"""Masks taken off without a checkpoint: which faces are drawn, where pixels change, and what the pictures say."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from pipeline.faces.alignment import face_frame, frame_corners, hanging_frame
from pipeline.masks.fit import SIDES
from pipeline.tools import draw_bare_faces
from pipeline.tools.draw_bare_faces import bare_task, draw_bare
from pipeline.tools.draw_masks import MaskChoice, draw_photo, drawable_faces, masked_faces
from pipeline.tools.provenance import SOURCE_TYPE, read_provenance, read_source_type
from pipeline.unmasking.photo_faces import is_in_profile
from tests.conftest import GROUP_BOXES, ROOT


@pytest.fixture(scope="module")
def bare_group(group_photo):
    """A photo with two bare faces."""
    return np.asarray(group_photo)


@pytest.fixture(scope="module")
def group(bare_group):
    """The same with masks."""
    return draw_photo(bare_group, MaskChoice("surgical", seed=1)).pixels


@pytest.fixture
def photos(group, bare_group, tmp_path, monkeypatch):
    """photos/group.png with two masked faces, bare.png with two bare ones, none.png with none; no project is here."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.fromarray(group).save("photos/group.png")
    Image.fromarray(bare_group).save("photos/bare.png")
    Image.new("RGB", (300, 200), (96, 112, 128)).save("photos/none.png")
    return Path("photos")


def run(*arguments):
    main(["apply", *map(str, arguments)])


def changed(before, after):
    return (before != after).any(axis=2)


def frames_of(pixels):
    """For each masked face, which pixels (H, W) are in the frame in which it is drawn, or a pixel beside it."""
    inside = []
    for points in masked_faces(pixels, drawable_faces(pixels)):
        corners = frame_corners(hanging_frame(face_frame(points)))
        (left, top), (right, bottom) = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 1
        rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
        inside.append((rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right))
    return inside


def test_the_masks_of_all_faces_are_taken_off_and_other_pixels_stay_the_same(group):
    drawn = draw_bare(group)
    assert (drawn.faces, drawn.left, drawn.note) == (2, 0, "")
    different, frames = changed(group, drawn.pixels), frames_of(group)
    assert [0.05 < different[frame].mean() < 0.5 for frame in frames] == [True, True]
    assert not different[~(frames[0] | frames[1])].any()


def test_what_is_drawn_is_nearer_to_the_bare_face_than_the_mask_is(group, bare_group):
    drawn, different = draw_bare(group).pixels, changed(group, bare_group)
    before, after = (np.abs(image[different].astype(int) - bare_group[different]).mean() for image in (group, drawn))
    assert after < 0.6 * before


def test_no_face_wears_a_mask_afterwards(group):
    again = draw_bare(draw_bare(group).pixels)
    assert (again.faces, again.left) == (0, 2)


def test_bare_faces_are_left_as_they_are(bare_group):
    drawn = draw_bare(bare_group)
    assert (drawn.faces, drawn.left) == (0, 2)
    assert np.array_equal(drawn.pixels, bare_group)


def turned(points):
    """Landmarks of a head that is turned until the tip of its nose is beyond its side."""
    moved = points.copy()
    moved[1, 0] = points[SIDES[1], 0] + 0.1 * np.ptp(points[:, 0])
    return moved


def test_a_face_in_profile_is_left_as_it_is_and_named(photos, group, monkeypatch, capsys):
    faces = [turned(points) for points in drawable_faces(group)]
    monkeypatch.setattr(draw_bare_faces, "drawable_faces", lambda _: faces)
    monkeypatch.setattr(draw_bare_faces, "masked_faces", lambda _, found: found)
    run(photos / "group.png", "--out", "out", "--unmask")
    assert Path("out/group.png").read_bytes() == (photos / "group.png").read_bytes()
    printed = capsys.readouterr().out
    assert "apply: photos/group.png: 2 masked faces in profile left unchanged" in printed
    assert "no face in" not in printed and "without a mask" not in printed.split("apply: 0 faces")[0]


def test_a_face_that_looks_ahead_is_not_in_profile_however_it_is_tilted(group):
    points = drawable_faces(group)[0]
    for degrees in (0, 60, 120):
        angle = np.radians(degrees)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
        assert not is_in_profile(points @ rotation.T)
        assert is_in_profile(turned(points) @ rotation.T)


def test_the_given_photo_is_not_changed(group):
    given = group.copy()
    draw_bare(given)
    assert np.array_equal(given, group)


def test_the_same_photo_gives_the_same_picture(group):
    assert np.array_equal(draw_bare(group).pixels, draw_bare(group).pixels)


def test_the_largest_face_is_drawn_last(group, monkeypatch):
    """It is nearest to the camera, and may cover others."""
    heights = []
    monkeypatch.setattr(draw_bare_faces, "draw_bare_face", lambda _, points: heights.append(np.ptp(points[:, 1])))
    draw_bare(group)
    assert len(heights) == 2 and heights == sorted(heights)


def test_a_face_at_the_photo_s_edge_is_drawn(group):
    """Its frame is partly outside."""
    cut = np.ascontiguousarray(group[: GROUP_BOXES[0][1] + 230, 50:])
    drawn = draw_bare(cut)
    assert drawn.faces == 2 and changed(cut, drawn.pixels)[-20:].any()


def test_a_noisy_photo_gets_a_noisy_face(portraits):
    """The model's faces are smooth."""
    bare = np.asarray(portraits[0].resize((512, 512)))
    masked = draw_photo(bare, MaskChoice("surgical", seed=1)).pixels
    noise = np.random.default_rng(0).normal(0, 6, (512, 512, 1))
    noisy = (masked + noise).round().clip(0, 255).astype(np.uint8)
    (points,) = drawable_faces(noisy)
    left, top = points[205].astype(int)  # the left cheek
    cheek = np.s_[top - 8 : top + 24, left - 16 : left + 16]
    smooth, rough = (
        np.abs(np.diff(draw_bare(photo).pixels[cheek].astype(int), 2, axis=1)).mean() for photo in (masked, noisy)
    )
    assert rough > 3 * smooth


def test_of_a_face_larger_than_the_model_s_a_note_says_that_it_is_soft(group, monkeypatch):
    monkeypatch.setattr(draw_bare_faces, "SIDE", 64)
    assert "the model's faces have 64 px, this one" in draw_bare(group).note


def test_the_command_marks_the_pictures_and_leaves_bare_faces(photos, capsys):
    run(photos, "--out", "out", "--unmask")
    mark = read_provenance(Path("out/group.png"))
    assert (mark.painted, mark.faces, mark.checkpoint) == ("unmask", 2, "")
    assert mark.drawing == bare_task().drawing and mark.drawing.startswith("likely lower face, model ")
    printed = capsys.readouterr().out
    assert "2 faces drawn on in 1 photo, 2 without a masked face copied, 0 already present: out" in printed
    assert "apply: photos/bare.png: 2 faces are without a mask: copied unchanged" in printed
    assert "apply: no face in photos/none.png: copied unchanged" in printed
    run("--check", "out/group.png")
    assert "unmask on 2 faces by facemask 0.1.0, drawn: likely lower face" in capsys.readouterr().out


def test_a_drawn_lower_face_counts_as_painted_with_something_trained(photos):
    run(photos / "group.png", "--out", "out", "--unmask")
    assert read_source_type(Path("out/group.png")) == SOURCE_TYPE


def test_a_finished_picture_is_kept_and_another_renderer_draws_again(photos, capsys, monkeypatch):
    run(photos / "group.png", "--out", "out", "--unmask")
    run(photos / "group.png", "--out", "out", "--unmask")
    assert "1 already present" in capsys.readouterr().out
    monkeypatch.setattr(draw_bare_faces, "closure_digest", lambda _: "0" * 64)
    run(photos / "group.png", "--out", "out", "--unmask")
    assert "2 faces drawn on in 1 photo" in capsys.readouterr().out


def test_photos_are_written_side_by_side(photos):
    run(photos / "group.png", "--out", "out", "--unmask", "--side-by-side")
    made = np.asarray(Image.open("out/group.png"))
    assert made.shape == (600, 1800, 3)
    assert np.array_equal(made[:, :900], np.asarray(Image.open(photos / "group.png")))


def test_taking_masks_off_imports_neither_torch_nor_prefect(photos):
    code = (
        "import sys; from flows.cli import main; main(['apply', 'photos/group.png', '--out', 'out', '--unmask']); "
        "sys.exit(', '.join({'torch', 'prefect', 'torchvision'} & set(sys.modules)) or 0)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_provenance(Path("out/group.png")).drawing
