"""What the tests share: a small workspace made from the embedded sample, and the labelled faces if at hand."""

import io
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@pytest.fixture(scope="session")
def sample_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the sample has gone through fetch, measure, curate and pack. Read-only by custom."""
    from pipeline.curate import curate
    from pipeline.fetch import fetch
    from pipeline.measure import measure
    from pipeline.pack import pack

    folder = tmp_path_factory.mktemp("sample")
    write_params(folder, demo_params())
    with inside(folder):
        for name in ("ffhq", "maskedface"):
            fetch(name)
            measure(name)
        curate()
        pack()
    return folder


@pytest.fixture(scope="session")
def portraits() -> list[Image.Image]:
    """Six plain faces of the sample, RGB, 256 px."""
    from pipeline.sample import SampleParams, sample_files

    files = sample_files("unmasked", SampleParams(faces=20, image_px=256, seed=3))
    plain = [file for file in files if file.kind == "plain" and not file.copy_of]
    return [Image.open(io.BytesIO(file.content)).convert("RGB") for file in plain[:6]]


@pytest.fixture(scope="session")
def shared_faces() -> Path:
    """The labelled real faces: data for development only, beside the project and never in it."""
    folder = ROOT.parent / "shared" / "faces"
    if not folder.is_dir():
        pytest.skip("../shared/faces is not here: the real labelled faces come only with the workplace")
    return folder
