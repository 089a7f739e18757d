import email.utils
import errno
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import gdown
import pytest

from pipeline import download as module
from pipeline.download import Failure, Remote, answers, download, wire
from pipeline.errors import FacemaskError
from tests.pipeline.faulty_server import (
    busy,
    busy_until,
    chunked,
    circle,
    cut,
    drop,
    drop_and_change,
    html,
    proper,
    serving,
    stall,
    status,
    wrong,
)
from tests.pipeline.test_refusals import QUOTA

SIZE = 300_000
CONTENT = random.Random(0).randbytes(SIZE)
OTHER = random.Random(1).randbytes(SIZE)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "BACK_OFF_S", 0.001)
    for holder in (module, answers):
        monkeypatch.setattr(holder, "READ_TIMEOUT_S", 0.3)
    monkeypatch.setattr(module, "NOTE_FROM", 1)
    # In small pieces, so that what came before a break is on disk.
    monkeypatch.setattr(wire, "_BUFFER", 10_000)


@pytest.fixture
def server():
    with serving({"a": CONTENT}) as serving_:
        yield serving_


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def bring(server, folder, digest=None, size=None):
    """Fetch the server's file `a`."""
    return download([Remote("a", server.url("a"), size, digest)], folder, "test")


def hidden(folder):
    return sorted(path.name for path in folder.rglob(".*"))


def assert_whole(folder, content=CONTENT):
    assert (folder / "a").read_bytes() == content
    assert hidden(folder) == []


def lay_part(folder, server, content, validator=None, total=SIZE):
    """What a killed download leaves."""
    etag = f'"{hashlib.md5(CONTENT).hexdigest()}"'
    folder.mkdir(exist_ok=True)
    (folder / ".a.part").write_bytes(content)
    note = {"url": server.url("a"), "validator": validator or etag, "total": total}
    (folder / ".a.part.json").write_text(json.dumps(note))


def test_files_come_into_their_folders(tmp_path):
    files = {f"{n % 3}/{n}.bin": random.Random(n).randbytes(n * 1000) for n in range(30)}
    with serving(files) as server:
        assert download([Remote(path, server.url(path)) for path in files], tmp_path, "test") == []
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == set(files)
    assert all((tmp_path / path).read_bytes() == content for path, content in files.items())


def test_what_is_there_is_not_asked_for_and_nothing_is_printed(server, tmp_path, capsys):
    bring(server, tmp_path)
    capsys.readouterr()
    bring(server, tmp_path)
    assert len(server.asked) == 1
    assert capsys.readouterr().out == ""


def test_progress_ends_with_all_that_was_done(server, tmp_path, capsys):
    files = [Remote("a", server.url("a"), SIZE), Remote("b", server.url("missing"), 100)]
    download(files, tmp_path, "faces")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("faces: 1 of 2 files, 0.3 of 0.3 MB, ") and last.endswith(", 1 failed")


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", "a//b", "", "a/", ".", "a/./b"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, path):
    with pytest.raises(ValueError, match="does not stay"):
        download([Remote(path, "memory://x")], tmp_path, "test")


def test_one_path_for_two_addresses_is_refused(tmp_path):
    with pytest.raises(ValueError, match="stands twice"):
        download([Remote("a", "memory://x"), Remote("a", "memory://y")], tmp_path, "test")


def test_a_digest_of_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no digest"):
        download([Remote("a", "memory://x", digest="crc:12")], tmp_path, "test")


def test_a_dropped_answer_is_gone_on_with_where_it_ended(server, tmp_path):
    server.script["a"] = [drop(200_000)]
    assert bring(server, tmp_path, sha256(CONTENT), SIZE) == []
    assert_whole(tmp_path)
    first, second = server.asked
    assert second.range == "bytes=200000-" and second.if_range and second.status == 206
    assert first.sent + second.sent == SIZE


def test_behind_a_proxy_httpx_itself_carries_the_requests(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert wire.transport() is None
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.script["a"] = [drop(200_000), wrong, busy(503, "0"), stall(0)]
    assert bring(server, tmp_path, sha256(CONTENT), SIZE) == []
    assert_whole(tmp_path)


def test_connections_are_kept(server, tmp_path, monkeypatch):
    connects = []
    connect = wire.Wire._connect
    monkeypatch.setattr(wire.Wire, "_connect", lambda *asked: connects.append(asked) or connect(*asked))
    server.files |= {str(n): b"x" for n in range(50)}
    assert download([Remote(str(n), server.url(str(n))) for n in range(50)], tmp_path, "test", at_once=2) == []
    assert len(connects) == 2


def test_a_part_of_an_earlier_run_is_gone_on_with(server, tmp_path):
    lay_part(tmp_path, server, CONTENT[:123_456])
    assert bring(server, tmp_path, sha256(CONTENT)) == []
    assert_whole(tmp_path)
    assert [asked.sent for asked in server.asked] == [SIZE - 123_456]


def test_a_whole_part_of_an_earlier_run_is_not_fetched_again(server, tmp_path):
    lay_part(tmp_path, server, CONTENT)
    assert bring(server, tmp_path, sha256(CONTENT)) == []
    assert_whole(tmp_path)
    assert server.asked == []


def test_a_part_of_another_address_is_begun_anew(server, tmp_path):
    lay_part(tmp_path, server, OTHER[:1000])
    note = json.loads((tmp_path / ".a.part.json").read_text())
    (tmp_path / ".a.part.json").write_text(json.dumps(note | {"url": "http://elsewhere/a"}))
    assert bring(server, tmp_path) == []
    assert_whole(tmp_path)


def test_a_part_without_a_note_or_with_half_a_note_is_begun_anew(server, tmp_path):
    (tmp_path / ".a.part").write_bytes(OTHER[:1000])
    (tmp_path / ".a.part.json").write_text('{"url": "ht')
    assert bring(server, tmp_path) == []
    assert_whole(tmp_path)


def test_a_part_longer_than_the_file_is_begun_anew(server, tmp_path):
    lay_part(tmp_path, server, OTHER + OTHER, total=3 * SIZE)
    assert bring(server, tmp_path) == []
    assert server.asked[0].status == 416
    assert_whole(tmp_path)


def test_a_server_without_ranges_gives_the_file_from_its_start(server, tmp_path):
    server.ranges = False
    server.script["a"] = [drop(200_000)]
    assert bring(server, tmp_path, sha256(CONTENT)) == []
    assert server.asked[1].status == 200
    assert_whole(tmp_path)


def test_without_validator_and_digest_nothing_is_spliced(server, tmp_path):
    server.etags = False
    server.script["a"] = [drop_and_change(200_000, OTHER)]
    assert bring(server, tmp_path) == []
    assert server.asked[1].range is None
    assert_whole(tmp_path, OTHER)


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_a_file_that_changes_between_two_requests_is_begun_anew(server, tmp_path, honours_if_range):
    server.honours_if_range = honours_if_range
    server.script["a"] = [drop_and_change(200_000, OTHER)]
    assert bring(server, tmp_path) == []
    assert_whole(tmp_path, OTHER)


@pytest.mark.parametrize("fault", [busy(503, "0"), busy(429, "0"), status(500), stall(150_000), wrong, cut, html()])
def test_a_passing_fault_ends_with_the_right_file(server, tmp_path, fault):
    server.script["a"] = [fault, fault]
    assert bring(server, tmp_path, sha256(CONTENT), SIZE) == []
    assert_whole(tmp_path)
    assert sum(asked.completed for asked in server.asked) == 1


def test_md5_is_checked_too(server, tmp_path):
    server.script["a"] = [wrong]
    assert bring(server, tmp_path, "md5:" + hashlib.md5(CONTENT).hexdigest().upper()) == []
    assert_whole(tmp_path)


@pytest.mark.parametrize("digest", [sha256(CONTENT), None])
def test_an_answer_without_a_length_is_taken_whole(server, tmp_path, digest):
    server.script["a"] = [chunked]
    assert bring(server, tmp_path, digest) == []
    assert_whole(tmp_path)


def test_an_empty_file_comes_too(tmp_path):
    with serving({"a": b""}) as server:
        assert bring(server, tmp_path) == []
    assert_whole(tmp_path, b"")


@pytest.mark.parametrize("fault", [busy(503, "1"), busy(429, "1"), busy_until(2)])
def test_a_time_to_wait_is_kept(server, tmp_path, fault):
    server.script["a"] = [fault]
    assert bring(server, tmp_path) == []
    first, second = server.asked
    assert 0.8 < second.at - first.at < 3


def test_a_longer_wait_than_we_have_patience_for_is_a_failure_that_says_when(server, tmp_path):
    server.script["a"] = [busy(429, "86400")]
    (failure,) = bring(server, tmp_path)
    assert "429" in failure.reason
    assert f"try again after {time.strftime('%Y-%m-%d', time.localtime(time.time() + 86_400))}" in failure.reason
    assert len(server.asked) == 1


def test_a_date_that_is_past_asks_for_no_wait():
    assert answers._retry_after_s(email.utils.formatdate(0, usegmt=True)) == 0
    assert answers._retry_after_s("soon") == 0


@pytest.mark.parametrize("number", [400, 401, 403, 404, 410])
def test_a_refusal_ends_at_once(server, tmp_path, number):
    server.script["a"] = [status(number)]
    (failure,) = bring(server, tmp_path)
    assert str(number) in failure.reason and len(server.asked) == 1
    assert hidden(tmp_path) == []


def test_a_circle_of_redirects_ends_at_once(server, tmp_path):
    server.choose = lambda path: circle
    (failure,) = bring(server, tmp_path)
    assert "redirects in a circle" in failure.reason
    assert len(server.asked) == 11


def test_tries_without_a_byte_are_bounded(server, tmp_path):
    server.choose = lambda path: busy(503, "0")
    (failure,) = bring(server, tmp_path)
    assert "503" in failure.reason and len(server.asked) == module.TRIES_WITHOUT_A_BYTE


def test_tries_that_bring_bytes_are_not_counted_against_it(server, tmp_path):
    server.script["a"] = [drop(20_000)] * 12
    assert bring(server, tmp_path) == []
    assert_whole(tmp_path)


def test_a_file_that_is_always_wrong_is_given_up(server, tmp_path):
    (failure,) = bring(server, tmp_path, sha256(OTHER))
    assert "sha256" in failure.reason and len(server.asked) == module.TRIES_OF_WRONG_BYTES
    assert hidden(tmp_path) == [] and not (tmp_path / "a").exists()


def test_a_length_that_is_always_wrong_is_seen_before_the_bytes_come(server, tmp_path):
    (failure,) = bring(server, tmp_path, size=SIZE + 1)
    assert "300,001" in failure.reason
    assert not (tmp_path / "a").exists()


def test_a_page_with_status_200_is_never_data(server, tmp_path):
    server.choose = lambda path: html(type_="application/octet-stream")
    (failure,) = bring(server, tmp_path)
    assert "web page" in failure.reason and not (tmp_path / "a").exists()


def test_after_a_few_quota_pages_google_is_not_asked_any_more(server, tmp_path):
    server.files |= {str(n): b"x" for n in range(50)}
    server.choose = lambda path: html(QUOTA.encode())
    failures = download([Remote(str(n), server.url(str(n))) for n in range(50)], tmp_path, "test", at_once=1)
    assert len(failures) == 50 and all("after 24 hours" in failure.reason for failure in failures)
    assert len(server.asked) == module.GIVE_UP_HOST


def test_a_page_is_taken_where_a_page_is_asked_for(server, tmp_path):
    server.files["a.html"] = b"<!doctype html><p>x"
    assert download([Remote("a.html", server.url("a.html"))], tmp_path, "test") == []


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_a_host_that_is_not_there_is_given_up_for_all_files(tmp_path):
    started = time.monotonic()
    files = [Remote(str(n), f"http://127.0.0.1:{free_port()}/{n}") for n in range(1)]
    files = [Remote(str(n), files[0].url + str(n)) for n in range(3000)]
    failures = download(files, tmp_path, "test")
    assert [failure.remote for failure in failures] == files
    assert all("cannot be reached" in failure.reason for failure in failures)
    assert time.monotonic() - started < 5


def test_another_host_goes_on_when_one_is_given_up(server, tmp_path):
    port = free_port()
    dead = [Remote(str(n), f"http://127.0.0.1:{port}/{n}") for n in range(20)]
    failures = download([*dead, Remote("a", server.url("a"))], tmp_path, "test", at_once=2)
    assert len(failures) == 20
    assert (tmp_path / "a").exists()


def test_a_failure_leaves_the_others_alone_and_keeps_their_order(server, tmp_path):
    server.files |= {str(n): bytes([n]) for n in range(20)}
    files = [Remote(str(n), server.url(str(n) if n % 5 else "none")) for n in range(20)]
    failures = download(files, tmp_path, "test")
    assert [failure.remote.path for failure in failures] == ["0", "5", "10", "15"]
    assert all(isinstance(failure, Failure) for failure in failures)
    assert len(list(tmp_path.iterdir())) == 16


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_ends_it_all_and_says_so(server, tmp_path, monkeypatch, number):
    server.files |= {str(n): CONTENT for n in range(50)}

    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(FacemaskError, match="run the same command again: what is whole is kept") as caught:
        download([Remote(str(n), server.url(str(n))) for n in range(50)], tmp_path, "test", at_once=2)
    assert str(tmp_path) in str(caught.value)
    assert len(server.asked) <= 4


def test_two_downloads_into_one_folder_do_not_meet(server, tmp_path):
    with module._alone_in(tmp_path), pytest.raises(FacemaskError, match="under way"):
        bring(server, tmp_path)


def test_an_interrupt_ends_it_promptly_and_what_came_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEAVE_S", 0.2)
    monkeypatch.setattr(module, "READ_TIMEOUT_S", 30)
    server.choose = lambda path: stall(100_000)
    tell = module._Progress.tell
    monkeypatch.setattr(module, "EVERY_S", 0.2)

    def interrupt(progress):
        monkeypatch.setattr(module._Progress, "tell", tell)
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Progress, "tell", interrupt)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bring(server, tmp_path)
    assert time.monotonic() - started < 2
    server.choose = lambda path: None
    server.closing.set()
    time.sleep(0.1)
    assert bring(server, tmp_path) == []
    assert server.asked[-1].range == "bytes=100000-"
    assert_whole(tmp_path)


PROGRAM = """
import json, sys
from pathlib import Path
from pipeline import download as module
from pipeline.download import wire
module.NOTE_FROM, module.BACK_OFF_S, wire._BUFFER = 1, 0.01, 10_000
files = [module.Remote(*row) for row in json.loads(sys.argv[1])]
print(len(module.download(files, Path(sys.argv[2]), "killed", at_once=3)))
"""


def test_after_kills_everything_is_right_and_nothing_whole_was_fetched_twice(tmp_path):
    random_ = random.Random(5)
    files = {str(n): random_.randbytes(200_000) for n in range(12)}
    folder = tmp_path / "to"
    with serving(files) as server:
        server.bytes_per_s = 1.5e6
        rows = json.dumps([(path, server.url(path), len(content), sha256(content)) for path, content in files.items()])
        command = [sys.executable, "-c", PROGRAM, rows, str(folder)]
        for end in ("killed", "killed", "killed", "done"):
            before, whole = len(server.asked), {path for path in files if (folder / path).exists()}
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            if end == "killed":
                while len(server.asked) == before:
                    time.sleep(0.01)
                time.sleep(random_.uniform(0, 0.35))
                process.kill()
            else:
                server.bytes_per_s = None
            assert process.wait() == (-signal.SIGKILL if end == "killed" else 0)
            assert not whole & {asked.path for asked in server.asked[before:]}
            assert all((folder / path).read_bytes() == files[path] for path in files if (folder / path).exists())
        assert any(asked.range for asked in server.asked)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_any_other_scheme_is_opened_by_fsspec(tmp_path):
    with fsspec.open("memory://bucket/a", "wb") as file:
        file.write(CONTENT)
    assert download([Remote("a", "memory://bucket/a", SIZE, sha256(CONTENT))], tmp_path, "test") == []
    assert_whole(tmp_path)


def test_a_plain_path_is_opened_and_resumed(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "to"
    source.write_bytes(CONTENT)
    folder.mkdir()
    with answers.over_fsspec(str(source), 0, None) as answer:
        validator = answer.note.validator
    # Bytes that the source does not have show that they were not read again.
    (folder / ".a.part").write_bytes(OTHER[:1000])
    (folder / ".a.part.json").write_text(json.dumps({"url": str(source), "validator": validator, "total": SIZE}))
    assert download([Remote("a", str(source))], folder, "test") == []
    assert_whole(folder, OTHER[:1000] + CONTENT[1000:])


def test_a_stored_file_that_changed_is_begun_anew(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "to"
    source.write_bytes(CONTENT)
    folder.mkdir()
    (folder / ".a.part").write_bytes(OTHER[:1000])
    (folder / ".a.part.json").write_text(json.dumps({"url": str(source), "validator": "old", "total": SIZE}))
    assert download([Remote("a", str(source))], folder, "test") == []
    assert_whole(folder)


@pytest.mark.parametrize("url", ["memory://bucket/none", "nosuchscheme://x/y", "drive"])
def test_an_address_with_nothing_behind_it_is_a_failure(tmp_path, url):
    (failure,) = download([Remote("a", url)], tmp_path, "test")
    assert "no such file" in failure.reason or "cannot be opened" in failure.reason


@pytest.mark.parametrize("url", ["http://[bad/x", "http://", "http://a b/", "http://" + "a" * 70 + ".invalid/"])
def test_an_address_that_is_none_is_a_failure(tmp_path, url):
    (failure,) = download([Remote("a", url)], tmp_path, "test")
    assert "no address" in failure.reason or "cannot be reached" in failure.reason


def drive(monkeypatch, *steps):
    """Let gdown do the steps, one a call; returns the calls."""
    calls, left = [], list(steps)

    def fake(**asked):
        calls.append(asked)
        return left.pop(0)(asked)

    monkeypatch.setattr(gdown, "download", fake)
    return calls


def gives(content):
    def step(asked):
        asked["progress"](len(content), len(content))
        with Path(asked["output"]).open("wb") as file:
            file.write(content)

    return step


def raises(error):
    def step(asked):
        raise error

    return step


def from_drive(folder, **known):
    return download([Remote("a", "drive:ID", **known)], folder, "test")


def test_a_file_of_google_drive_comes_by_gdown(tmp_path, monkeypatch):
    calls = drive(monkeypatch, gives(CONTENT))
    assert from_drive(tmp_path, bytes=SIZE, digest=sha256(CONTENT)) == []
    assert_whole(tmp_path)
    assert calls[0]["id"] == "ID" and calls[0]["resume"] and calls[0]["quiet"]


def test_google_drives_quota_says_when_to_try_again(tmp_path, monkeypatch):
    text = "Failed to retrieve file url:\n\n\tToo many users have viewed or downloaded\n\tthis file recently."
    calls = drive(monkeypatch, *[raises(gdown.FileURLRetrievalError(text))] * 30)
    failures = download([Remote(str(n), f"drive:{n}") for n in range(30)], tmp_path, "test", at_once=1)
    assert len(failures) == 30 and all("after 24 hours" in failure.reason for failure in failures)
    assert len(calls) == module.GIVE_UP_HOST


def test_a_broken_drive_download_is_tried_again(tmp_path, monkeypatch):
    drive(monkeypatch, raises(gdown.DownloadError("incomplete")), gives(CONTENT))
    assert from_drive(tmp_path) == []
    assert_whole(tmp_path)


def test_a_drive_file_with_wrong_bytes_is_fetched_anew(tmp_path, monkeypatch):
    drive(monkeypatch, gives(OTHER), gives(CONTENT))
    assert from_drive(tmp_path, digest=sha256(CONTENT)) == []
    assert_whole(tmp_path)


def test_a_drive_file_that_changed_loses_gdowns_part(tmp_path, monkeypatch):
    (tmp_path / ".a.drive12345678.part").write_bytes(b"old")
    note = {"url": "drive:ID", "validator": "ID", "total": 17}
    (tmp_path / ".a.part.json").write_text(json.dumps(note))
    drive(monkeypatch, gives(CONTENT), gives(CONTENT))
    assert from_drive(tmp_path) == []
    assert_whole(tmp_path)


def test_threads_do_not_grow_with_the_number_of_files(server, tmp_path):
    server.files |= {str(n): b"x" for n in range(200)}
    most = 0
    answer = proper

    def count(handler, content):
        nonlocal most
        names = [thread for thread in threading.enumerate() if "_work" in thread.name]
        most = max(most, len(names))
        answer(handler, content)

    server.choose = lambda path: count
    assert download([Remote(str(n), server.url(str(n))) for n in range(200)], tmp_path, "test", at_once=4) == []
    assert 1 <= most <= 4
