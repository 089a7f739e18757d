"""Speed of downloads beside curl, and their result when servers misbehave.

    python -m benchmarks.download           1,000 files of 1 MB from one server on loopback: speed and CPU time
    python -m benchmarks.download faults    200 files for each fault: how many were lost, wrong or downloaded twice

Prints JSON last. Speed is measured twice: on a line of 1 Gbit/s, which the server imitates, and without a limit. Runs
of ours and curl's alternate, and medians are printed. curl does not flush its files to disk, ours are flushed; so curl
is timed alone and with a `sync` after it. Its figures are null where curl is not installed.
"""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.sources.download import DownloadSettings, Failure, Remote, download
from tests.pipeline import faulty_server as faulty

FILES, BYTES, AT_ONCE, RUNS = 1000, 1_000_000, 8, 3
GIGABIT = 125e6  # bytes/s
FAULTY_FILES, FAULTY_BYTES, FAULTY_SHARE, KILLS = 200, 300_000, 0.3, 20
IN_A_ROW = 2  # faults of one file: after a third wrong answer in a row, giving it up is correct
SLICE = 1 << 16  # bytes sent at a time on a line with a limit
CATCH_UP_S = 0.02  # a late sender may exceed the limit for this long


class Line:
    """A network line that all connections share: at most `bytes_per_s` in total."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait_for(self, count: int) -> None:
        """Wait until `count` bytes may be sent."""
        with self._lock:
            now = time.monotonic()
            start = max(self._free_at, now - CATCH_UP_S)
            self._free_at = start + count / self.bytes_per_s
        time.sleep(max(0.0, start - now))


def serve_fast(path: str, bytes_per_s: float) -> None:
    """Answer every request with the file at `path`, using sendfile; prints the port. No limit where it is 0."""
    file = os.open(path, os.O_RDONLY)
    size = os.fstat(file).st_size
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "1"\r\nContent-Type: image/png\r\n\r\n'.encode()
    line = Line(bytes_per_s) if bytes_per_s else None

    def answer(client: socket.socket) -> None:
        received = b""
        while chunk := client.recv(1 << 16):
            received += chunk
            while b"\r\n\r\n" in received:
                received = received.partition(b"\r\n\r\n")[2]
                client.sendall(head, socket.MSG_MORE)
                sent = 0
                while sent < size:
                    count = min(SLICE, size - sent) if line else size - sent
                    if line:
                        line.wait_for(count)
                    sent += os.sendfile(client.fileno(), file, sent, count)

    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listening.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()


@contextmanager
def fast_server(folder: Path, bytes_per_s: float) -> Iterator[int]:
    """Run `serve_fast` in a process of its own; yields its port."""
    blob = folder / "blob"
    blob.write_bytes(random.Random(0).randbytes(BYTES))
    command = [sys.executable, "-m", "benchmarks.download", "serve", str(blob), str(bytes_per_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; everything written before is on disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.sync()
    yield folder
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Cost:
    """Elapsed and CPU time in seconds."""

    elapsed_s: float
    cpu_s: float


def cpu_s(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def ours(port: int, folder: Path, digest: str | None) -> Cost:
    files = [Remote(f"{n}.png", f"http://127.0.0.1:{port}/{n}", BYTES, digest) for n in range(FILES)]
    with emptied(folder):
        started, cpu_before = time.perf_counter(), cpu_s(resource.RUSAGE_SELF)
        failures = download(files, folder, "benchmark", AT_ONCE)
        cost = Cost(time.perf_counter() - started, cpu_s(resource.RUSAGE_SELF) - cpu_before)
        assert not failures and len(list(folder.iterdir())) == FILES
    return cost


def curl(port: int, folder: Path) -> dict[str, Cost]:
    """Return the cost without and with a sync after it; empty where curl is not installed."""
    if not shutil.which("curl"):
        return {}
    config = folder.with_suffix(".curl")
    config.write_text("".join(f"url=http://127.0.0.1:{port}/{n}\noutput={folder}/{n}.png\n" for n in range(FILES)))
    command = ["curl", "--silent", "--no-progress-meter", "--parallel", "--parallel-max", str(AT_ONCE), "-K", config]
    with emptied(folder):
        started, cpu_before = time.perf_counter(), cpu_s(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        elapsed_s, cpu = time.perf_counter() - started, cpu_s(resource.RUSAGE_CHILDREN) - cpu_before
        os.sync()
        synced_s = time.perf_counter() - started
        assert len(list(folder.iterdir())) == FILES
    return {"curl": Cost(elapsed_s, cpu), "curl_and_sync": Cost(synced_s, cpu)}


def speed(folder: Path, bytes_per_s: float) -> dict[str, object]:
    """Return MB/s, CPU seconds per GB, and the ratio of ours to curl's MB/s."""
    costs: dict[str, list[Cost]] = {}
    digest = "sha256:" + hashlib.sha256(random.Random(0).randbytes(BYTES)).hexdigest()
    with fast_server(folder, bytes_per_s) as port:
        for run in range(RUNS + 1):
            of_run = curl(port, folder / "files")
            of_run["ours"] = ours(port, folder / "files", None)
            of_run["ours_with_sha256"] = ours(port, folder / "files", digest)
            for name, cost in of_run.items():
                costs.setdefault(name, []).extend([cost] if run else [])  # the first run fills caches
    megabytes = FILES * BYTES / 1e6
    mb_per_s = {name: megabytes / statistics.median(cost.elapsed_s for cost in runs) for name, runs in costs.items()}
    cpu_s_per_gb = {
        name: statistics.median(cost.cpu_s for cost in runs) / megabytes * 1e3 for name, runs in costs.items()
    }

    def ratio(name: str, other: str) -> float | None:
        return round(mb_per_s[name] / mb_per_s[other], 3) if other in mb_per_s else None

    return {
        "mb_per_s": {name: round(value, 1) for name, value in mb_per_s.items()},
        "cpu_s_per_gb": {name: round(value, 2) for name, value in cpu_s_per_gb.items()},
        "ratio_to_curl": ratio("ours", "curl"),
        "ratio_to_curl_and_sync": ratio("ours", "curl_and_sync"),
        "sha256_ratio_to_curl": ratio("ours_with_sha256", "curl"),
        "seconds": {name: [round(cost.elapsed_s, 2) for cost in runs] for name, runs in costs.items()},
    }


def speeds(folder: Path) -> dict[str, object]:
    about = {"files": FILES, "bytes": BYTES, "at_once": AT_ONCE, "cores": os.cpu_count(), "runs": RUNS}
    return about | {"line_of_1_gbit_per_s": speed(folder, GIGABIT), "without_limit": speed(folder, 0.0)}


def some_fault(name: str, random_: random.Random) -> faulty.Fault:
    somewhere = random_.randrange(FAULTY_BYTES)
    makers = {
        "dropped": lambda: faulty.drop(somewhere),
        "503_retry_after": lambda: faulty.busy(503, "1"),
        "429_retry_after": lambda: faulty.busy(429, "1"),
        "stalled": lambda: faulty.stall(somewhere),
        "wrong_length": lambda: faulty.wrong_length,
        "wrong_bytes": lambda: faulty.wrong_bytes,
        "html_with_200": lambda: faulty.html(),
        "redirect_loop": lambda: faulty.redirect_loop,
        "changed": lambda: faulty.drop_and_change(somewhere, random_.randbytes(FAULTY_BYTES)),
    }
    return makers[name]()


FAULTS = (
    "dropped",
    "503_retry_after",
    "429_retry_after",
    "stalled",
    "wrong_length",
    "wrong_bytes",
    "html_with_200",
    "redirect_loop",
    "changed",
)


SETTINGS = DownloadSettings(back_off_s=0.05, read_timeout_s=1.0, resume_info_from_bytes=1)  # for loopback


def contents() -> dict[str, bytes]:
    return {str(n): random.Random(n).randbytes(FAULTY_BYTES) for n in range(FAULTY_FILES)}


def listed(server: faulty.Server, files: dict[str, bytes], with_digest: bool) -> list[Remote]:
    return [
        Remote(path, server.url(path), len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
        if with_digest
        else Remote(path, server.url(path))
        for path, content in files.items()
    ]


def outcome(folder: Path, server: faulty.Server, failures: list[Failure], hopeless: set[str]) -> dict[str, int]:
    """Return counts over all files. A `hopeless` file cannot be downloaded; it is lost unless it is a failure."""
    named = {failure.remote.path for failure in failures}
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    completed = [request.path for request in server.requests if request.completed]
    return {
        "lost": len(set(server.files) - there - (hopeless & named)),
        "wrong": sum((folder / path).read_bytes() != server.files[path] for path in there),
        "downloaded_again_though_complete": len(completed) - len(set(completed)),
    }


def with_fault(name: str, folder: Path) -> dict[str, int]:
    """Make 30 % of the answers faulty; for redirects, all answers for 30 % of the files, which are then hopeless."""
    random_ = random.Random(name)
    files = contents()
    hopeless = {path for path in files if random_.random() < FAULTY_SHARE} if name == "redirect_loop" else set()
    in_a_row: dict[str, int] = {}
    met = 0

    def choose(path: str) -> faulty.Fault | None:
        nonlocal met
        faults = in_a_row.get(path, 0)
        always = path in hopeless
        if always or (name != "redirect_loop" and faults < IN_A_ROW and random_.random() < FAULTY_SHARE):
            in_a_row[path] = faults + 1
            met += 1
            return some_fault(name, random_)
        in_a_row[path] = 0
        return None

    with faulty.serving(files) as server, emptied(folder):
        server.choose = choose
        failures = download(listed(server, files, with_digest=name != "changed"), folder, name, AT_ONCE, SETTINGS)
        return outcome(folder, server, failures, hopeless) | {"faults_met": met}


def with_kills(folder: Path) -> dict[str, int]:
    """Kill a downloading process (-9) at random moments, and run it again after each."""
    random_ = random.Random(0)
    files = contents()
    again = 0
    with faulty.serving(files) as server, emptied(folder):
        server.bytes_per_s = 1e6  # a connection
        listing = folder.with_suffix(".json")
        rows = [[r.path, r.url, r.bytes, r.digest] for r in listed(server, files, with_digest=True)]
        listing.write_text(json.dumps(rows))
        command = [sys.executable, "-m", "benchmarks.download", "killed", str(listing), str(folder)]
        for run in range(KILLS + 1):
            before, complete = len(server.requests), {path for path in files if (folder / path).exists()}
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                if run < KILLS:
                    while len(server.requests) == before and process.poll() is None:
                        time.sleep(0.005)
                    time.sleep(random_.uniform(0, 0.5))
                    process.send_signal(signal.SIGKILL)
                else:
                    server.bytes_per_s = None
            again += len(complete & {request.path for request in server.requests[before:]})
        result = outcome(folder, server, [], set())
        resumed = sum(request.range is not None for request in server.requests)
    return result | {"downloaded_again_though_complete": again, "faults_met": KILLS, "resumed": resumed}


def download_listing(listing: Path, folder: Path) -> None:
    """Download the files of a JSON list: the program that is killed."""
    files = [Remote(*row) for row in json.loads(listing.read_text())]
    failures = download(files, folder, "killed", AT_ONCE, DownloadSettings(resume_info_from_bytes=1))
    sys.exit(bool(failures))


def fault_table(folder: Path) -> dict[str, object]:
    table: dict[str, dict[str, int]] = {}
    for name in FAULTS:
        table[name] = with_fault(name, folder)
        print(name, table[name], flush=True)
    table["killed"] = with_kills(folder)
    return {"files": FAULTY_FILES, "bytes": FAULTY_BYTES, "share": FAULTY_SHARE, "faults": table}


def main() -> None:
    match sys.argv[1:]:
        case ["serve", path, bytes_per_s]:
            serve_fast(path, float(bytes_per_s))
        case ["killed", listing, folder]:
            download_listing(Path(listing), Path(folder))
        case arguments:
            with tempfile.TemporaryDirectory(dir=os.environ.get("FACEMASK_WORK")) as scratch:
                folder = Path(scratch)
                result = fault_table(folder / "files") if arguments == ["faults"] else speeds(folder)
            print(json.dumps(result))


if __name__ == "__main__":
    main()
