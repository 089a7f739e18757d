"""`facemask app` in a real browser: a photo is dropped and seen masked."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from models.app import make_page, serve
from pipeline.errors import FacemaskError
from pipeline.marks import read_mark
from tests.models.conftest import BLUE, write_checkpoint

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:gradio.queueing"
)  # of pandas, of Gradio's own lines

PUT_ON, TAKEN_OFF = "Put a mask on", "Take the mask off"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture
def opened(browser, portraits, tmp_path):
    """The page, in a browser that reaches nothing but it; and photos: face.png, none.jpg and one that is no image."""
    portraits[0].save("face.png")
    Image.new("RGB", (300, 200), (96, 112, 128)).save("none.jpg")
    Path("broken.png").write_bytes(Path("face.png").read_bytes()[:200])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    served = make_page(write_checkpoint(Path("model")), scratch)
    address = serve(served, free_port())
    page = browser.new_page(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    page.set_default_timeout(30_000)
    elsewhere = []
    page.on(
        "request",
        lambda request: None if request.url.startswith((address, "data:", "blob:")) else elsewhere.append(request.url),
    )
    page.goto(address)
    page.get_by_label(PUT_ON).wait_for()
    yield page
    page.close()
    served.close(verbose=False)
    assert elsewhere == []


def drop(page, name):
    page.locator("input[type=file]").first.set_input_files(name)


def downloaded(page, words):
    page.get_by_text(words).wait_for()
    with page.expect_download() as download:
        page.get_by_label("Download").last.click()
    path = Path("downloaded.png")
    download.value.save_as(path)
    return path


def test_a_photo_that_is_dropped_is_seen_masked_and_its_download_is_marked(opened):
    drop(opened, "face.png")
    path = downloaded(opened, "1 face painted")
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert picture.shape == (256, 256, 3)
    assert (np.abs(picture - BLUE).max(axis=2) <= 16).mean() > 0.02
    assert read_mark(path).painted == "mask"


def test_the_other_direction_is_a_click_away(opened):
    drop(opened, "face.png")
    opened.get_by_text("1 face painted").wait_for()
    opened.get_by_label(TAKEN_OFF).check()
    opened.locator("img[src*=unmask]").wait_for()
    assert read_mark(downloaded(opened, "1 face painted")).painted == "unmask"


def test_a_photo_without_a_face_is_told_of(opened):
    drop(opened, "none.jpg")
    opened.get_by_text("No face was found").wait_for()


def test_a_file_that_is_no_image_is_told_of(opened):
    drop(opened, "broken.png")
    opened.get_by_text("cannot be read as an image").wait_for()


def test_no_checkpoint_is_said_before_anything_is_served(tmp_path):
    with pytest.raises(FacemaskError, match="checkpoint"):
        make_page(tmp_path / "none", tmp_path)


def test_a_port_in_use_is_said():
    write_checkpoint(Path("model"))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit, match="choose another --port"):
        main(["app", "model", "--port", str(taken.getsockname()[1])])


def test_ctrl_c_ends_it_and_leaves_no_photo_behind(tmp_path):
    write_checkpoint(Path("model"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "flows.cli", "app", "model", "--port", str(port)]
    root = Path(__file__).parents[2]
    env = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(root)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        assert list(temporary.iterdir())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert list(temporary.iterdir()) == []
