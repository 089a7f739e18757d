"""How fast many files come, against curl, and what is left of them when servers misbehave.

    python -m benchmarks.download           2,000 files of 1 MB from one server on loopback: our rate and curl's
    python -m benchmarks.download faults    200 files for each fault: what was lost, wrong, or fetched twice

Prints JSON last. curl flushes nothing to disk and we flush each file before it gets its name, so curl is timed twice:
alone, and with the `sync` that brings its files as far as ours are. Runs alternate, and medians count.
"""

import hashlib
import json
import os
import random
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
from pathlib import Path

from pipeline import download as engine
from pipeline.download import Failure, Remote, download, wire
from tests.pipeline import faulty_server as faulty

FILES, BYTES, AT_ONCE, RUNS = 2000, 1_000_000, 8, 5
FAULTY_FILES, FAULTY_BYTES, FAULTY_SHARE, KILLS = 200, 300_000, 0.3, 20
IN_A_ROW = 2  # faults of one file: a third wrong answer in a row is rightly given up


def serve_fast(path: str) -> None:
    """Give every request the file at `path`, straight from the kernel; prints the port."""
    file = os.open(path, os.O_RDONLY)
    size = os.fstat(file).st_size
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "1"\r\nContent-Type: image/png\r\n\r\n'.encode()

    def answer(client: socket.socket) -> None:
        asked = b""
        while received := client.recv(1 << 16):
            asked += received
            while b"\r\n\r\n" in asked:
                asked = asked.partition(b"\r\n\r\n")[2]
                client.sendall(head, socket.MSG_MORE)
                sent = 0
                while sent < size:
                    sent += os.sendfile(client.fileno(), file, sent, size - sent)

    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listening.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()


@contextmanager
def fast_server(folder: Path) -> Iterator[int]:
    """The port of a server in a process of its own."""
    blob = folder / "blob"
    blob.write_bytes(random.Random(0).randbytes(BYTES))
    command = [sys.executable, "-m", "benchmarks.download", "serve", str(blob)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """A folder with nothing in it, and a disk with nothing left to write."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.sync()
    yield folder
    shutil.rmtree(folder)


def ours(port: int, folder: Path, digest: str | None) -> float:
    files = [Remote(f"{n}.png", f"http://127.0.0.1:{port}/{n}", BYTES, digest) for n in range(FILES)]
    with emptied(folder):
        started = time.perf_counter()
        failures = download(files, folder, "benchmark", AT_ONCE)
        took = time.perf_counter() - started
        assert not failures and len(list(folder.iterdir())) == FILES
    return took


def curl(port: int, folder: Path) -> tuple[float, float]:
    """Seconds without, and with a sync after it."""
    config = folder.with_suffix(".curl")
    config.write_text("".join(f"url=http://127.0.0.1:{port}/{n}\noutput={folder}/{n}.png\n" for n in range(FILES)))
    command = ["curl", "--silent", "--no-progress-meter", "--parallel", "--parallel-max", str(AT_ONCE), "-K", config]
    with emptied(folder):
        started = time.perf_counter()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        alone = time.perf_counter() - started
        os.sync()
        synced = time.perf_counter() - started
        assert len(list(folder.iterdir())) == FILES
    return alone, synced


def rates(folder: Path) -> dict[str, object]:
    seconds: dict[str, list[float]] = {"ours": [], "ours_with_sha256": [], "curl": [], "curl_and_sync": []}
    digest = "sha256:" + hashlib.sha256(random.Random(0).randbytes(BYTES)).hexdigest()
    with fast_server(folder) as port:
        for run in range(RUNS + 1):
            alone, synced = curl(port, folder / "files")
            took = {"ours": ours(port, folder / "files", None), "curl": alone, "curl_and_sync": synced}
            took["ours_with_sha256"] = ours(port, folder / "files", digest)
            for name, value in took.items():
                seconds[name] += [value] if run else []  # the first one warms the disk's cache
            print({name: round(value, 2) for name, value in took.items()}, flush=True)
    mb_per_s = {name: round(FILES * BYTES / 1e6 / statistics.median(took), 1) for name, took in seconds.items()}
    return {
        "files": FILES,
        "bytes": BYTES,
        "at_once": AT_ONCE,
        "cores": os.cpu_count(),
        "mb_per_s": mb_per_s,
        "ratio_to_curl": round(mb_per_s["ours"] / mb_per_s["curl"], 3),
        "ratio_to_curl_and_sync": round(mb_per_s["ours"] / mb_per_s["curl_and_sync"], 3),
        "seconds": {name: [round(value, 2) for value in took] for name, took in seconds.items()},
    }


def some_fault(name: str, random_: random.Random) -> faulty.Fault:
    somewhere = random_.randrange(FAULTY_BYTES)
    makers = {
        "dropped": lambda: faulty.drop(somewhere),
        "503_retry_after": lambda: faulty.busy(503, "1"),
        "429_retry_after": lambda: faulty.busy(429, "1"),
        "stalled": lambda: faulty.stall(somewhere),
        "wrong_length": lambda: faulty.cut,
        "wrong_bytes": lambda: faulty.wrong,
        "html_with_200": lambda: faulty.html(),
        "redirect_loop": lambda: faulty.circle,
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


def contents() -> dict[str, bytes]:
    return {str(n): random.Random(n).randbytes(FAULTY_BYTES) for n in range(FAULTY_FILES)}


def listed(server: faulty.Server, files: dict[str, bytes], with_digest: bool) -> list[Remote]:
    return [
        Remote(path, server.url(path), len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
        if with_digest
        else Remote(path, server.url(path))
        for path, content in files.items()
    ]


def judged(folder: Path, server: faulty.Server, failures: list[Failure], hopeless: set[str]) -> dict[str, int]:
    """`hopeless` can never come: it is lost if it is not named among the failures."""
    named = {failure.remote.path for failure in failures}
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    completed = [asked.path for asked in server.asked if asked.completed]
    return {
        "lost": len(set(server.files) - there - (hopeless & named)),
        "wrong": sum((folder / path).read_bytes() != server.files[path] for path in there),
        "fetched_twice_though_whole": len(completed) - len(set(completed)),
    }


def with_fault(name: str, folder: Path) -> dict[str, int]:
    """30 % of answers are faulty; of redirects, all answers for 30 % of files, which then can never come."""
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
        failures = download(listed(server, files, with_digest=name != "changed"), folder, name, AT_ONCE)
        return judged(folder, server, failures, hopeless) | {"faults_met": met}


def with_kills(folder: Path) -> dict[str, int]:
    """The process is killed (-9) at random moments, and run again after each."""
    random_ = random.Random(0)
    files = contents()
    twice = 0
    with faulty.serving(files) as server, emptied(folder):
        server.bytes_per_s = 1e6  # a connection
        listing = folder.with_suffix(".json")
        rows = [[r.path, r.url, r.bytes, r.digest] for r in listed(server, files, with_digest=True)]
        listing.write_text(json.dumps(rows))
        command = [sys.executable, "-m", "benchmarks.download", "bring", str(listing), str(folder)]
        for run in range(KILLS + 1):
            before, whole = len(server.asked), {path for path in files if (folder / path).exists()}
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                if run < KILLS:
                    while len(server.asked) == before and process.poll() is None:
                        time.sleep(0.005)
                    time.sleep(random_.uniform(0, 0.5))
                    process.send_signal(signal.SIGKILL)
                else:
                    server.bytes_per_s = None
            twice += len(whole & {asked.path for asked in server.asked[before:]})
        result = judged(folder, server, [], set())
        resumed = sum(asked.range is not None for asked in server.asked)
    return result | {"fetched_twice_though_whole": twice, "faults_met": KILLS, "resumed": resumed}


def bring(listing: Path, folder: Path) -> None:
    """What is killed."""
    engine.NOTE_FROM = 1
    wire._BUFFER = 10_000
    failures = download([Remote(*row) for row in json.loads(listing.read_text())], folder, "killed", AT_ONCE)
    sys.exit(bool(failures))


def fault_table(folder: Path) -> dict[str, object]:
    engine.BACK_OFF_S, engine.READ_TIMEOUT_S = 0.05, 1.0  # on loopback nobody need be patient
    engine.NOTE_FROM = 1
    table: dict[str, dict[str, int]] = {}
    for name in FAULTS:
        table[name] = with_fault(name, folder)
        print(name, table[name], flush=True)
    table["killed"] = with_kills(folder)
    return {"files": FAULTY_FILES, "bytes": FAULTY_BYTES, "share": FAULTY_SHARE, "faults": table}


def main() -> None:
    match sys.argv[1:]:
        case ["serve", path]:
            serve_fast(path)
        case ["bring", listing, folder]:
            bring(Path(listing), Path(folder))
        case arguments:
            with tempfile.TemporaryDirectory(dir=os.environ.get("FACEMASK_WORK")) as scratch:
                folder = Path(scratch)
                result = fault_table(folder / "files") if arguments == ["faults"] else rates(folder)
            print(json.dumps(result))


if __name__ == "__main__":
    main()
