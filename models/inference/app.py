"""`facemask app`: a page on 127.0.0.1 that puts a mask on the faces of an uploaded photo, or takes masks off.

The page is made with Gradio and served by pipeline/report/local_page.py, which controls access to it. It produces what
`facemask apply` produces: a marked PNG of the photo's size. Photos and results are kept in a private folder
(models/inference/scratch_folder.py), and no request can read another file (models/inference/app_requests.py).
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from models.inference.app_requests import restrict_requests, scratch_file
from models.inference.apply import make_task
from models.inference.scratch_folder import WRITING, scratch_folder
from models.params import Direction
from models.training import checkpoint
from pipeline.errors import FacemaskError
from pipeline.report.local_page import PageSettings, listening, serving, stop_signals
from pipeline.tools.paint_photos import Task, paint_file
from pipeline.tools.photos import Photo

if TYPE_CHECKING:
    import gradio

MAX_PHOTO_BYTES = 64 << 20
SETTINGS = PageSettings(
    max_body_bytes=MAX_PHOTO_BYTES + (1 << 20),  # a photo, and what the form adds to it
    content_security_policy="default-src 'self' data: blob: 'unsafe-inline'; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'self'; object-src 'none'",
)
_MAX_AGE_S = 3600  # of photos and results, after which Gradio removes them
_DIRECTIONS: dict[str, Direction] = {"Put a mask on": "mask", "Take the mask off": "unmask"}
_NOTHING_TO_DO: dict[Direction, str] = {
    "mask": "Each face in this photo is masked or covered already.",
    "unmask": "No face in this photo wears a mask.",
}
_FONTS = ["system-ui", "sans-serif"]  # Gradio's default fonts come from another server


def app(folder: Path, port: int) -> None:
    """Serve the page for the checkpoint in `folder` until Ctrl-C, SIGTERM or SIGHUP, then remove its photos.

    Raises FacemaskError if there is no checkpoint, Gradio is not installed, or the port is in use.
    """
    with stop_signals() as stopped, listening(port) as listener, scratch_folder() as scratch:
        page = make_page(folder, scratch)
        with serving(page_app(page, scratch), listener, SETTINGS) as address:
            print(f"facemask: open {address} ; Ctrl-C ends it, and removes the photos", flush=True)
            stopped.wait()
    with contextlib.suppress(OSError):  # SIGHUP: the terminal is gone
        print("\nfacemask: ended", flush=True)


def make_page(folder: Path, scratch: Path) -> "gradio.Blocks":
    """The page, which keeps all files in `scratch`.

    Sets GRADIO_TEMP_DIR, the only way to choose where Gradio keeps uploads and results: one page per process. Raises
    FacemaskError if there is no checkpoint in `folder`, or Gradio is not installed.
    """
    tasks = {label: make_task(folder, direction) for label, direction in _DIRECTIONS.items()}
    os.environ["GRADIO_TEMP_DIR"] = str(scratch)
    try:
        import gradio
    except ImportError as error:
        raise FacemaskError(
            f"app needs the package {error.name}: pip install -c constraints.txt -e '.[app]'"
        ) from error

    def painted(photo: dict[str, Any] | None, label: str) -> tuple[str | None, str]:
        try:
            if label not in tasks:
                raise FacemaskError("choose to put a mask on, or to take it off")
            with WRITING:
                return _paint_uploaded(photo, tasks[label], scratch)
        except FacemaskError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    page = gradio.Blocks(title="facemask", analytics_enabled=False, delete_cache=(_MAX_AGE_S, _MAX_AGE_S))
    with page:
        gradio.Markdown("# facemask\nDrop a photo, of any size and with any number of faces.")
        direction = gradio.Radio(list(_DIRECTIONS), value=next(iter(_DIRECTIONS)), show_label=False, container=False)
        with gradio.Row():
            photo = gradio.Image(label="Photo", type="filepath", image_mode=None, buttons=[])
            result = gradio.Image(
                label="Result", type="filepath", interactive=False, buttons=["download", "fullscreen"]
            )
        summary = gradio.Markdown()
        gradio.Markdown(_about(folder))
        gradio.on(
            [photo.change, direction.change],
            painted,
            [photo, direction],
            [result, summary],
            preprocess=False,  # Gradio would open the photo with every decoder of Pillow, before its path is checked
            api_name=False,
        )
    return page


def page_app(page: "gradio.Blocks", scratch: Path) -> ASGIApp:
    """The ASGI application of `page`, without the access control of pipeline/report/local_page.py."""
    import gradio
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gradio.mount_gradio_app(
        app,
        page,
        path="",
        ssr_mode=False,
        max_file_size=MAX_PHOTO_BYTES,
        theme=gradio.themes.Default(font=_FONTS, font_mono=["monospace"]),
        footer_links=[],
        run_history=False,
        mcp_server=False,
    )
    return restrict_requests(app, scratch)


def _paint_uploaded(photo: dict[str, Any] | None, task: Task, scratch: Path) -> tuple[str | None, str]:
    """Paint an uploaded photo, which Gradio describes as {"path": ...}; returns the file, if any, and a summary.

    Raises FacemaskError for a file outside `scratch`, and for one that is not an image.
    """
    if photo is None:
        return None, ""
    if (source := scratch_file(photo.get("path"), scratch)) is None:
        raise FacemaskError("this photo is no longer on the page: drop it again")
    out = Path(tempfile.mkdtemp(dir=scratch))
    outcome = paint_file(Photo(source, out / f"{source.stem}-{task.direction}.png", out / source.name), task)
    match outcome.state:
        case "painted":
            faces = "1 face" if outcome.faces == 1 else f"{outcome.faces} faces"
            return str(outcome.photo.painted), f"{faces} painted. The picture is marked as synthetic."
        case "copied":
            return None, _NOTHING_TO_DO[task.direction] if outcome.left else "No face was found in this photo."
        case _:
            raise FacemaskError(f"{source.name} cannot be read as an image: drop a JPEG, PNG or WebP")


def _about(folder: Path) -> str:
    """The line about the checkpoint and its licence."""
    info = checkpoint.read_info(folder)
    model = f"{info.params['method']}, {info.params['image_px']} px, trained on {info.images_seen:,} images a domain"
    return f"{folder}: {model}. Licence of its data: {info.data_licence.rstrip('.')}. Nothing leaves this machine."
