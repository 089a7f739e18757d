"""Masks drawn on clips: which frames and faces get them, how steady they are, and what a broken clip leaves."""

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from pipeline.errors import FacemaskError
from pipeline.faces.face_tracking import FaceTracker, Track, _pieces
from pipeline.faces.landmark_smoothing import smooth_landmarks
from pipeline.faces.tiled_detection import find_all_faces
from pipeline.masks.conditions import light_on, mean_conditions, measure_conditions
from pipeline.masks.light import face_light
from pipeline.masks.records import UnmaskedFace
from pipeline.storage import clips
from pipeline.storage.clips import constant_timing, read_frames
from pipeline.tools import clip_writer
from pipeline.tools.clip_provenance import append_mark, read_clip_mark, read_clip_xmp
from pipeline.tools.clip_writer import find_ffmpeg, open_silent_clip
from pipeline.tools.draw_clip import steady_state
from pipeline.tools.draw_masks import MaskChoice, draw_photo
from pipeline.tools.provenance import DRAWN_SOURCE_TYPE, SOURCE_TYPE, Provenance, source_type

GREY = (96, 112, 128)
SIZE = (480, 320)
MARK = Provenance("facemask 1", "", "mask", 2, False, "ab" * 32, "kn95")


def picture(portraits, *places):
    """A frame with portraits: number, left, top, side."""
    frame = Image.new("RGB", SIZE, GREY)
    for number, left, top, side in places:
        frame.paste(portraits[number].resize((side, side)), (left, top))
    return np.asarray(frame)


def write(path, frames, fps=10):
    height, width = frames[0].shape[:2]
    with open_silent_clip(path, (width, height), Fraction(fps), path) as write_frame:
        for frame in frames:
            write_frame(frame)
    return path


def frames_of(path):
    return [pixels for pixels, _ in read_frames(path)]


def differs(before, after):
    """The share of a part of a frame that is visibly different; encoding changes it by less."""
    return float((np.abs(before.astype(int) - after.astype(int)).max(axis=2) > 40).mean())


def run(*arguments):
    main(["apply", *map(str, arguments)])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def with_sound(path):
    """The same clip with a tone of its length."""
    out = path.with_name(f"sound-{path.name}")
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.8"]
    command = [find_ffmpeg(), "-loglevel", "error", "-i", str(path), *tone, "-c:v", "copy", "-c:a", "aac", str(out)]
    subprocess.run(command, check=True)
    return out


def streams(path):
    done = subprocess.run([find_ffmpeg(), "-hide_banner", "-i", str(path)], stderr=subprocess.PIPE, text=True)
    return [line.split(": ")[1] for line in done.stderr.split("\n") if "Stream #" in line]


# --- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masked(portraits, tmp_path_factory):
    """Frames before and after: two faces, of which the right one is away in frames 4 to 9."""
    folder = tmp_path_factory.mktemp("clip")
    both = picture(portraits, (0, 20, 40, 220), (1, 300, 60, 160))
    one = picture(portraits, (0, 20, 40, 220))
    clip = write(folder / "two.mp4", [both] * 4 + [one] * 6 + [both] * 4)
    run(clip, "--out", folder / "out", "--seed", 2)  # with which every person has another mask
    return frames_of(clip), frames_of(folder / "out/two.mp4")


def test_every_face_of_every_frame_gets_a_mask(masked):
    before, after = masked
    assert len(after) == len(before) == 14
    for number in (0, 3, 10, 13):
        assert differs(before[number][130:240, 60:200], after[number][130:240, 60:200]) > 0.5
        assert differs(before[number][130:210, 340:430], after[number][130:210, 340:430]) > 0.5


def test_a_face_that_is_away_leaves_no_mask_behind(masked):
    before, after = masked
    for number in range(4, 10):
        assert differs(before[number][:, 290:], after[number][:, 290:]) == 0


def test_a_face_that_comes_back_wears_the_same_mask(masked):
    _, after = masked
    assert differs(after[3][130:210, 340:430], after[11][130:210, 340:430]) < 0.02


def test_pixels_away_from_the_masks_change_only_by_encoding(masked):
    before, after = masked
    assert differs(before[0][:100], after[0][:100]) == 0


def test_a_mask_keeps_its_look_while_its_face_moves_and_grows(portraits, here):
    clip = write(Path("a.mp4"), [picture(portraits, (0, 20 + 8 * n, 20, 180 + 6 * n)) for n in range(12)])
    run(clip, "--out", "out", "--kind", "cloth")
    after = frames_of(Path("out/a.mp4"))
    colours = []
    for number in (0, 11):
        left, side = 20 + 8 * number, 180 + 6 * number
        rows, columns = (
            slice(20 + int(0.66 * side), 20 + int(0.74 * side)),
            slice(left + int(0.42 * side), left + int(0.58 * side)),
        )
        colours.append(after[number][rows, columns].reshape(-1, 3).mean(axis=0))
    assert np.abs(colours[0] - colours[1]).max() < 12


def test_a_clip_without_a_face_is_copied_unchanged(here, capsys):
    clip = write(Path("none.mp4"), [np.full((320, 480, 3), GREY, np.uint8)] * 3)
    run(clip, "--out", "out")
    assert Path("out/none.mp4").read_bytes() == clip.read_bytes()
    assert "no face in none.mp4: copied unchanged" in capsys.readouterr().out


def test_a_face_that_wears_a_mask_is_left(portraits, here, capsys):
    face = draw_photo(picture(portraits, (0, 100, 40, 240)), MaskChoice("surgical")).pixels
    run(write(Path("a.mp4"), [face] * 4), "--out", "out")
    assert "1 face is masked or covered already: copied unchanged" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_clip_and_another_seed_another(portraits, here):
    clip = write(Path("a.mp4"), [picture(portraits, (0, 100, 40, 240))] * 3)
    for out, seed in (("one", 1), ("again", 1), ("other", 2)):
        run(clip, "--out", out, "--kind", "cloth", "--seed", seed)
    assert Path("one/a.mp4").read_bytes() == Path("again/a.mp4").read_bytes()
    assert differs(frames_of(Path("one/a.mp4"))[0], frames_of(Path("other/a.mp4"))[0]) > 0.01


def test_a_mask_is_copied_from_a_photo(portraits, here):
    face = picture(portraits, (1, 100, 40, 240))
    Image.fromarray(draw_photo(face, MaskChoice("kn95", (31, 111, 235))).pixels).save("like.png")
    clip = write(Path("a.mp4"), [picture(portraits, (0, 100, 40, 240))] * 3)
    run(clip, "--out", "out", "--like", "like.png")
    red, _, blue = frames_of(Path("out/a.mp4"))[0][200:218, 205:235].reshape(-1, 3).mean(axis=0)
    assert blue > 1.5 * red


def test_a_clip_and_a_photo_are_drawn_by_one_command(portraits, here):
    portraits[0].save("photo.png")
    clip = write(Path("a.mp4"), [picture(portraits, (0, 100, 40, 240))] * 2)
    run("photo.png", clip, "--out", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.mp4", "photo.png"]


def test_a_hand_before_the_mouth_for_a_moment_does_not_take_the_mask_away():
    is_bare = steady_state({0: True, 15: True, 30: False, 45: True, 60: True})
    assert all(is_bare(frame) for frame in range(61))


def test_a_mask_that_is_put_on_in_the_clip_ends_the_drawn_one():
    is_bare = steady_state({15 * number: number < 4 for number in range(9)})
    assert (is_bare(40), is_bare(80)) == (True, False)


# --- steadiness -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracked(portraits):
    """The landmarks of a face at rest in noise, as tracked and as smoothed."""
    rng, tracker = np.random.default_rng(0), FaceTracker(30)
    still = picture(portraits, (0, 100, 40, 240)).astype(float)
    for _ in range(20):
        tracker.add(np.clip(still + rng.normal(0, 8, still.shape), 0, 255).astype(np.uint8))
    return np.stack(tracker.tracks[0].points), tracker.segments()[0].points


def jitter(points):
    return float(np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=-1).mean()))


def test_a_face_at_rest_in_noise_jitters_less_when_it_is_smoothed(tracked):
    as_tracked, smoothed = tracked
    assert smoothed.shape == as_tracked.shape == (20, 478, 2)
    assert jitter(smoothed) < 0.5 * jitter(as_tracked)


def test_a_face_that_moves_evenly_is_followed_without_lag(portraits):
    points = find_all_faces(np.asarray(portraits[0]))[0]
    moving = np.stack([points + 6 * number for number in range(30)])
    assert np.abs(smooth_landmarks(moving, 30) - moving).max() < 0.5


def test_a_face_that_starts_to_move_is_followed_at_once(portraits):
    points = find_all_faces(np.asarray(portraits[0]))[0]
    moving = np.stack([points + 8 * max(0, number - 15) for number in range(30)])
    assert np.abs(smooth_landmarks(moving, 30) - moving).max() < 6


def test_a_gap_of_a_frame_is_filled_and_a_longer_one_is_not():
    track = Track(0)
    for frame in (0, 1, 2, 4, 5, 15, 16, 17):
        track.add(frame, np.full((478, 2), frame, np.float32))
    first, second = _pieces(track, gap=3)
    assert (first.first, first.points[:, 0, 0].tolist()) == (0, [0, 1, 2, 3, 4, 5])
    assert (second.first, second.points[:, 0, 0].tolist()) == (15, [15, 16, 17])


def test_what_is_seen_for_one_frame_only_gets_no_mask(portraits):
    tracker = FaceTracker(30)
    for number in range(10):
        tracker.add(picture(portraits, (0, 100, 40, 240)) if number == 5 else picture(portraits))
    assert [track.frames for track in tracker.tracks] == [[5]] and tracker.segments() == []


def test_a_small_face_that_is_found_late_is_followed_back_to_where_it_came(portraits):
    tracker = FaceTracker(20)
    for number in range(30):
        frame = Image.new("RGB", (1280, 720), GREY)
        if number >= 8:
            frame.paste(portraits[0].resize((110, 110)), (900 - 3 * number, 200))
        tracker.add(np.asarray(frame))
    assert tracker.segments()[0].first == 8 and len(tracker.segments()[0].points) == 22


def test_after_a_cut_a_face_is_not_joined_with_the_one_before(portraits):
    tracker = FaceTracker(30)
    for pixels in (
        [picture(portraits, (0, 100, 40, 240))] * 5
        + [255 - picture(portraits)]
        + [picture(portraits, (1, 100, 40, 240))] * 5
    ):
        tracker.add(pixels)
    assert [(one.first, len(one.points)) for one in tracker.segments()] == [(0, 5), (6, 5)]


def test_the_light_of_one_frame_is_that_of_a_photo_and_is_averaged_over_frames(portraits):
    pixels = np.asarray(portraits[0])
    shares = (find_all_faces(pixels)[0] / pixels.shape[0]).astype(np.float32)
    one = measure_conditions(UnmaskedFace(pixels, shares))
    points = shares.astype(float) * 256 - 0.5
    inside = (slice(90, 200), slice(80, 176))
    assert np.abs(light_on(one, points, 256, 256) - face_light(pixels, points))[inside].max() < 0.05
    dark = measure_conditions(UnmaskedFace((pixels * 0.5).astype(np.uint8), shares))
    mixed = mean_conditions(one, dark, 0.25)
    assert one.light.mean() > mixed.light.mean() > dark.light.mean()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short(portraits, tmp_path_factory):
    """A clip of eight frames."""
    return write(tmp_path_factory.mktemp("short") / "short.mp4", [picture(portraits, (0, 100, 40, 240))] * 8)


def test_sound_is_kept(short, here):
    clip = with_sound(short)
    run(clip, "--out", "out")
    assert streams(Path("out") / clip.name) == ["Video", "Audio"]


def test_without_ffmpeg_a_line_says_that_the_sound_is_lost(short, here, monkeypatch, capsys):
    clip = with_sound(short)
    with monkeypatch.context() as without:
        without.setattr(clip_writer, "find_ffmpeg", lambda: None)
        run(clip, "--out", "out")
    assert "it has no sound" in capsys.readouterr().out
    assert streams(Path("out") / clip.name) == ["Video"]
    assert len(frames_of(Path("out") / clip.name)) == 8


def test_the_clip_is_marked_and_check_reads_the_mark(short, here, capsys):
    run(short, "--out", "out", "--kind", "kn95")
    run("--check", "out/short.mp4")
    printed = capsys.readouterr().out
    assert "compositeSynthetic; mask on 1 face by" in printed and "drawn: kn95" in printed
    assert source_type(read_clip_xmp(Path("out/short.mp4"))) == DRAWN_SOURCE_TYPE


def test_a_clip_without_a_mark_fails_the_check(short):
    with pytest.raises(SystemExit, match="not marked as synthetic"):
        run("--check", short)


def test_a_mark_is_read_as_it_was_written_and_the_clip_still_plays(short, tmp_path):
    clip = tmp_path / "a.mp4"
    clip.write_bytes(short.read_bytes())
    append_mark(clip, MARK)
    assert read_clip_mark(clip) == MARK
    assert len(frames_of(clip)) == 8


def test_a_mark_of_an_earlier_version_which_stated_another_source_type_is_read(short, tmp_path, monkeypatch):
    clip = tmp_path / "a.mp4"
    clip.write_bytes(short.read_bytes())
    with monkeypatch.context() as earlier:
        earlier.setattr(Provenance, "source_type", SOURCE_TYPE)
        append_mark(clip, MARK)
    assert source_type(read_clip_xmp(clip)) == SOURCE_TYPE
    assert read_clip_mark(clip) == MARK


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0\1uuid",
        b"\0\0\0\0uuid" + bytes(40),
        b"\0\0\0\x08free" * 20_000,
        b"\xff\xff\xff\xffuuid" + bytes(40),
        b"\0\0\0\1uuid" + b"\xff" * 40,
        b"\0\0\0\x38uuid" + bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x" + bytes(30),
    ],
)
def test_damaged_boxes_are_no_mark(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    assert read_clip_mark(tmp_path / "a.mp4") is None


def test_a_second_run_keeps_a_result_of_the_same_choices_and_replaces_one_of_others(short, here, capsys):
    run(short, "--out", "out", "--kind", "kn95")
    first = Path("out/short.mp4").stat().st_ino
    run(short, "--out", "out", "--kind", "kn95")
    assert "already present" in capsys.readouterr().out and Path("out/short.mp4").stat().st_ino == first
    run(short, "--out", "out", "--kind", "cloth")
    assert read_clip_mark(Path("out/short.mp4")).drawing.startswith("cloth")


def test_a_file_that_facemask_did_not_write_is_not_replaced(short, here):
    Path("out").mkdir()
    Path("out/short.mp4").write_bytes(b"mine")
    with pytest.raises(SystemExit, match="was not created by facemask"):
        run(short, "--out", "out")
    assert Path("out/short.mp4").read_bytes() == b"mine"


def test_a_clip_is_not_written_over_itself(short):
    with pytest.raises(SystemExit, match="choose another --out"):
        run(short, "--out", short.parent)


def test_two_clips_are_not_written_to_one_path(short, here):
    Path("other").mkdir()
    Path("other/short.mp4").write_bytes(short.read_bytes())
    with pytest.raises(SystemExit, match="two clips would be written"):
        run(short, "other/short.mp4", "--out", "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a clip"),
        (b"no clip", "is not a clip"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "is not a clip"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "is not a clip"),
        (b"\0\0\0\x18ftypisom" + bytes(2000), "cannot be read as a clip"),
        (b"\x1a\x45\xdf\xa3" + bytes(2000), "cannot be read as a clip"),
    ],
)
def test_a_file_that_is_no_clip_ends_in_one_line_and_leaves_nothing(here, capfd, content, message):
    Path("a.mp4").write_bytes(content)
    with pytest.raises(SystemExit, match=message):
        run("a.mp4", "--out", "out")
    assert capfd.readouterr().err == "" and not Path("out").exists()


def test_a_clip_that_ends_too_early_is_an_error_and_leaves_nothing(here):
    rng = np.random.default_rng(0)
    noise = write(Path("noise.mp4"), list(rng.integers(0, 256, (20, 96, 128, 3), np.uint8)))
    index_first = [find_ffmpeg(), "-loglevel", "error", "-i", str(noise), "-c", "copy", "-movflags", "+faststart"]
    subprocess.run([*index_first, "a.mp4"], check=True)
    content = Path("a.mp4").read_bytes()
    Path("a.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(SystemExit, match=r"ends after .* of 20 frames"):
        run("a.mp4", "--out", "out")
    assert not Path("out").exists()


def test_clips_and_photos_beside_a_broken_clip_are_drawn_and_the_command_fails(short, portraits, here, capsys):
    Path("broken.mp4").write_bytes(b"no clip")
    portraits[0].save("photo.png")
    with pytest.raises(SystemExit, match=r"1 of 2 clips are not done, the first because: broken\.mp4 is not a clip"):
        run("broken.mp4", short, "photo.png", "--out", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["photo.png", "short.mp4"]


def test_a_clip_larger_than_4k_is_refused(short, here, monkeypatch):
    monkeypatch.setattr(clips, "MAX_FRAME_PX", 100_000)
    with pytest.raises(SystemExit, match="scale it down first"):
        run(short, "--out", "out")


def test_a_clip_that_is_too_long_is_refused(short, here, monkeypatch):
    monkeypatch.setattr(clips, "MAX_FRAMES", 5)
    with pytest.raises(SystemExit, match="cut it into shorter clips"):
        run(short, "--out", "out")


def test_frames_of_a_turned_clip_are_upright(short, here):
    turned = [find_ffmpeg(), "-loglevel", "error", "-display_rotation", "90", "-i", str(short), "-c", "copy", "t.mp4"]
    subprocess.run(turned, check=True)
    assert frames_of(Path("t.mp4"))[0].shape == (480, 320, 3)


def corner(path):
    """Y, U and V of the upper left corner of the first frame, as they are in the file."""
    command = [find_ffmpeg(), "-loglevel", "error", "-i", str(path), "-frames:v", "1", "-pix_fmt", "yuv420p"]
    planes = subprocess.run([*command, "-f", "rawvideo", "-"], stdout=subprocess.PIPE, check=True).stdout
    width, height = SIZE
    chroma = np.frombuffer(planes, np.uint8)[width * height :].reshape(2, height // 2, width // 2)
    luma = np.frombuffer(planes, np.uint8)[: width * height].reshape(height, width)
    return [luma[:20, :80].mean(), *chroma[:, :10, :40].mean(axis=(1, 2))]


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc", None])
def test_the_colours_of_a_clip_stay_and_are_stated_as_it_states_them(portraits, here, matrix):
    frame = picture(portraits, (0, 100, 40, 240)).copy()
    frame[:30, :90] = (200, 60, 50)
    stated = ["-vf", f"scale=out_color_matrix={matrix.removesuffix('nc')}", "-colorspace", matrix] if matrix else []
    clip = write(Path("plain.mp4"), [frame] * 3)
    subprocess.run([find_ffmpeg(), "-loglevel", "error", "-i", str(clip), *stated, "a.mp4"], check=True)
    run("a.mp4", "--out", "out")
    assert np.abs(np.subtract(corner("a.mp4"), corner("out/a.mp4"))).max() < 2.5
    for path in ("a.mp4", "out/a.mp4"):
        done = subprocess.run([find_ffmpeg(), "-hide_banner", "-i", path], stderr=subprocess.PIPE, text=True)
        assert matrix is None or matrix in done.stderr


def test_an_odd_size_becomes_even_and_keeps_the_picture(tmp_path, portraits):
    frame = picture(portraits, (0, 100, 40, 240))[:319, :477]
    read = frames_of(write(tmp_path / "a.mp4", [frame] * 2))[0]
    assert read.shape == (320, 478, 3) and differs(read[:319, :477], frame) < 0.01


def test_even_times_keep_each_frame_once():
    timing = constant_timing([number / 25 + 0.002 * (number % 2) for number in range(50)], 25.0, Path("a"))
    assert timing.is_constant and timing.fps == 25


def test_uneven_times_repeat_frames_so_that_the_clip_keeps_its_duration():
    times = [*(number / 30 for number in range(30)), *(1 + number / 10 for number in range(10))]
    timing = constant_timing(times, 20.0, Path("a"))
    assert not timing.is_constant and timing.fps == 30
    assert abs(int(timing.repeats.sum()) / 30 - 2) < 0.1
    assert (timing.repeats[:30] == 1).all() and (timing.repeats[31:39] == 3).all()


def test_a_clip_with_an_endless_pause_is_refused():
    with pytest.raises(FacemaskError, match="cut it"):
        constant_timing([0.0, 0.04, 0.08, 1e9], 25.0, Path("a"))


@pytest.mark.parametrize("options", [["--side-by-side"], ["--unmask"], ["--kind", "kn95", "--side-by-side"]])
def test_options_that_clips_have_not_are_refused(short, options):
    with pytest.raises(SystemExit, match=r"short\.mp4 is a clip"):
        run(short, "--out", "out", *options)


def test_a_clip_is_drawn_on_where_drawing_is_named(short, here):
    run("drawing", short, "--out", "out", "--kind", "kn95")
    assert read_clip_mark(Path("out/short.mp4")).drawing.startswith("kn95")


def test_a_model_is_refused_for_clips(short, here):
    Path("model").mkdir()
    Path("model/checkpoint.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"short\.mp4 is a clip"):
        run("model", short, "--out", "out")


def test_a_stopped_command_leaves_neither_a_clip_nor_a_half_one(portraits, here):
    clip = write(Path("a.mp4"), [picture(portraits, (0, 100, 40, 240))] * 200)
    command = [sys.executable, "-u", "-m", "flows.cli", "apply", str(clip), "--out", "out"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while not list(Path().glob("out/.*")):  # until it writes
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait() != 0
    assert list(Path("out").iterdir()) == []
