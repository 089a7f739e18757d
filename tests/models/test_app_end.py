"""How `facemask app` ends: its photos are removed, whatever ends it."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.inference.app import make_page
from models.inference.scratch_folder import scratch_folder
from pipeline.tools.paint_photos import Outcome
from tests.models.conftest import write_checkpoint
from tests.models.test_app import MASK, as_photo, free_port, upload
from tests.pipeline.test_local_page import OpenPage

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:gradio.queueing"
)  # raised by pandas for Gradio's code


@contextmanager
def running(temporary):
    """`facemask app` as a command whose folder for temporary files is `temporary`, ready for requests."""
    write_checkpoint(Path("model"))
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "flows.cli", "app", "model", "--port", str(free_port())]
    env = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(Path(__file__).parents[2])}
    # nohup, under which the tests may run, ignores SIGHUP.
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, **heeds) as process:
        try:
            yield process, OpenPage(process.stdout.readline().split()[2])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_that_ends_the_page_removes_its_photos(portraits, tmp_path, number):
    portraits[0].save("face.png")
    temporary = tmp_path / "temporary"
    with running(temporary) as (process, page):
        _, path = upload(page, Path("face.png").read_bytes())
        assert Path(path).is_file() and Path(path).is_relative_to(temporary)
        # The signal arrives while the photo is being painted.
        body = {"data": [as_photo(path), MASK, "any", "", None], "fn_index": 0, "session_hash": "test"}
        page.request("POST", "/gradio_api/queue/join", json.dumps(body), Content_Type="application/json")
        process.send_signal(number)
        assert process.wait(300) == 0
    assert list(temporary.iterdir()) == []


def test_a_photo_painted_while_the_page_ends_is_removed_too(tmp_path, monkeypatch):
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
        painted, *_ = make_page(write_checkpoint(Path("model")), scratch).fns.values()
        painting = threading.Thread(
            target=painted.fn, args=({"path": str(scratch / "face.png")}, MASK, "any", "", None)
        )
        painting.start()
        started.wait()
        removing = threading.Thread(target=ending.pop_all().close)
        removing.start()
        removing.join(1)  # s: enough to remove the folder if the removal did not wait for the painting
        release.set()
        painting.join()
        removing.join()
    assert list(tmp_path.glob("facemask-app-*")) == []


def test_a_start_removes_the_folder_of_a_killed_page_and_none_of_a_running_page(tmp_path):
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
