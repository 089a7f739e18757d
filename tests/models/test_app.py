"""`facemask app` in a real browser: a photo is dropped and seen masked."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from models.inference.app import MAX_PHOTO_BYTES, RULES, _painted, make_page, page_app, scratch_folder
from models.inference.apply import Outcome, task_of
from pipeline.errors import FacemaskError
from pipeline.report.local_page import listening, serving
from pipeline.tools.provenance import read_provenance
from tests.models.conftest import BLUE, write_checkpoint
from tests.pipeline.test_local_page import Opened

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
    with serve(Path("model"), scratch) as address:
        yield from seen(browser, address)


@contextmanager
def serve(model, scratch):
    served = make_page(write_checkpoint(model), scratch)
    with listening(0) as listener, serving(page_app(served, scratch), listener, RULES) as address:
        yield address


def seen(browser, address):
    page = browser.new_context(accept_downloads=True).new_page()
    page.set_viewport_size({"width": 1200, "height": 900})
    page.set_default_timeout(30_000)
    elsewhere, own = [], address.partition("?")[0]
    page.on(
        "request",
        lambda request: None if request.url.startswith((own, "data:", "blob:")) else elsewhere.append(request.url),
    )
    page.goto(address)
    assert page.url == own
    page.get_by_label(PUT_ON).wait_for()
    yield page
    page.context.close()
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
    assert read_provenance(path).painted == "mask"


def test_the_other_direction_is_a_click_away(opened):
    drop(opened, "face.png")
    opened.get_by_text("1 face painted").wait_for()
    opened.get_by_label(TAKEN_OFF).check()
    opened.locator("img[src*=unmask]").wait_for()
    assert read_provenance(downloaded(opened, "1 face painted")).painted == "unmask"


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


# --- requests that the page does not make ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    scratch = folder / "scratch"
    scratch.mkdir()
    with serve(folder / "model", scratch) as address:
        page = Opened(address)
        page.scratch = scratch
        yield page


@pytest.fixture
def asked(one_page, portraits):
    """The page without a browser, and its empty scratch folder. secret.png is the owner's, and not on the page."""
    for left in one_page.scratch.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    portraits[0].save("secret.png")
    return one_page


def upload(page, content, name="face.png", **headers):
    """Status, and the path under which the page knows the file."""
    body = (
        f'--edge\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
    ).encode() + content
    headers = {"Content_Type": "multipart/form-data; boundary=edge"} | headers
    answer, content = page.ask("POST", "/gradio_api/upload", body + b"\r\n--edge--\r\n", **headers)
    return answer.status, json.loads(content)[0] if answer.status == 200 else None


def paint(page, photo, words=PUT_ON, **headers):
    """Status of the request to paint, and what the page sent back."""
    body = {"data": [photo, words], "fn_index": 0, "session_hash": "test"}
    headers = {"Content_Type": "application/json"} | headers
    answer, content = page.ask("POST", "/gradio_api/queue/join", json.dumps(body), **headers)
    if answer.status != 200:
        return answer.status, content.decode()
    _, events = page.ask(path="/gradio_api/queue/data?session_hash=test")
    return 200, events.decode()


def as_photo(path):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def test_an_uploaded_photo_is_painted(asked):
    status, path = upload(asked, Path("secret.png").read_bytes())
    assert status == 200 and Path(path).is_relative_to(asked.scratch)
    status, events = paint(asked, as_photo(path))
    assert (status, "1 face painted" in events) == (200, True)


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}, {"meta": {"_type": "other"}}])
@pytest.mark.parametrize("shape", ["{}", "./{}", "SCRATCH/../{}", "link", "file://{}", "http://127.0.0.1:PORT/{}"])
def test_no_file_of_the_owner_s_is_painted(asked, tmp_path, shape, meta):
    secret = Path("secret.png").resolve()
    (asked.scratch / "link").symlink_to(secret)
    named = os.path.relpath(secret, asked.scratch.parent) if shape.startswith("SCRATCH") else secret
    path = str(asked.scratch / "link") if shape == "link" else shape.format(named)
    path = path.replace("SCRATCH", str(asked.scratch)).replace("PORT", str(asked.port))
    status, _ = paint(asked, {"path": path, **meta})
    assert status == 403
    assert [file for file in asked.scratch.rglob("*.png")] == []


def test_the_painting_itself_takes_no_other_file(tmp_path):
    """Whatever Gradio makes of a request: the last check is beside the photo's opening."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    Image.new("RGB", (64, 64)).save("secret.png")
    task = task_of(write_checkpoint(Path("model")), "mask")
    for photo in ({"path": str(Path("secret.png").resolve())}, {"path": None}, {}):
        with pytest.raises(FacemaskError, match="drop it again"):
            _painted(photo, task, scratch)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("path", ["SECRET", "/etc/passwd", "SCRATCH/link", "SCRATCH/../SECRET", "http://127.0.0.1:1/a"])
def test_no_file_of_the_owner_s_is_given(asked, path):
    (asked.scratch / "link").symlink_to("/etc/passwd")
    named = path.replace("SECRET", str(Path("secret.png").resolve())).replace("SCRATCH", str(asked.scratch))
    for form in (named, named.replace("/", "%2f")):
        answer, content = asked.ask(path=f"/gradio_api/file={form}")
        assert answer.status == 403 and b"root:" not in content


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/info",
        "/gradio_api/run/predict",
        "/gradio_api/deep_link?session_hash=a",
        "/monitoring",
        "/login",
        "//gradio_api/file=/etc/passwd",
    ],
)
def test_only_the_addresses_that_the_page_uses_are_answered(asked, path):
    assert asked.ask(path=path)[0].status == 404
    assert asked.ask("POST", path, b"{}", Content_Type="application/json")[0].status == 404


@pytest.mark.parametrize(
    "headers", [{"Cookie": None}, {"Host": "elsewhere.example"}, {"Origin": "http://elsewhere.example"}]
)
def test_nobody_else_uses_any_part_of_the_page(asked, headers):
    assert asked.ask(**headers)[0].status == 403
    for path in ("/config", "/theme.css", "/gradio_api/queue/data?session_hash=test", "/gradio_api/heartbeat/a"):
        assert asked.ask(path=path, **headers)[0].status == 403
    assert upload(asked, b"content", **headers)[0] == 403
    assert paint(asked, None, **headers)[0] == 403
    assert [file for file in asked.scratch.rglob("*") if file.is_file()] == []


def test_an_upload_that_is_too_large_is_refused(asked, monkeypatch):
    status, path = upload(asked, b"x" * (MAX_PHOTO_BYTES + 1))
    assert (status, path) == (413, None)
    assert [file for file in asked.scratch.rglob("*") if file.is_file()] == []


def test_an_upload_without_a_length_is_refused_as_soon_as_it_is_too_large(asked):
    def endless():
        yield b'--edge\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        while True:
            yield b"x" * (1 << 20)

    sent = HTTPConnection("127.0.0.1", asked.port, timeout=60)
    headers = {"Cookie": asked.cookie, "Content-Type": "multipart/form-data; boundary=edge"}
    with contextlib.suppress(ConnectionError):  # what the server does not read any more
        sent.request("POST", "/gradio_api/upload", endless(), headers, encode_chunked=True)
    sent.close()
    assert asked.ask()[0].status == 200
    assert sum(file.stat().st_size for file in asked.scratch.rglob("*") if file.is_file()) <= RULES.max_bytes


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "",
        "NaN",
        '{"data": [NaN, Infinity], "fn_index": 0, "session_hash": "test"}',
        '{"data": [null, "Put a mask on"], "fn_index": NaN, "session_hash": "test"}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_json_of_the_page_is_refused_without_a_traceback(asked, body, capfd):
    answer, content = asked.ask("POST", "/gradio_api/queue/join", body, Content_Type="application/json")
    assert answer.status == 400 and b"Traceback" not in content
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("photo", "words"),
    [(1.5, PUT_ON), ([], PUT_ON), ("a", PUT_ON), ({}, PUT_ON), ({"path": 1}, PUT_ON), (None, {}), (None, None)],
)
def test_odd_values_are_refused_without_a_traceback(asked, photo, words, capfd):
    status, answer = paint(asked, photo, words)
    assert status == 400
    assert "Traceback" not in answer + "".join(capfd.readouterr())


def test_a_direction_that_the_page_does_not_offer_is_a_sentence_on_the_page(asked, capfd):
    status, events = paint(asked, None, "Paint it black")
    assert status == 200 and "choose to put a mask on" in events
    assert "Traceback" not in events + "".join(capfd.readouterr())


@pytest.mark.parametrize("fn_index", [999, -1])
def test_a_request_for_what_the_page_cannot_do_is_refused_without_a_traceback(asked, fn_index, capfd):
    body = json.dumps({"data": [None, PUT_ON], "fn_index": fn_index, "session_hash": "test"})
    answer, content = asked.ask("POST", "/gradio_api/queue/join", body, Content_Type="application/json")
    assert answer.status >= 400
    assert "Traceback" not in content.decode() + "".join(capfd.readouterr())


# --- the end --------------------------------------------------------------------------------------------------------


@contextmanager
def running(temporary):
    """`facemask app` as a command whose folder for temporary files is `temporary`, ready for requests."""
    write_checkpoint(Path("model"))
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "flows.cli", "app", "model", "--port", str(free_port())]
    env = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, Opened(process.stdout.readline().split()[2])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_way_to_end_it_leaves_no_photo_behind(portraits, tmp_path, number):
    portraits[0].save("face.png")
    temporary = tmp_path / "temporary"
    with running(temporary) as (process, page):
        _, path = upload(page, Path("face.png").read_bytes())
        assert Path(path).is_file() and Path(path).is_relative_to(temporary)
        # It ends in the midst of work: the photo is being painted.
        body = {"data": [as_photo(path), PUT_ON], "fn_index": 0, "session_hash": "test"}
        page.ask("POST", "/gradio_api/queue/join", json.dumps(body), Content_Type="application/json")
        process.send_signal(number)
        assert process.wait(300) == 0
    assert list(temporary.iterdir()) == []


def test_a_photo_that_is_painted_while_the_page_ends_is_removed_too(tmp_path, monkeypatch):
    started, release = threading.Event(), threading.Event()

    def slow(photo, _task):
        started.set()
        release.wait()
        photo.painted.parent.mkdir(parents=True, exist_ok=True)
        photo.painted.write_bytes(b"painted")
        return Outcome(photo, "painted", 1)

    monkeypatch.setattr("models.inference.app.paint_file", slow)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with contextlib.ExitStack() as ending:
        scratch = ending.enter_context(scratch_folder())
        (scratch / "face.png").write_bytes(b"a photo")
        (painted,) = make_page(write_checkpoint(Path("model")), scratch).fns.values()
        painting = threading.Thread(target=painted.fn, args=({"path": str(scratch / "face.png")}, PUT_ON))
        painting.start()
        started.wait()
        removing = threading.Thread(target=ending.pop_all().close)
        removing.start()
        removing.join(1)  # s: time for a fault to show; what is right waits here
        release.set()
        painting.join()
        removing.join()
    assert list(tmp_path.glob("facemask-app-*")) == []


def test_the_next_start_removes_what_a_killed_one_left_and_nothing_of_a_running_one(tmp_path):
    temporary = tmp_path / "temporary"
    with running(temporary) as (process, _):
        (killed,) = temporary.iterdir()
        process.kill()
        process.wait()
    (killed / "photo.png").write_bytes(b"a photo")
    others = temporary / "facemask-app-link"
    (tmp_path / "elsewhere").mkdir()
    others.symlink_to(tmp_path / "elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        with scratch_folder() as first, scratch_folder() as second:
            assert first.is_dir() and second.is_dir() and first != second
            assert set(temporary.iterdir()) == {first, second, others}
            assert stat.S_IMODE(first.stat().st_mode) == 0o700
    assert list(temporary.iterdir()) == [others]
    assert (tmp_path / "elsewhere").is_dir()
