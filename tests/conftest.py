"""What the tests share: a small workspace made from the embedded sample, and the labelled faces if at hand."""

import io
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings
from PIL import Image

# A loaded machine is slow now and then: that is no failure of a property.
settings.register_profile("facemask", deadline=None)
settings.load_profile("facemask")

# A shell that runs this in the background has it ignore Ctrl-C, and so would all that the tests start and then stop.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
FACES = 24
GROUP_BOXES = ((60, 200, 256), (620, 60, 180))
"""Left, top and side of the faces of `group_photo`, px."""


@contextmanager
def inside(folder: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def demo_params() -> dict:
    """The demo's parameters, with a sample of FACES faces."""
    values = yaml.safe_load((ROOT / "flows/demo_params.yaml").read_text())
    values["fetch"]["sample"]["faces"] = FACES
    return values


def write_params(folder: Path, values: dict) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def put_socket(path: Path) -> None:
    """Make a socket. Its address is only the name: an address holds 107 bytes, fewer than pytest's paths may have."""
    with inside(path.parent), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


def fetch_here(name: str) -> None:
    """Run stage `fetch` for one source in the current folder."""
    from pipeline import params
    from pipeline.paths import Paths
    from pipeline.sources.config import load_source
    from pipeline.sources.fetch_params import FetchParams
    from pipeline.stages.fetch import fetch

    fetch(name, load_source(name), params.load("fetch", FetchParams), Paths())


def measure_here(name: str) -> None:
    """Run stage `measure` for one source in the current folder."""
    from pipeline import params
    from pipeline.curation.measure_params import MeasureParams
    from pipeline.paths import Paths
    from pipeline.stages.measure import measure

    measure(name, params.load("measure", MeasureParams), Paths())


def pack_here() -> None:
    """Run stage `pack` in the current folder."""
    from pipeline import params
    from pipeline.paths import Paths
    from pipeline.stages.pack import pack
    from pipeline.storage.pack_params import PackParams

    pack(params.load("pack", PackParams), Paths())


def curate_here() -> None:
    """Run stage `curate` in the current folder."""
    from pipeline import params
    from pipeline.curation.rules import CurateParams
    from pipeline.paths import Paths
    from pipeline.sources.config import load_sources
    from pipeline.stages.curate import curate

    curate(params.load("curate", CurateParams), load_sources(), Paths())


def report_here() -> None:
    """Run stage `report` in the current folder."""
    from pipeline import params
    from pipeline.curation.rules import CurateParams
    from pipeline.paths import Paths
    from pipeline.stages.report import report

    report(params.load("curate", CurateParams), Paths())


@pytest.fixture(scope="session")
def sample_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the sample has gone through fetch, measure, curate and pack. Read-only by custom."""
    folder = tmp_path_factory.mktemp("sample")
    write_params(folder, demo_params())
    with inside(folder):
        for name in ("ffhq", "maskedface"):
            fetch_here(name)
            measure_here(name)
        curate_here()
        pack_here()
    return folder


@pytest.fixture(scope="session")
def report_workspace(sample_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, after an evaluation of no model, and with its page. A copy each file's tests may change one of."""
    folder = tmp_path_factory.mktemp("report") / "w"
    shutil.copytree(sample_workspace, folder)
    (folder / "data/review.csv").write_text("image_id,review,note\n")
    evaluation = {
        "images_seen": 16,
        "mask": {"accepted": 0.875, "fid": 20.5},
        "unmask": {"still_masked": 0.25, "fid": 50.25},
    }
    (folder / "reports/evaluation.json").write_text(json.dumps(evaluation))
    for name in ("samples/grid.png", "training/progress.png"):
        (folder / "reports" / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(folder / "reports" / name)
    curves = folder / "reports/training/plots/metrics"
    curves.mkdir(parents=True)
    (curves / "cycle.tsv").write_text("step\tcycle\n4\t0.5\n8\t0.25\n")
    with inside(folder):
        report_here()
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright: a module's own, since its event loop counts as running in the process's
    main thread for as long as it is open, and `asyncio.run` of any later module would be refused."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not here: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def portraits() -> list[Image.Image]:
    """Six plain faces of the sample, RGB, 256 px."""
    from pipeline.synthetic.layout import SampleParams, sample_files

    files = sample_files("unmasked", SampleParams(faces=20, image_px=256, seed=3))
    plain = [file for file in files if file.kind == "unmasked" and not file.copy_of]
    return [Image.open(io.BytesIO(file.content)).convert("RGB") for file in plain[:6]]


@pytest.fixture(scope="session")
def group_photo(portraits: list[Image.Image]) -> Image.Image:
    """A photo with two plain faces, RGB, 900 x 600 px."""
    photo = Image.new("RGB", (900, 600), (96, 112, 128))
    for portrait, (left, top, side) in zip(portraits[1:3], GROUP_BOXES, strict=True):
        photo.paste(portrait.resize((side, side)), (left, top))
    return photo


@pytest.fixture
def fake_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is written if any program, of this or a child process, starts `gs`."""
    programs, witness = tmp_path / "programs", tmp_path / "gs was started"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\necho yes > '{witness}'\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # where Pillow notes what it has found
    return witness


@pytest.fixture(scope="session")
def shared_faces() -> Path:
    """The labelled real faces: data for development only, beside the project and never in it."""
    folder = ROOT.parent / "shared" / "faces"
    if not folder.is_dir():
        pytest.skip("../shared/faces is not here: the real labelled faces come only with the workplace")
    return folder
