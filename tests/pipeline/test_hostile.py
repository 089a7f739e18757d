"""A thousand hostile files: each becomes a row, and none ends the run."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.measuring import measure_files, open_workers
from pipeline.progress import Progress
from pipeline.sources.folders import files_under
from pipeline.storage.images import is_image_name
from pipeline.synthetic.layout import SampleParams, sample_files

COUNT = 1000


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation):
    made = Image.Exif()
    made[0x0112] = orientation
    return made


FORMS = {
    "cmyk.jpg": lambda face: saved(face.convert("CMYK"), "JPEG"),
    "grey.jpg": lambda face: saved(face.convert("L"), "JPEG"),
    "grey16.png": lambda face: saved(Image.fromarray(np.asarray(face.convert("L"), np.uint16) * 257), "PNG"),
    "alpha.png": lambda face: saved(face.convert("RGBA"), "PNG"),
    "palette.png": lambda face: saved(face.convert("P"), "PNG"),
    "animated.webp": lambda face: saved(face, "WEBP", save_all=True, append_images=[face.rotate(9)]),
    "animated.png": lambda face: saved(face, "PNG", save_all=True, append_images=[face.rotate(9)]),
    "still.gif": lambda face: saved(face, "GIF"),
    "animated.gif": lambda face: saved(face, "GIF", save_all=True, append_images=[face.rotate(9)]),
    "still.avif": lambda face: saved(face, "AVIF"),
    "still.jp2": lambda face: saved(face, "JPEG2000"),
    "still.ppm": lambda face: saved(face, "PPM"),
    "pages.tif": lambda face: saved(face, "TIFF", save_all=True, append_images=[face.rotate(9)]),
    "turned-alpha.png": lambda face: saved(face.rotate(90).convert("RGBA"), "PNG", exif=exif(6)),
    "turned.jpg": lambda face: saved(face, "JPEG", exif=exif(6)),
    "png in name.png": lambda face: saved(face, "JPEG"),
    "gif in name.jpg": lambda face: saved(face, "GIF"),
    "one pixel.png": lambda face: saved(face.resize((1, 1)), "PNG"),
    "one row.png": lambda face: saved(face.resize((300, 1)), "PNG"),
    "bomb.png": lambda face: BOMB,
    "text.jpg": lambda face: b"no image\n" * 99,
    "empty.jpg": lambda face: b"",
}
BOMB = saved(Image.new("1", (30_000, 30_000)), "PNG")


def mutated(content, random):
    """Truncated, or with flipped bits anywhere in the file."""
    if random.random() < 0.4:
        return content[: random.integers(0, len(content))]
    flipped = bytearray(content)
    for at in random.integers(0, len(flipped), random.integers(1, 30)):
        flipped[at] ^= 1 << int(random.integers(0, 8))
    return bytes(flipped)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "files"
    folder.mkdir()
    outside = folder.parent / "outside.png"
    faces = [
        Image.open(io.BytesIO(file.content)).convert("RGB")
        for file in sample_files("masked", SampleParams(faces=20, image_px=192, seed=3))
        if file.kind in ("correct", "none")
    ][:8]
    outside.write_bytes(saved(faces[0], "PNG"))
    (folder / "link.png").symlink_to(outside)
    random = np.random.default_rng(0)
    for number in range(COUNT - 1):
        face = faces[number % len(faces)]
        form = list(FORMS)[number % len(FORMS)]
        content = FORMS[form](face)
        if number >= 3 * len(FORMS):
            content = mutated(saved(face, "JPEG" if number % 2 else "PNG"), random)
        (folder / f"{number:04d} {form}").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    paths = [path for path, _ in files_under(folder) if is_image_name(path)]
    with open_workers(
        MeasureParams(max_faces=2, decode_px=128, executor="processes", address=None, archives=None)
    ) as measuring:
        table = measure_files(measuring, folder, paths, Progress("hostile", len(paths)))
    return {row["path"]: row for row in table.to_pylist()}


def test_a_thousand_hostile_files_give_a_thousand_rows(rows):
    assert len(rows) == COUNT


def test_each_row_is_either_measured_or_unreadable(rows):
    assert all((row["width"] is None) == (row["phash"] is None) for row in rows.values())
    assert all(row["width"] is not None or row["faces"] == 0 for row in rows.values())


@pytest.mark.parametrize(
    "form",
    [
        *("cmyk.jpg", "grey.jpg", "grey16.png", "alpha.png", "palette.png", "png in name.png"),
        *("still.gif", "animated.gif", "still.avif", "still.jp2", "still.ppm", "pages.tif", "turned-alpha.png"),
    ],
)
def test_a_face_is_found_in_every_colour_mode_and_format(rows, form):
    whole = [row for path, row in rows.items() if path.endswith(f" {form}") and int(path[:4]) < 3 * len(FORMS)]
    assert len(whole) == 3 and all(row["faces"] == 1 for row in whole)


@pytest.mark.parametrize("form", ["bomb.png", "text.jpg", "empty.jpg"])
def test_other_files_and_bombs_are_unreadable(rows, form):
    whole = [row for path, row in rows.items() if path.endswith(f" {form}") and int(path[:4]) < 3 * len(FORMS)]
    assert len(whole) == 3 and all(row["width"] is None for row in whole)


def test_a_link_out_of_the_folder_is_not_followed(rows):
    assert rows["link.png"]["width"] is None and rows["link.png"]["bytes"] == 0
