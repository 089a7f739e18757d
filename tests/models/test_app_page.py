"""The page of `facemask app` in a real browser."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.tools.draw_masks import MaskChoice, draw_photo
from pipeline.tools.provenance import read_provenance
from tests.models.conftest import TINY, write_checkpoint
from tests.models.test_app import MASK, UNMASK, serve, served

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:gradio.queueing"
)  # raised by pandas for Gradio's code


@pytest.fixture
def opened(browser, portraits, tmp_path):
    """The page in a browser; photos: face.png, masked.png, none.jpg (no face) and broken.png (not an image)."""
    portraits[0].save("face.png")
    Image.fromarray(draw_photo(np.asarray(portraits[0]), MaskChoice("surgical")).pixels).save("masked.png")
    Image.new("RGB", (300, 200), (96, 112, 128)).save("none.jpg")
    Path("broken.png").write_bytes(Path("face.png").read_bytes()[:200])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with serve(Path("model"), scratch) as address:
        yield from open_page(browser, address)


def open_page(browser, address):
    """Yield the page, and check at the end that it has sent requests to its own server only."""
    page = browser.new_context(accept_downloads=True).new_page()
    page.set_viewport_size({"width": 1200, "height": 900})
    page.set_default_timeout(300_000)
    foreign, own = [], address.partition("?")[0]
    page.on(
        "request",
        lambda request: None if request.url.startswith((own, "data:", "blob:")) else foreign.append(request.url),
    )
    page.goto(address)
    assert page.url == own
    page.get_by_label(MASK).wait_for()
    yield page
    page.context.close()
    assert foreign == []


def drop(page, name):
    page.locator("input[type=file]").first.set_input_files(name)


def downloaded(page, text):
    page.get_by_text(text).wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the result").click()
    path = Path("downloaded.png")
    download.value.save_as(path)
    return path


def test_a_dropped_photo_is_masked_and_the_download_is_marked_as_synthetic(opened):
    drop(opened, "face.png")
    path = downloaded(opened, "1 face painted")
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert picture.shape == (256, 256, 3)
    assert (picture != np.asarray(Image.open("face.png"))).any(axis=2).mean() > 0.08
    assert read_provenance(path).painted == "mask"


def test_the_direction_can_be_changed_on_the_page(opened):
    drop(opened, "masked.png")
    opened.get_by_text("Each face in this photo is masked or covered already").wait_for()
    opened.get_by_label(UNMASK).check()
    opened.locator("img[src*=unmask]").wait_for()
    assert read_provenance(downloaded(opened, "1 face painted")).painted == "unmask"


def test_a_bare_face_has_no_mask_to_take_off(opened):
    opened.get_by_label(UNMASK).check()
    drop(opened, "face.png")
    opened.get_by_text("No face in this photo wears a mask").wait_for()


def test_a_photo_without_a_face_gets_a_message(opened):
    drop(opened, "none.jpg")
    opened.get_by_text("No face was found").wait_for()


def test_a_file_that_is_not_an_image_gets_a_message(opened):
    drop(opened, "broken.png")
    opened.get_by_text("cannot be read as an image").wait_for()


def test_an_example_is_painted_with_all_its_faces_and_shown_beside_the_original(opened):
    opened.get_by_role("button", name="Two faces").click()
    opened.get_by_text("2 faces painted").wait_for()
    sources = opened.locator("img").evaluate_all("images => images.map(image => image.src)")
    assert any("two.jpg" in source for source in sources) and any("two-mask" in source for source in sources)
    assert opened.locator("img[src*=two-mask]").evaluate("image => image.naturalWidth") == 960


def test_many_photos_give_a_zip_of_marked_pictures(opened, tmp_path):
    opened.get_by_text("Many photos at once").click()
    opened.locator("input[type=file][multiple]").set_input_files(["face.png", "masked.png", "none.jpg", "broken.png"])
    opened.get_by_role("button", name="Paint them all").click()
    opened.get_by_text("1 face painted in 1 of 4 photos. 2 have no face to paint").wait_for()
    opened.get_by_text("Not readable as images: broken.png").wait_for()
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Download all as ZIP").click()
    download.value.save_as("all.zip")
    with zipfile.ZipFile("all.zip") as zipped:
        assert zipped.namelist() == ["face-mask.png"]
        zipped.extractall(tmp_path / "all")
    assert read_provenance(tmp_path / "all/face-mask.png").painted == "mask"


def test_every_field_and_button_has_a_name_for_screen_readers(opened):
    opened.get_by_text("Many photos at once").click()
    opened.get_by_text("Copy the mask of another photo").click()
    unnamed = opened.evaluate(
        """() => [...document.querySelectorAll("button, select, textarea, input:not([type=file])")]
            .filter(element => element.checkVisibility())
            .filter(element => !(element.ariaLabel || element.title || element.textContent.trim()
                || element.getAttribute("aria-labelledby") || element.labels?.length))
            .map(element => element.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


def test_every_picture_has_a_name_for_screen_readers(opened):
    drop(opened, "face.png")
    opened.get_by_text("1 face painted").wait_for()
    for name in ("Photo", "Before", "After"):
        opened.get_by_role("img", name=name, exact=True).wait_for()
    assert opened.evaluate("[...document.images].filter(image => image.checkVisibility() && !image.alt).length") == 0


def test_the_line_between_before_and_after_has_a_name_and_moves_by_keys(opened):
    drop(opened, "face.png")
    line = opened.get_by_role("slider", name="Line between before and after")
    line.wait_for()
    opened.get_by_role("img", name="After", exact=True).wait_for()
    shown = "document.querySelector('[role=slider]').getAttribute('aria-valuenow')"
    before = int(opened.evaluate(shown))
    for key, moved in (("ArrowLeft", before - 5), ("ArrowRight", before)):
        line.press(key)
        opened.wait_for_function(f"Math.abs({shown} - {moved}) < 2")


def test_a_model_that_only_puts_masks_on_is_not_offered_to_take_them_off(browser, tmp_path):
    (tmp_path / "scratch").mkdir()
    write_checkpoint(tmp_path / "simgan", replace(TINY, method="simgan"))
    with served(tmp_path / "simgan", tmp_path / "scratch") as address:
        for page in open_page(browser, address):
            assert page.get_by_role("radio").count() == 1


@pytest.mark.parametrize("width", [1200, 390])
def test_nothing_is_cut_off_at_the_side(opened, width):
    opened.set_viewport_size({"width": width, "height": 844})
    opened.get_by_role("button", name="Two faces").click()
    opened.get_by_text("2 faces painted").wait_for()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_that_draws_offers_kind_and_colour(browser, portraits, tmp_path):
    portraits[0].save("face.png")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with serve(None, scratch) as address:
        for page in open_page(browser, address):
            drop(page, "face.png")
            page.get_by_text("1 face painted").wait_for()
            page.get_by_label("Colour").fill("#1f6feb")
            page.get_by_label("Colour").press("Enter")
            page.get_by_label("Kind of mask").click()
            page.get_by_role("option", name="kn95").click()
            first = page.locator("img[src*=face-mask]").first.get_attribute("src")
            page.wait_for_function(
                "before => [...document.images].some(i => i.src.includes('face-mask') && i.src != before)", arg=first
            )
            page.wait_for_timeout(3000)
            mark = read_provenance(downloaded(page, "1 face painted"))
            assert mark.drawing.startswith("kn95, colour #1f6feb, ")
