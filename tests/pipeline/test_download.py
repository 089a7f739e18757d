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
from dataclasses import replace
from pathlib import Path

import fsspec
import gdown
import pytest

from pipeline.errors import FacemaskError
from pipeline.sources.download import DownloadSettings, Failure, Remote, download
from pipeline.sources.download.downloader import THREAD_NAME
from pipeline.sources.download.fsspec_source import open_fsspec
from pipeline.sources.download.http_errors import retry_after_s
from pipeline.sources.download.http_source import make_client, open_http
from pipeline.sources.download.progress import DownloadProgress
from pipeline.sources.download.response import TransientError
from pipeline.storage.files import locked
from tests.pipeline.faulty_server import (
    busy,
    busy_until,
    chunked,
    drop,
    drop_and_change,
    html,
    redirect_loop,
    serve,
    serving,
    stall,
    status,
    wrong_bytes,
    wrong_length,
)
from tests.pipeline.test_error_pages import QUOTA

SIZE = 300_000
CONTENT = random.Random(0).randbytes(SIZE)
OTHER = random.Random(1).randbytes(SIZE)
QUICK = DownloadSettings(back_off_s=0.001, resume_info_from_bytes=1)
# A loaded machine may exceed this time-out without any fault: then the request is repeated, as often as it takes.
SHORT_TIMEOUT = replace(QUICK, read_timeout_s=0.3, tries=10_000, tries_without_progress=10_000)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with serving({"a": CONTENT}) as serving_:
        yield serving_


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def get(files, folder, at_once=8, settings=QUICK):
    return download(files, folder, "test", at_once, settings)


def get_a(server, folder, digest=None, size=None, settings=QUICK):
    """Download the server's file `a`."""
    return get([Remote("a", server.url("a"), size, digest)], folder, settings=settings)


def hidden(folder):
    return sorted(path.name for path in folder.rglob(".*"))


def assert_complete(folder, content=CONTENT):
    assert (folder / "a").read_bytes() == content
    assert hidden(folder) == []


def put_partial(folder, server, content, validator=None, total=SIZE):
    """Write what a killed download leaves."""
    etag = f'"{hashlib.md5(CONTENT).hexdigest()}"'
    folder.mkdir(exist_ok=True)
    (folder / ".a.part").write_bytes(content)
    info = {"url": server.url("a"), "validator": validator or etag, "total": total}
    (folder / ".a.part.json").write_text(json.dumps(info))


def test_files_are_written_to_their_folders(tmp_path):
    files = {f"{n % 3}/{n}.bin": random.Random(n).randbytes(n * 1000) for n in range(30)}
    with serving(files) as server:
        assert get([Remote(path, server.url(path)) for path in files], tmp_path) == []
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == set(files)
    assert all((tmp_path / path).read_bytes() == content for path, content in files.items())


def test_existing_files_are_not_requested_and_nothing_is_printed(server, tmp_path, capsys):
    get_a(server, tmp_path)
    capsys.readouterr()
    get_a(server, tmp_path)
    assert len(server.requests) == 1
    assert capsys.readouterr().out == ""


def test_last_progress_line_counts_everything(server, tmp_path, capsys):
    files = [Remote("a", server.url("a"), SIZE), Remote("b", server.url("missing"), 100)]
    download(files, tmp_path, "faces")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("faces: 1 of 2 files, 0.3 of 0.3 MB, ") and last.endswith(", 1 failed")


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", "a//b", "", "a/", ".", "a/./b"])
def test_path_outside_the_folder_is_refused(tmp_path, path):
    with pytest.raises(ValueError, match="leaves the target folder"):
        get([Remote(path, "memory://x")], tmp_path)


def test_one_path_with_two_urls_is_refused(tmp_path):
    with pytest.raises(ValueError, match="listed twice"):
        get([Remote("a", "memory://x"), Remote("a", "memory://y")], tmp_path)


@pytest.mark.parametrize("digest", ["crc:12", "md5:12", "sha256:", ""])
def test_invalid_digest_is_refused(tmp_path, digest):
    with pytest.raises(ValueError, match="is not a digest"):
        get([Remote("a", "memory://x", digest=digest)], tmp_path)


def test_dropped_response_is_resumed_where_it_ended(server, tmp_path):
    server.script["a"] = [drop(200_000)]
    assert get_a(server, tmp_path, sha256(CONTENT), SIZE) == []
    assert_complete(tmp_path)
    first, second = server.requests
    assert second.range == "bytes=200000-" and second.if_range and second.status == 206
    assert first.sent + second.sent == SIZE


def test_requests_go_through_the_proxy_of_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url(""))
    assert get([Remote("a", "http://files.invalid/a", SIZE, sha256(CONTENT))], tmp_path) == []
    assert_complete(tmp_path)
    assert [request.host for request in server.requests] == ["files.invalid"]


def test_no_proxy_is_honoured(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get_a(server, tmp_path) == []


def test_a_proxy_that_cannot_be_reached_is_named(tmp_path, monkeypatch):
    proxy = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("http_proxy", proxy.replace("://", "://anna:secret@"))
    (failure,) = get([Remote("a", "http://files.invalid/a")], tmp_path)
    assert failure.reason.startswith(f"the proxy {proxy}, or files.invalid through it, cannot be reached (")


def test_without_the_proxy_that_the_user_set_nothing_is_requested(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEMASK_UNUSABLE", "ALL_PROXY=socks5://proxy.de (why)")
    failures = get([Remote(str(n), server.url(str(n))) for n in range(20)], tmp_path)
    assert {failure.reason for failure in failures} == {
        "ALL_PROXY=socks5://proxy.de (why) cannot be used: set another, or unset it"
    }
    assert server.requests == []


def test_connections_are_reused(server, tmp_path):
    server.files |= {str(n): b"x" for n in range(50)}
    assert get([Remote(str(n), server.url(str(n))) for n in range(50)], tmp_path, at_once=2) == []
    assert 1 <= server.connections <= 2


def test_partial_file_of_an_earlier_run_is_resumed(server, tmp_path):
    put_partial(tmp_path, server, CONTENT[:123_456])
    assert get_a(server, tmp_path, sha256(CONTENT)) == []
    assert_complete(tmp_path)
    assert [request.sent for request in server.requests] == [SIZE - 123_456]


def test_complete_partial_file_of_an_earlier_run_is_not_requested(server, tmp_path):
    put_partial(tmp_path, server, CONTENT)
    assert get_a(server, tmp_path, sha256(CONTENT)) == []
    assert_complete(tmp_path)
    assert server.requests == []


def test_partial_file_of_another_url_is_discarded(server, tmp_path):
    put_partial(tmp_path, server, OTHER[:1000])
    info = json.loads((tmp_path / ".a.part.json").read_text())
    (tmp_path / ".a.part.json").write_text(json.dumps(info | {"url": "http://elsewhere/a"}))
    assert get_a(server, tmp_path) == []
    assert_complete(tmp_path)


def test_partial_file_with_truncated_resume_information_is_discarded(server, tmp_path):
    (tmp_path / ".a.part").write_bytes(OTHER[:1000])
    (tmp_path / ".a.part.json").write_text('{"url": "ht')
    assert get_a(server, tmp_path) == []
    assert_complete(tmp_path)


def test_partial_file_longer_than_the_remote_file_is_discarded(server, tmp_path):
    put_partial(tmp_path, server, OTHER + OTHER, total=3 * SIZE)
    assert get_a(server, tmp_path) == []
    assert server.requests[0].status == 416
    assert_complete(tmp_path)


def test_server_without_ranges_sends_the_file_from_its_start(server, tmp_path):
    server.ranges = False
    server.script["a"] = [drop(200_000)]
    assert get_a(server, tmp_path, sha256(CONTENT)) == []
    assert server.requests[1].status == 200
    assert_complete(tmp_path)


def test_file_without_validator_and_digest_is_not_resumed(server, tmp_path):
    server.etags = False
    server.script["a"] = [drop_and_change(200_000, OTHER)]
    assert get_a(server, tmp_path) == []
    assert server.requests[1].range is None
    assert_complete(tmp_path, OTHER)


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_file_that_changes_between_two_requests_is_restarted(server, tmp_path, honours_if_range):
    server.honours_if_range = honours_if_range
    server.script["a"] = [drop_and_change(200_000, OTHER)]
    assert get_a(server, tmp_path) == []
    assert_complete(tmp_path, OTHER)


TRANSIENT = [busy(503, "0"), busy(429, "0"), status(500), wrong_bytes, wrong_length, html()]


@pytest.mark.parametrize("fault", TRANSIENT)
def test_transient_fault_ends_with_the_correct_file(server, tmp_path, fault):
    server.script["a"] = [fault, fault]
    assert get_a(server, tmp_path, sha256(CONTENT), SIZE) == []
    assert_complete(tmp_path)
    assert sum(request.completed for request in server.requests) == 1


@pytest.mark.parametrize("after", [0, 150_000])
def test_stalled_connection_is_dropped_and_the_file_completed(server, tmp_path, after):
    server.script["a"] = [stall(after), stall(after)]
    assert get_a(server, tmp_path, sha256(CONTENT), SIZE, SHORT_TIMEOUT) == []
    assert_complete(tmp_path)
    assert len(server.requests) >= 3


def test_md5_is_verified(server, tmp_path):
    server.script["a"] = [wrong_bytes]
    assert get_a(server, tmp_path, "md5:" + hashlib.md5(CONTENT).hexdigest().upper()) == []
    assert_complete(tmp_path)


@pytest.mark.parametrize("digest", [sha256(CONTENT), None])
def test_response_without_a_length_is_read_to_its_end(server, tmp_path, digest):
    server.script["a"] = [chunked]
    assert get_a(server, tmp_path, digest) == []
    assert_complete(tmp_path)


def test_empty_file_is_downloaded(tmp_path):
    with serving({"a": b""}) as server:
        assert get_a(server, tmp_path) == []
    assert_complete(tmp_path, b"")


@pytest.mark.parametrize("fault", [busy(503, "1"), busy(429, "1")])
def test_request_is_not_repeated_before_retry_after(server, tmp_path, fault):
    server.script["a"] = [fault]
    assert get_a(server, tmp_path) == []
    first, second = server.requests
    assert second.at - first.at >= 1


def test_retry_after_may_be_a_date(server):
    server.script["a"] = [busy_until(200)]
    with (
        make_client(QUICK, 1) as client,
        pytest.raises(TransientError) as caught,
        open_http(client, server.url("a"), 0, None),
    ):
        pass
    assert 0 < caught.value.wait_s <= 200


def test_long_retry_after_is_a_failure_with_the_time_to_try_again(server, tmp_path):
    server.script["a"] = [busy(429, "86400")]
    before = time.time()
    (failure,) = get_a(server, tmp_path)
    days = {time.strftime("%Y-%m-%d", time.localtime(now + 86_400)) for now in (before, time.time())}
    assert "429" in failure.reason
    assert any(f"try again after {day}" in failure.reason for day in days)
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", [email.utils.formatdate(0, usegmt=True), "soon", ""])
def test_past_or_invalid_retry_after_means_no_wait(value):
    assert retry_after_s(value) == 0


@pytest.mark.parametrize("number", [400, 401, 403, 404, 410])
def test_client_error_is_not_retried(server, tmp_path, number):
    server.script["a"] = [status(number)]
    (failure,) = get_a(server, tmp_path)
    assert str(number) in failure.reason and len(server.requests) == 1
    assert hidden(tmp_path) == []


def test_redirect_loop_is_not_retried(server, tmp_path):
    server.choose = lambda path: redirect_loop
    (failure,) = get_a(server, tmp_path)
    assert "redirects in a loop" in failure.reason
    assert len(server.requests) == 11


def test_tries_without_progress_are_bounded(server, tmp_path):
    server.choose = lambda path: busy(503, "0")
    (failure,) = get_a(server, tmp_path)
    assert "503" in failure.reason and len(server.requests) == QUICK.tries_without_progress


def test_tries_with_progress_do_not_count_against_the_bound(server, tmp_path):
    server.script["a"] = [drop(20_000)] * 12
    assert get_a(server, tmp_path) == []
    assert_complete(tmp_path)


def test_file_with_wrong_digest_every_time_is_a_failure(server, tmp_path):
    (failure,) = get_a(server, tmp_path, sha256(OTHER))
    assert "sha256" in failure.reason and len(server.requests) == QUICK.tries_with_wrong_content
    assert hidden(tmp_path) == [] and not (tmp_path / "a").exists()


def test_file_with_wrong_length_every_time_is_a_failure(server, tmp_path):
    (failure,) = get_a(server, tmp_path, size=SIZE + 1)
    assert "expected 300,001" in failure.reason
    assert not (tmp_path / "a").exists()


def test_html_page_with_status_200_is_not_saved(server, tmp_path):
    server.choose = lambda path: html(type_="application/octet-stream")
    (failure,) = get_a(server, tmp_path)
    assert "web page" in failure.reason and not (tmp_path / "a").exists()


def test_host_is_given_up_after_several_quota_pages(server, tmp_path):
    server.files |= {str(n): b"x" for n in range(50)}
    server.choose = lambda path: html(QUOTA.encode())
    failures = get([Remote(str(n), server.url(str(n))) for n in range(50)], tmp_path, at_once=1)
    assert len(failures) == 50 and all("after 24 hours" in failure.reason for failure in failures)
    assert len(server.requests) == QUICK.host_failures


def test_html_page_is_saved_where_the_url_names_one(server, tmp_path):
    server.files["a.html"] = b"<!doctype html><p>x"
    assert get([Remote("a.html", server.url("a.html"))], tmp_path) == []


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_unreachable_host_is_given_up_for_all_its_files(tmp_path, monkeypatch):
    connects = []

    def refuse(address, *_, **__):
        connects.append(address)
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    files = [Remote(str(n), f"http://127.0.0.1:9/{n}") for n in range(3000)]
    failures = get(files, tmp_path, at_once=4)
    assert [failure.remote for failure in failures] == files
    assert all("cannot be reached" in failure.reason for failure in failures)
    # The threads that are under way when the host is given up may each finish the tries of their file.
    assert 0 < len(connects) <= (QUICK.host_failures + 4) * QUICK.tries_to_connect


def test_unreachable_host_does_not_affect_another_one(server, tmp_path):
    port = free_port()
    dead = [Remote(str(n), f"http://127.0.0.1:{port}/{n}") for n in range(20)]
    failures = get([*dead, Remote("a", server.url("a"))], tmp_path, at_once=2)
    assert len(failures) == 20
    assert (tmp_path / "a").exists()


def test_failures_are_returned_in_order_and_other_files_are_complete(server, tmp_path):
    server.files |= {str(n): bytes([n]) for n in range(20)}
    files = [Remote(str(n), server.url(str(n) if n % 5 else "none")) for n in range(20)]
    failures = get(files, tmp_path)
    assert [failure.remote.path for failure in failures] == ["0", "5", "10", "15"]
    assert all(isinstance(failure, Failure) for failure in failures)
    assert len(list(tmp_path.iterdir())) == 16


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_failing_disk_ends_the_download_with_one_error(server, tmp_path, monkeypatch, number):
    server.files |= {str(n): CONTENT for n in range(50)}

    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(FacemaskError, match="run the same command again: finished files are kept") as caught:
        get([Remote(str(n), server.url(str(n))) for n in range(50)], tmp_path, at_once=2)
    assert str(tmp_path) in str(caught.value)
    assert len(server.requests) <= 4


def test_second_download_to_the_same_folder_is_refused(server, tmp_path):
    with locked(tmp_path), pytest.raises(FacemaskError, match="another process is downloading"):
        get_a(server, tmp_path)


def test_interrupt_does_not_wait_for_a_stalled_server_and_keeps_the_received_bytes(server, tmp_path, monkeypatch):
    server.choose = lambda path: stall(100_000)

    def interrupt(progress):
        if progress.bytes_received == 100_000:
            patch.undo()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DownloadProgress, "report", interrupt)
        # A download that waited for its thread would not end: the server stalls until it is released below.
        patient = replace(QUICK, progress_every_s=0.05, shutdown_s=0.05, read_timeout_s=10_000.0)
        with pytest.raises(KeyboardInterrupt):
            get_a(server, tmp_path, settings=patient)
    server.release_stalled.set()
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_NAME):
            thread.join()
    server.choose = lambda path: None
    assert get_a(server, tmp_path) == []
    assert server.requests[-1].range == "bytes=100000-"
    assert_complete(tmp_path)


PROGRAM = """
import json, sys
from pathlib import Path
from pipeline.sources.download import DownloadSettings, Remote, download
settings = DownloadSettings(back_off_s=0.01, resume_info_from_bytes=1)
files = [Remote(*row) for row in json.loads(sys.argv[1])]
sys.exit(bool(download(files, Path(sys.argv[2]), "killed", 3, settings)))
"""


def test_killed_downloads_are_resumed_and_finished_files_are_not_requested_again(tmp_path):
    files = {str(n): random.Random(n).randbytes(200_000) for n in range(12)}
    folder = tmp_path / "to"
    with serving(files) as server:
        server.bytes_per_s = 4e5  # half a second for each file
        rows = json.dumps([(path, server.url(path), len(content), sha256(content)) for path, content in files.items()])
        command = [sys.executable, "-c", PROGRAM, rows, str(folder)]
        for end in ("killed", "killed", "killed", "done"):
            before, finished = len(server.requests), {path for path in files if (folder / path).exists()}
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            if end == "killed":
                while len(server.requests) == before or not list(folder.glob(".*.part.json")):
                    assert process.poll() is None
                    time.sleep(0.01)
                process.kill()
            else:
                server.bytes_per_s = None
            assert process.wait() == (-signal.SIGKILL if end == "killed" else 0)
            assert not finished & {request.path for request in server.requests[before:]}
            assert all((folder / path).read_bytes() == files[path] for path in files if (folder / path).exists())
        assert any(request.range for request in server.requests)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_other_schemes_are_opened_with_fsspec(tmp_path):
    with fsspec.open("memory://bucket/a", "wb") as file:
        file.write(CONTENT)
    assert get([Remote("a", "memory://bucket/a", SIZE, sha256(CONTENT))], tmp_path) == []
    assert_complete(tmp_path)


def test_local_path_is_resumed(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "to"
    source.write_bytes(CONTENT)
    folder.mkdir()
    with open_fsspec(str(source), 0, None) as response:
        validator = response.info.validator
    # Bytes that differ from the source show that they were not read again.
    (folder / ".a.part").write_bytes(OTHER[:1000])
    (folder / ".a.part.json").write_text(json.dumps({"url": str(source), "validator": validator, "total": SIZE}))
    assert get([Remote("a", str(source))], folder) == []
    assert_complete(folder, OTHER[:1000] + CONTENT[1000:])


def test_local_path_that_changed_is_restarted(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "to"
    source.write_bytes(CONTENT)
    folder.mkdir()
    (folder / ".a.part").write_bytes(OTHER[:1000])
    (folder / ".a.part.json").write_text(json.dumps({"url": str(source), "validator": "old", "total": SIZE}))
    assert get([Remote("a", str(source))], folder) == []
    assert_complete(folder)


@pytest.mark.parametrize("url", ["memory://bucket/none", "nosuchscheme://x/y", "drive"])
def test_url_without_a_file_is_a_failure(tmp_path, url):
    (failure,) = get([Remote("a", url)], tmp_path)
    assert "no such file" in failure.reason or "cannot be opened" in failure.reason


@pytest.mark.parametrize("url", ["http://[bad/x", "http://", "http://a b/", "http://" + "a" * 70 + ".invalid/"])
def test_invalid_url_is_a_failure(tmp_path, url):
    (failure,) = get([Remote("a", url)], tmp_path)
    assert "not a valid URL" in failure.reason or "cannot be reached" in failure.reason


def script_gdown(monkeypatch, *steps):
    """Replace gdown.download: each call runs one step. Returns the arguments of the calls."""
    calls, left = [], list(steps)

    def fake(**arguments):
        calls.append(arguments)
        return left.pop(0)(arguments)

    monkeypatch.setattr(gdown, "download", fake)
    return calls


def writes(content):
    def step(arguments):
        arguments["progress"](len(content), len(content))
        with Path(arguments["output"]).open("wb") as file:
            file.write(content)

    return step


def raises(error):
    def step(arguments):
        raise error

    return step


def get_from_drive(folder, **known):
    return get([Remote("a", "drive:ID", **known)], folder)


def test_drive_file_is_downloaded_with_gdown(tmp_path, monkeypatch):
    calls = script_gdown(monkeypatch, writes(CONTENT))
    assert get_from_drive(tmp_path, bytes=SIZE, digest=sha256(CONTENT)) == []
    assert_complete(tmp_path)
    assert calls[0]["id"] == "ID" and calls[0]["resume"] and calls[0]["quiet"]


def test_drive_is_given_up_after_several_quota_errors(tmp_path, monkeypatch):
    text = "Failed to retrieve file url:\n\n\tToo many users have viewed or downloaded\n\tthis file recently."
    calls = script_gdown(monkeypatch, *[raises(gdown.FileURLRetrievalError(text))] * 30)
    failures = get([Remote(str(n), f"drive:{n}") for n in range(30)], tmp_path, at_once=1)
    assert len(failures) == 30 and all("after 24 hours" in failure.reason for failure in failures)
    assert len(calls) == QUICK.host_failures


def test_interrupted_drive_download_is_retried(tmp_path, monkeypatch):
    script_gdown(monkeypatch, raises(gdown.DownloadError("incomplete")), writes(CONTENT))
    assert get_from_drive(tmp_path) == []
    assert_complete(tmp_path)


def test_drive_status_404_is_a_failure_that_names_it(tmp_path, monkeypatch):
    import requests

    answer = requests.Response()
    answer.status_code, answer.reason, answer.url = 404, "Not Found", "https://drive.google.com/uc"
    answer._content = b"gone"
    calls = script_gdown(monkeypatch, raises(requests.HTTPError(response=answer)))
    (failure,) = get_from_drive(tmp_path)
    assert failure.reason == "drive.google.com answers 404 Not Found" and len(calls) == 1


def test_drive_file_with_wrong_bytes_is_restarted(tmp_path, monkeypatch):
    script_gdown(monkeypatch, writes(OTHER), writes(CONTENT))
    assert get_from_drive(tmp_path, digest=sha256(CONTENT)) == []
    assert_complete(tmp_path)


def test_drive_file_that_changed_loses_the_partial_file_of_gdown(tmp_path, monkeypatch):
    (tmp_path / ".a.drive12345678.part").write_bytes(b"old")
    info = {"url": "drive:ID", "validator": "ID", "total": 17}
    (tmp_path / ".a.part.json").write_text(json.dumps(info))
    script_gdown(monkeypatch, writes(CONTENT), writes(CONTENT))
    assert get_from_drive(tmp_path) == []
    assert_complete(tmp_path)


def test_number_of_threads_does_not_exceed_at_once(server, tmp_path):
    server.files |= {str(n): b"x" for n in range(200)}
    most = 0

    def count(handler, content):
        nonlocal most
        most = max(most, sum(thread.name.startswith(THREAD_NAME) for thread in threading.enumerate()))
        serve(handler, content)

    server.choose = lambda path: count
    assert get([Remote(str(n), server.url(str(n))) for n in range(200)], tmp_path, at_once=4) == []
    assert 1 <= most <= 4
