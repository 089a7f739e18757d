"""What Prefect and DVC cost together, and whether a kill at any moment costs a run more than time.

    python -m benchmarks.orchestration kills      kill -9 of flow, stage and worker at 20 random moments, then run again
    python -m benchmarks.orchestration nothing    `dvc repro` with nothing to do, and `dvc status`, at 200 archives
    python -m benchmarks.orchestration overhead   the whole pipeline by `facemask run` against a bare `dvc repro`

Each in its own workspace with its own server, on the embedded sample. Prints JSON last.
"""

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from flows.demo import make_repository, refresh
from flows.local_server.server import api_url, free_port
from flows.processes.dvc_runner import program_env
from flows.project import CODE as ROOT

KILLS, SEED = 20, 1
MADE = (
    *("data/raw", "data/measured", "data/manifest.parquet", "data/train", "data/start"),
    *("checkpoints", "reports", "registry", "dvc.lock"),
)
TINY = {
    "fetch": {"sample": {"faces": 60, "image_px": 192, "seed": 7}},
    "pack": {"load_px": 72},
    "train": {
        "image_px": 64,
        "images_per_domain": 64,
        "save_every_images": 8,
        "width": 8,
        "blocks": 2,
        "discriminator_width": 8,
    },
}
TARGETS = {  # parts of the command line of each target
    "flow": ("prefect.flow_engine", "prefect.engine", "flow-run execute"),
    "stage": ("-m pipeline", "-m models"),
    "worker": ("worker start",),
}


def make_workspace(folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> Path:
    """A new workspace: the demo's, with other parameters."""
    folder.mkdir()
    refresh(ROOT, folder)
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for block, values in changes.items():
        params[block] |= values
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    make_repository(folder)
    return folder


def clean_env() -> dict[str, str]:
    """Without the user's own Prefect and workspace settings."""
    return program_env(
        {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "FACEMASK_"))}
    )


def timed(workspace: Path, *command: str) -> float:
    """Seconds that a Python module's command takes; its failure ends the benchmark."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=workspace,
        env=clean_env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return time.perf_counter() - started


def forget(workspace: Path) -> None:
    """Back to an untouched clone: no outputs, no half-done work, no cache."""
    for name in MADE:
        path = workspace / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in [*(workspace / ".dvc").iterdir(), *(workspace / "work").glob("*")]:
        if path.name in ("config", ".gitignore") or path.name.startswith("prefect") or path.suffix == ".lock":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def digests(workspace: Path) -> dict[str, str]:
    """The digest of every output, from dvc.lock."""
    stages = yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


@contextmanager
def up(workspace: Path, log: Path) -> Iterator[dict[str, str]]:
    """`facemask up` there; yields the environment of its clients."""
    port = free_port()
    command = [sys.executable, "-m", "flows.cli", "up", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=workspace, env=clean_env(), stdout=output, stderr=output)
    try:
        while "facemask: ready" not in log.read_text():
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        password = (workspace / "work" / "prefect-password").read_text().strip()
        yield {**clean_env(), "PREFECT_API_URL": api_url(port), "PREFECT_API_AUTH_STRING": password}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def start_run(workspace: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the deployment and follow it; status 0 once it is Completed."""
    command = [sys.executable, "-m", "prefect", "deployment", "run", "curate-and-train/curate-and-train", "--watch"]
    return subprocess.Popen(command, cwd=workspace, env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run_to_the_end(workspace: Path, env: Mapping[str, str]) -> int:
    """Start runs until one is Completed. Returns how many it took: the slot of the killed one may still be taken."""
    for attempt in range(1, 11):
        if start_run(workspace, env).wait() == 0:
            return attempt
        time.sleep(1)
    sys.exit("ten runs in a row did not come to their end")


def pids_of(workspace: Path, words: tuple[str, ...]) -> list[int]:
    """Processes in the workspace whose command line has one of `words`, guards aside."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text().replace("\0", " ")
            here = (process / "cwd").readlink() == workspace
        except OSError:
            continue
        if here and "guard.py" not in line and "dvc" not in line and any(word in line for word in words):
            found.append(int(process.name))
    return found


def kill_one(workspace: Path, target: str, run: subprocess.Popen[str]) -> bool:
    """Kill -9 the target, as soon as there is one; False if the run ended before."""
    while run.poll() is None:
        for pid in pids_of(workspace, TARGETS[target]):
            os.kill(pid, signal.SIGKILL)
            return True
        time.sleep(0.02)
    return False


def kills(folder: Path) -> dict[str, object]:
    """Kill -9 a target at 20 random moments, run again, and compare the digests of all outputs."""
    workspace = make_workspace(folder / "w", TINY)
    random_ = random.Random(SEED)
    same, killed = 0, dict.fromkeys(TARGETS, 0)
    with up(workspace, folder / "up.log") as env:
        started = time.monotonic()
        run_to_the_end(workspace, env)
        took = time.monotonic() - started
        untouched = digests(workspace)
        print(f"untouched: {took:.0f} s, {len(untouched)} outputs", flush=True)
        for number in range(KILLS):
            target = list(TARGETS)[number % len(TARGETS)]
            forget(workspace)
            moment = random_.uniform(0, took)
            run = start_run(workspace, env)
            time.sleep(moment)
            killed[target] += kill_one(workspace, target, run)
            run.wait()
            runs = run_to_the_end(workspace, env)
            others = {path for path, digest in digests(workspace).items() if untouched.get(path) != digest}
            same += not others
            print(
                f"{number + 1}: {target} at {moment:.1f} s, then {runs} runs: {sorted(others) or 'the same'}",
                flush=True,
            )
    return {"kills": killed, "same_digests": same, "of": KILLS, "untouched_run_s": round(took, 1)}


def nothing(folder: Path) -> dict[str, object]:
    """Archives of two images each: DVC compares the time and size of each file, whatever the size."""
    faces = {"faces": 240, "image_px": 128, "seed": 7}
    workspace = make_workspace(folder / "w", TINY | {"fetch": {"sample": faces, "archive_images": 2}})
    timed(workspace, "dvc", "repro")
    archives = len(list((workspace / "data/raw").glob("*/*.zip")))
    repro = [timed(workspace, "dvc", "repro") for _ in range(5)]
    status = [timed(workspace, "dvc", "status") for _ in range(5)]
    run = [timed(workspace, "flows.cli", "run") for _ in range(3)]
    return {
        "archives": archives,
        "repro_s": round(statistics.median(repro), 2),
        "status_s": round(statistics.median(status), 2),
        "facemask_run_s": round(statistics.median(run), 2),
    }


def overhead(folder: Path) -> dict[str, object]:
    """The demo, trained for longer, so that a bare `dvc repro` takes five minutes or more on two cores.

    Prefect's database exists before; making it, once in a folder, is measured separately.
    """
    workspace = make_workspace(folder / "w", {"train": {"images_per_domain": 1300}})
    bare = timed(workspace, "dvc", "repro")
    print(f"dvc repro: {bare:.1f} s", flush=True)
    first, later = (timed(workspace, "flows.cli", "run") for _ in range(2))
    forget(workspace)
    prefect = timed(workspace, "flows.cli", "run")
    print(f"facemask run: {prefect:.1f} s", flush=True)
    return {
        "dvc_repro_s": round(bare, 1),
        "facemask_run_s": round(prefect, 1),
        "ratio": round(prefect / bare, 3),
        "database_made_s": round(first - later, 1),
    }


def main() -> None:
    parts = {"kills": kills, "nothing": nothing, "overhead": overhead}
    if len(sys.argv) != 2 or sys.argv[1] not in parts:
        sys.exit(f"usage: python -m benchmarks.orchestration {'|'.join(parts)}")
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(parts[sys.argv[1]](Path(scratch).resolve())))


if __name__ == "__main__":
    main()
