"""`facemask app` against requests that its page does not send, and what it paints for those that it sends."""

import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from models.inference.app import MAX_PHOTO_BYTES, SETTINGS, _MaskFields, _paint_uploaded, _task, make_page, page_app
from models.inference.app_batch import as_shown, paint_batch
from models.inference.apply import make_task
from pipeline.errors import FacemaskError
from pipeline.report.local_page import listening, serving
from pipeline.tools.draw_bare_faces import bare_task
from pipeline.tools.draw_masks import MaskChoice
from pipeline.tools.provenance import read_provenance
from tests.conftest import ROOT
from tests.models.conftest import write_checkpoint
from tests.pipeline.test_local_page import OpenPage

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:gradio.queueing"
)  # raised by pandas for Gradio's code

MASK, UNMASK = "Put a mask on", "Take the mask off"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def serve(model, scratch):
    """The page for a checkpoint, which is written to `model`, or without one."""
    with served(None if model is None else write_checkpoint(model), scratch) as address:
        yield address


@contextmanager
def served(folder, scratch):
    """The page for the checkpoint in `folder`."""
    page = make_page(folder, scratch)
    with listening(0) as listener, serving(page_app(page, scratch), listener, SETTINGS) as address:
        yield address


def test_without_a_checkpoint_no_page_is_made(tmp_path):
    with pytest.raises(FacemaskError, match="checkpoint"):
        make_page(tmp_path / "none", tmp_path)


def test_a_port_in_use_is_a_one_line_error():
    write_checkpoint(Path("model"))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit, match="choose another --port"):
        main(["app", "model", "--port", str(taken.getsockname()[1])])


@pytest.fixture(scope="module")
def one_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    scratch = folder / "scratch"
    scratch.mkdir()
    with serve(folder / "model", scratch) as address:
        page = OpenPage(address)
        page.scratch = scratch
        yield page


@pytest.fixture
def client(one_page, portraits):
    """A client of the page without a browser, with an empty scratch folder. secret.png is a file outside the folder."""
    for left in one_page.scratch.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    portraits[0].save("secret.png")
    return one_page


def upload(page, content, name="face.png", **headers):
    """Upload a file; returns the status and the path that the page gave it."""
    body = (
        f'--edge\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
    ).encode() + content
    headers = {"Content_Type": "multipart/form-data; boundary=edge"} | headers
    answer, content = page.request("POST", "/gradio_api/upload", body + b"\r\n--edge--\r\n", **headers)
    return answer.status, json.loads(content)[0] if answer.status == 200 else None


def paint(page, photo, label=MASK, *, kind="any", colour="", like=None, **headers):
    """Send a request to paint; returns its status and the response."""
    body = {"data": [photo, label, kind, colour, like], "fn_index": 0, "session_hash": "test"}
    headers = {"Content_Type": "application/json"} | headers
    answer, content = page.request("POST", "/gradio_api/queue/join", json.dumps(body), **headers)
    if answer.status != 200:
        return answer.status, content.decode()
    _, events = page.request(path="/gradio_api/queue/data?session_hash=test")
    return 200, events.decode()


def as_photo(path):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def test_an_uploaded_photo_is_painted(client):
    status, path = upload(client, Path("secret.png").read_bytes())
    assert status == 200 and Path(path).is_relative_to(client.scratch)
    status, events = paint(client, as_photo(path))
    assert (status, "1 face painted" in events) == (200, True)


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}, {"meta": {"_type": "other"}}])
@pytest.mark.parametrize("shape", ["{}", "./{}", "SCRATCH/../{}", "link", "file://{}", "http://127.0.0.1:PORT/{}"])
def test_no_file_outside_the_scratch_folder_is_painted(client, tmp_path, shape, meta):
    secret = Path("secret.png").resolve()
    (client.scratch / "link").symlink_to(secret)
    named = os.path.relpath(secret, client.scratch.parent) if shape.startswith("SCRATCH") else secret
    path = str(client.scratch / "link") if shape == "link" else shape.format(named)
    path = path.replace("SCRATCH", str(client.scratch)).replace("PORT", str(client.port))
    status, _ = paint(client, {"path": path, **meta})
    assert status == 403
    assert [file for file in client.scratch.rglob("*.png")] == []


def test_painting_refuses_a_file_outside_the_scratch_folder(tmp_path):
    """The check is repeated where the photo is opened, whatever Gradio makes of a request."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    Image.new("RGB", (64, 64)).save("secret.png")
    task = make_task(write_checkpoint(Path("model")), "mask")
    for photo in ({"path": str(Path("secret.png").resolve())}, {"path": None}, {}):
        with pytest.raises(FacemaskError, match="drop it again"):
            _paint_uploaded(photo, task, scratch)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("path", ["SECRET", "/etc/passwd", "SCRATCH/link", "SCRATCH/../SECRET", "http://127.0.0.1:1/a"])
def test_no_file_outside_the_scratch_folder_is_returned(client, path):
    (client.scratch / "link").symlink_to("/etc/passwd")
    named = path.replace("SECRET", str(Path("secret.png").resolve())).replace("SCRATCH", str(client.scratch))
    for form in (named, named.replace("/", "%2f")):
        answer, content = client.request(path=f"/gradio_api/file={form}")
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
def test_addresses_that_the_page_does_not_use_do_not_exist(client, path):
    assert client.request(path=path)[0].status == 404
    assert client.request("POST", path, b"{}", Content_Type="application/json")[0].status == 404


@pytest.mark.parametrize(
    "headers", [{"Cookie": None}, {"Host": "elsewhere.example"}, {"Origin": "http://elsewhere.example"}]
)
def test_requests_without_cookie_or_from_another_host_or_origin_are_refused(client, headers):
    assert client.request(**headers)[0].status == 403
    for path in ("/config", "/theme.css", "/gradio_api/queue/data?session_hash=test", "/gradio_api/heartbeat/a"):
        assert client.request(path=path, **headers)[0].status == 403
    assert upload(client, b"content", **headers)[0] == 403
    assert paint(client, None, **headers)[0] == 403
    assert [file for file in client.scratch.rglob("*") if file.is_file()] == []


def test_an_upload_that_is_too_large_is_refused(client):
    status, path = upload(client, b"x" * (MAX_PHOTO_BYTES + 1))
    assert (status, path) == (413, None)
    assert [file for file in client.scratch.rglob("*") if file.is_file()] == []


def test_an_upload_without_a_length_is_refused_as_soon_as_it_is_too_large(client):
    def endless():
        yield b'--edge\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        while True:
            yield b"x" * (1 << 20)

    sent = HTTPConnection("127.0.0.1", client.port, timeout=60)
    headers = {"Cookie": client.cookie, "Content-Type": "multipart/form-data; boundary=edge"}
    with contextlib.suppress(ConnectionError):  # the server stops reading
        sent.request("POST", "/gradio_api/upload", endless(), headers, encode_chunked=True)
    sent.close()
    assert client.request()[0].status == 200
    assert sum(file.stat().st_size for file in client.scratch.rglob("*") if file.is_file()) <= SETTINGS.max_body_bytes


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "",
        "NaN",
        '{"data": [NaN, Infinity, "any", "", null], "fn_index": 0, "session_hash": "test"}',
        '{"data": [null, "Put a mask on", "any", "", null], "fn_index": NaN, "session_hash": "test"}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_malformed_body_is_refused_without_a_traceback(client, body, capfd):
    answer, content = client.request("POST", "/gradio_api/queue/join", body, Content_Type="application/json")
    assert answer.status == 400 and b"Traceback" not in content
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("photo", "label"),
    [(1.5, MASK), ([], MASK), ("a", MASK), ({}, MASK), ({"path": 1}, MASK), (None, {}), (None, None)],
)
def test_values_of_wrong_types_are_refused_without_a_traceback(client, photo, label, capfd):
    status, answer = paint(client, photo, label)
    assert status == 400
    assert "Traceback" not in answer + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": 1},
        {"kind": None},
        {"kind": ["any"]},
        {"kind": "k" * 65},
        {"colour": 1},
        {"colour": {"path": "a"}},
        {"colour": "c" * 65},
        {"like": "a"},
        {"like": {}},
        {"like": {"path": 1}},
        {"like": []},
    ],
)
def test_choices_of_wrong_types_or_lengths_are_refused_without_a_traceback(client, fields, capfd):
    status, answer = paint(client, None, **fields)
    assert status == 400
    assert "Traceback" not in answer + "".join(capfd.readouterr())


@pytest.mark.parametrize("data", [[None, MASK], [None, MASK, "any", "", None, None], []])
def test_a_request_with_other_fields_than_the_page_has_is_refused(client, data):
    body = json.dumps({"data": data, "fn_index": 0, "session_hash": "test"})
    answer, _ = client.request("POST", "/gradio_api/queue/join", body, Content_Type="application/json")
    assert answer.status == 400


@pytest.mark.parametrize("shape", ["{}", "link", "SCRATCH/../{}"])
def test_no_mask_is_copied_from_a_file_outside_the_scratch_folder(client, shape):
    secret = Path("secret.png").resolve()
    (client.scratch / "link").symlink_to(secret)
    named = os.path.relpath(secret, client.scratch.parent) if shape.startswith("SCRATCH") else secret
    path = str(client.scratch / "link") if shape == "link" else shape.format(named)
    _, photo = upload(client, secret.read_bytes())
    status, _ = paint(client, as_photo(photo), like=as_photo(path.replace("SCRATCH", str(client.scratch))))
    assert status == 403


@pytest.mark.parametrize("shape", ["{}", "link", "SCRATCH/../{}"])
def test_no_file_outside_the_scratch_folder_is_painted_among_many(client, shape):
    secret = Path("secret.png").resolve()
    (client.scratch / "link").symlink_to(secret)
    named = os.path.relpath(secret, client.scratch.parent) if shape.startswith("SCRATCH") else secret
    path = str(client.scratch / "link") if shape == "link" else shape.format(named)
    own = as_photo(upload(client, secret.read_bytes())[1])
    body = {"data": [[own, as_photo(path.replace("SCRATCH", str(client.scratch)))], MASK, "any", "", None]}
    body |= {"fn_index": 1, "session_hash": "test"}
    answer, _ = client.request("POST", "/gradio_api/queue/join", json.dumps(body), Content_Type="application/json")
    assert answer.status == 403


def test_a_batch_refuses_a_file_outside_the_scratch_folder_and_too_many_photos(client, tmp_path, monkeypatch):
    """The first check is repeated where the photos are opened, whatever Gradio makes of a request."""
    functions = make_page(None, tmp_path / "scratch").fns
    with pytest.raises(Exception, match="drop it again"):
        functions[1].fn([as_photo(Path("secret.png").resolve())], MASK, "any", "", None)
    with pytest.raises(FacemaskError, match="51 photos are too many at once"):
        paint_batch([Path("secret.png")] * 51, bare_task(), tmp_path)


@pytest.mark.parametrize(
    ("fn_index", "data"),
    [
        (0, [[], MASK, "any", "", None]),
        (1, [{"path": "a"}, MASK, "any", "", None]),
        (1, [["a"], MASK, "any", "", None]),
        (1, [[{}], MASK, "any", "", None]),
        (1, []),
        (2, [None]),
        (2, [None, MASK, "any", "", None]),
        (6, []),
        (-1, []),
    ],
)
def test_a_request_that_does_not_fit_its_function_is_refused(client, fn_index, data, capfd):
    body = json.dumps({"data": data, "fn_index": fn_index, "session_hash": "test"})
    answer, content = client.request("POST", "/gradio_api/queue/join", body, Content_Type="application/json")
    assert answer.status == 400
    assert "Traceback" not in content.decode() + "".join(capfd.readouterr())


def test_a_photo_that_browsers_do_not_show_is_shown_as_png(tmp_path):
    Image.new("RGB", (40, 30), (200, 30, 30)).save(tmp_path / "a.tif")
    shown = as_shown(tmp_path / "a.tif", tmp_path)
    assert Image.open(shown).format == "PNG" and Image.open(shown).getpixel((5, 5)) == (200, 30, 30)
    assert as_shown(tmp_path / "a.jpg", tmp_path) == tmp_path / "a.jpg"


def test_drawing_starts_without_torch(tmp_path):
    """Importing it takes seconds, in which the page would not be ready."""
    code = (
        "import sys; from pathlib import Path; from models.inference.app import make_page; "
        "make_page(None, Path(sys.argv[1])); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split()[-1] == "False"


def test_copying_refuses_a_file_outside_the_scratch_folder(tmp_path):
    """The check is repeated where the photo is opened, whatever Gradio makes of a request."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    Image.new("RGB", (64, 64)).save("secret.png")
    with pytest.raises(FacemaskError, match="drop it again"):
        _task(None, MASK, _MaskFields("any", None, {"path": str(Path("secret.png").resolve())}), scratch)


# --- the page that draws ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawing_page(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("drawing") / "scratch"
    scratch.mkdir()
    with serve(None, scratch) as address:
        yield OpenPage(address)


def drawn(page, photo, **fields):
    """The picture that the page makes of a photo."""
    buffer = io.BytesIO()
    photo.save(buffer, "PNG")
    status, events = paint(page, as_photo(upload(page, buffer.getvalue())[1]), **fields)
    assert status == 200, events
    path = re.search(r'"path": ?"([^"]+-(?:un)?mask\.png)"', events)
    assert path, events
    return Path(path[1])


def test_without_a_checkpoint_the_page_draws_and_the_choices_are_recorded(drawing_page, portraits):
    path = drawn(drawing_page, portraits[0], kind="kn95", colour="#1f6feb")
    assert read_provenance(path).drawing.startswith("kn95, colour #1f6feb, ")


def test_without_a_checkpoint_masks_are_taken_off_by_drawing(drawing_page, portraits):
    masked = Image.open(drawn(drawing_page, portraits[0], kind="kn95", colour="#1f6feb")).convert("RGB")
    mark = read_provenance(drawn(drawing_page, masked, label=UNMASK))
    assert (mark.painted, mark.checkpoint) == ("unmask", "") and mark.drawing.startswith("likely lower face")


def test_the_page_copies_the_mask_of_another_photo(drawing_page, portraits):
    masked = drawn(drawing_page, portraits[1], kind="kn95", colour="#1f6feb")
    like = as_photo(upload(drawing_page, masked.read_bytes())[1])
    path = drawn(drawing_page, portraits[0], like=like)
    assert read_provenance(path).drawing.startswith("like the mask in ")
    red, _, blue = np.asarray(Image.open(path).convert("RGB"))[170:190, 110:146].reshape(-1, 3).mean(axis=0)
    assert blue > 2 * red


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "n96"}, "there is no mask 'n96'"),
        ({"colour": "blurple"}, "'blurple' is no colour"),
        ({"label": "Paint it black"}, "choose to put a mask on"),
        ({"kind": "kn95", "like": True}, "the other photo gives kind and colour"),
        ({"colour": "red", "like": True}, "the other photo gives kind and colour"),
        ({"like": True}, "the mask to copy: no face in this photo wears a mask"),
    ],
)
def test_a_wrong_choice_is_a_message_on_the_page_that_draws(drawing_page, portraits, fields, message, capfd):
    buffer = io.BytesIO()
    portraits[0].save(buffer, "PNG")
    photo = as_photo(upload(drawing_page, buffer.getvalue())[1])
    status, events = paint(drawing_page, photo, **{**fields, **({"like": photo} if "like" in fields else {})})
    assert status == 200 and message in events
    assert "Traceback" not in events + "".join(capfd.readouterr())


def test_a_copied_mask_is_drawn_where_there_is_a_checkpoint_too(drawing_page, portraits, tmp_path):
    masked = drawn(drawing_page, portraits[1], kind="kn95", colour="#1f6feb")
    (tmp_path / "masked.png").write_bytes(masked.read_bytes())
    folder = write_checkpoint(Path("model"))
    task = _task(folder, MASK, _MaskFields("any", None, as_photo(tmp_path / "masked.png")), tmp_path)
    assert task.drawing.startswith("like the mask in ") and task.checkpoint == ""


def test_kind_and_colour_reach_a_checkpoint(monkeypatch, tmp_path):
    folder = write_checkpoint(Path("model"))
    task = _task(folder, MASK, _MaskFields("kn95", "#1f6feb", None), tmp_path)
    assert task.paint.keywords["choice"] == MaskChoice("kn95", (31, 111, 235))


def test_an_unknown_direction_is_a_message_on_the_page(client, capfd):
    status, events = paint(client, None, "Paint it black")
    assert status == 200 and "choose to put a mask on" in events
    assert "Traceback" not in events + "".join(capfd.readouterr())


@pytest.mark.parametrize("fn_index", [999, -1])
def test_an_unknown_function_is_refused_without_a_traceback(client, fn_index, capfd):
    body = json.dumps({"data": [None, MASK, "any", "", None], "fn_index": fn_index, "session_hash": "test"})
    answer, content = client.request("POST", "/gradio_api/queue/join", body, Content_Type="application/json")
    assert answer.status >= 400
    assert "Traceback" not in content.decode() + "".join(capfd.readouterr())
