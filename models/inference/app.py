"""`facemask app`: a page on 127.0.0.1 that puts a mask on the faces of an uploaded photo, or takes masks off.

The masks of the model in the box, and those that are copied from another photo, are drawn.

The page is made with Gradio and served by pipeline/report/local_page.py, which controls access to it. It produces what
`facemask apply` produces: a marked PNG of the photo's size. Photos and results are kept in a private folder
(models/inference/scratch_folder.py), and no request can read another file (models/inference/app_requests.py).
"""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from models.inference.app_requests import restrict_requests, scratch_file
from models.inference.apply import make_task
from models.inference.scratch_folder import WRITING, scratch_folder
from models.params import Direction
from models.pretrained import PRETRAINED
from models.training import checkpoint
from pipeline.errors import FacemaskError
from pipeline.masks.catalogue import KINDS
from pipeline.report.local_page import PageSettings, listening, serving, stop_signals
from pipeline.tools.draw_masks import ANY_MASK, MaskChoice, draw_task, make_choice, read_reference
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
_File = dict[str, Any] | None  # an uploaded photo, which Gradio describes as {"path": ...}
ANY_KIND = "any"


def app(folder: Path, port: int) -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP, then remove its photos.

    `folder` has the checkpoint. Raises FacemaskError if there is none, Gradio is not installed, or the port is in use.
    """
    with stop_signals() as stopped, listening(port) as listener, scratch_folder() as scratch:
        page = make_page(folder, scratch)
        with serving(page_app(page, scratch), listener, SETTINGS) as address:
            print(f"facemask: open {address} ; Ctrl-C ends it, and removes the photos", flush=True)
            stopped.wait()
    with contextlib.suppress(OSError):  # SIGHUP: the terminal is gone
        print("\nfacemask: ended", flush=True)


def make_page(folder: Path, scratch: Path) -> "gradio.Blocks":
    """The page, which keeps all files in `scratch`; `folder` has the checkpoint.

    Sets GRADIO_TEMP_DIR, the only way to choose where Gradio keeps uploads and results: one page per process. Raises
    FacemaskError if there is no checkpoint in `folder`, or Gradio is not installed.
    """
    about = _about(folder)
    os.environ["GRADIO_TEMP_DIR"] = str(scratch)
    try:
        import gradio
    except ImportError as error:
        raise FacemaskError(
            f"app needs the package {error.name}: pip install -c constraints.txt -e '.[app]'"
        ) from error

    def painted(photo: _File, label: str, kind: str, colour: str | None, like: _File) -> tuple[str | None, str]:
        try:
            with WRITING:
                return _paint_uploaded(photo, _task(folder, label, _MaskFields(kind, colour, like), scratch), scratch)
        except FacemaskError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    page = gradio.Blocks(title="facemask", analytics_enabled=False, delete_cache=(_MAX_AGE_S, _MAX_AGE_S))
    with page:
        gradio.Markdown("# facemask\nDrop a photo, of any size and with any number of faces.")
        labels = list(_DIRECTIONS)
        direction = gradio.Radio(labels, value=labels[0], show_label=False, container=False)
        kind, colour, like = _mask_fields(folder)
        with gradio.Row():
            photo = gradio.Image(label="Photo", type="filepath", image_mode=None, buttons=[])
            result = gradio.Image(
                label="Result", type="filepath", interactive=False, buttons=["download", "fullscreen"]
            )
        summary = gradio.Markdown()
        gradio.Markdown(about)
        gradio.on(
            [photo.change, direction.change, kind.change, colour.submit, like.change],
            painted,
            [photo, direction, kind, colour, like],
            [result, summary],
            preprocess=False,  # Gradio would open the photo with every decoder of Pillow, before its path is checked
            api_name=False,
        )
    return page


def _mask_fields(folder: Path) -> "tuple[gradio.Dropdown, gradio.Textbox, gradio.Image]":
    """The choices of a mask: its kind, its colour and a photo of somebody who wears one.

    The paper's generator paints what it has learned: kind and colour are hidden there.
    """
    import gradio

    chooses = checkpoint.read_info(folder).generator == "guided"
    with gradio.Row():
        kind = gradio.Dropdown([ANY_KIND, *KINDS], value=ANY_KIND, label="Kind of mask", visible=chooses)
        hint = "#1f6feb, navy, ... and Enter; empty: the kind's own"
        colour = gradio.Textbox(label="Colour", placeholder=hint, max_lines=1, visible=chooses)
    with gradio.Accordion("Copy the mask of another photo", open=False):
        like = gradio.Image(label="Photo of somebody who wears a mask", type="filepath", image_mode=None, buttons=[])
    return kind, colour, like


@dataclass(frozen=True)
class _MaskFields:
    """The page's choices of a mask, as a request has them."""

    kind: str
    colour: str | None
    like: _File


def _task(folder: Path, label: str, fields: _MaskFields, scratch: Path) -> Task:
    """The task that the page's choices ask for. Raises FacemaskError for choices that the page does not offer."""
    if label not in _DIRECTIONS:
        raise FacemaskError("choose to put a mask on, or to take it off")
    direction = _DIRECTIONS[label]
    if direction == "mask" and (folder == PRETRAINED or fields.like is not None):  # no generator copies a mask
        return draw_task(_choice(fields, scratch))
    return make_task(folder, direction, _choice(fields, scratch) if direction == "mask" else ANY_MASK)


def _choice(fields: _MaskFields, scratch: Path) -> MaskChoice:
    """The mask that is asked for. Raises FacemaskError for an unknown one, and for a photo outside `scratch`."""
    kind = None if fields.kind == ANY_KIND else fields.kind
    colour = (fields.colour or "").strip() or None
    if fields.like is None:
        return make_choice(kind, colour, None, None)
    if kind or colour:
        raise FacemaskError("the other photo gives kind and colour: remove it, or choose any kind and no colour")
    return MaskChoice(like=read_reference(_uploaded_file(fields.like, scratch), "the mask to copy"))


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


def _uploaded_file(photo: dict[str, Any], scratch: Path) -> Path:
    """The file of an uploaded photo. Raises FacemaskError for one outside `scratch`."""
    if (source := scratch_file(photo.get("path"), scratch)) is None:
        raise FacemaskError("this photo is no longer on the page: drop it again")
    return source


def _paint_uploaded(photo: _File, task: Task, scratch: Path) -> tuple[str | None, str]:
    """Paint an uploaded photo; returns the file, if any, and a summary.

    Raises FacemaskError for a file outside `scratch`, and for one that is not an image.
    """
    if photo is None:
        return None, ""
    source = _uploaded_file(photo, scratch)
    out = Path(tempfile.mkdtemp(dir=scratch))
    outcome = paint_file(Photo(source, out / f"{source.stem}-{task.direction}.png", out / source.name), task)
    match outcome.state:
        case "painted":
            faces = "1 face" if outcome.faces == 1 else f"{outcome.faces} faces"
            note = f" {outcome.note[0].upper()}{outcome.note[1:]}." if outcome.note else ""
            return str(outcome.photo.painted), f"{faces} painted.{note} The picture is marked as synthetic."
        case "copied":
            return None, _NOTHING_TO_DO[task.direction] if outcome.left else "No face was found in this photo."
        case _:
            raise FacemaskError(f"{source.name} cannot be read as an image: drop a JPEG, PNG or WebP")


def _about(folder: Path) -> str:
    """The line about the checkpoint and its licence."""
    info = checkpoint.read_info(folder)
    model = f"{info.params['method']}, {info.params['image_px']} px, trained on {info.images_seen:,} images a domain"
    return f"{folder}: {model}. Licence of its data: {info.data_licence.rstrip('.')}. Nothing leaves this machine."
