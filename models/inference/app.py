"""`facemask app`: a page on 127.0.0.1 that puts a mask on the faces of an uploaded photo, or takes masks off.

Without a checkpoint both are drawn; masks that are copied from another photo are drawn in any case.

The page is made with Gradio and served by pipeline/report/local_page.py, which controls access to it. It produces what
`facemask apply` produces: a marked PNG of the photo's size. Photos and results are kept in a private folder
(models/inference/scratch_folder.py), and no request can read another file (models/inference/app_requests.py).
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from models.inference.app_batch import as_shown, paint_batch
from models.inference.app_layout import ANY_KIND, CSS, Fields, Results, example_file, lay_out
from models.inference.app_names import SCRIPT
from models.inference.app_requests import restrict_requests, scratch_file
from models.inference.scratch_folder import WRITING, scratch_folder
from models.params import Direction
from models.training.checkpoint_info import directions, read_info, refuse_new_faces
from pipeline.errors import FacemaskError
from pipeline.report.local_page import PageSettings, listening, print_at_end, serving, stop_signals
from pipeline.tools.draw_bare_faces import bare_task
from pipeline.tools.draw_masks import ANY_MASK, MaskChoice, draw_task, make_choice, read_reference
from pipeline.tools.paint_photos import Task, counted, paint_file
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
_Files = list[dict[str, Any]] | None


def app(folder: Path | None, port: int) -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP, then remove its photos.

    `folder` has the checkpoint, None: everything is drawn. Raises FacemaskError if there is no checkpoint in it, Gradio
    is not installed, or the port is in use.
    """
    with stop_signals() as stopped, listening(port) as listener, scratch_folder() as scratch:
        page = make_page(folder, scratch)
        with serving(page_app(page, scratch), listener, SETTINGS) as address:
            print(f"facemask: open {address} ; Ctrl-C ends it, and removes the photos", flush=True)
            stopped.wait()
    print_at_end("facemask: ended")


def make_page(folder: Path | None, scratch: Path) -> "gradio.Blocks":
    """The page, which keeps all files in `scratch`; `folder` has the checkpoint, None: everything is drawn.

    Sets GRADIO_TEMP_DIR, the only way to choose where Gradio keeps uploads and results: one page per process. Raises
    FacemaskError if there is no checkpoint in `folder`, or Gradio is not installed.
    """
    offer = _DRAWING if folder is None else _offer_of(folder)
    os.environ["GRADIO_TEMP_DIR"] = str(scratch)
    try:
        import gradio
    except ImportError as error:
        raise FacemaskError(
            f"app needs the package {error.name}: pip install -c constraints.txt -e '.[app]'"
        ) from error
    page = gradio.Blocks(title="facemask", analytics_enabled=False, delete_cache=(_MAX_AGE_S, _MAX_AGE_S))
    with page:
        fields, results = lay_out(list(offer.labels), offer.chooses, f"{offer.about} Nothing leaves this machine.")
        _connect(fields, results, folder, scratch)
    return page


@dataclass(frozen=True)
class _Offer:
    """What the page can do."""

    labels: tuple[str, ...]  # of _DIRECTIONS
    chooses: bool  # whether kind and colour of masks can be chosen
    about: str


_DRAWING = _Offer(
    tuple(_DIRECTIONS),
    True,
    "Without a model: masks are drawn, and where one is taken off, a likely lower face, not the person's own.",
)


def _offer_of(folder: Path) -> _Offer:
    """What the checkpoint in `folder` can do. Raises FacemaskError if there is none, or if it makes new faces."""
    info = read_info(folder)
    refuse_new_faces(folder, info)
    labels = tuple(label for label, direction in _DIRECTIONS.items() if direction in directions(info))
    model = f"{info.params['method']}, {info.params['image_px']} px, trained on {info.images_seen:,} images a domain"
    about = f"{folder}: {model}. Licence of its data: {info.data_licence.rstrip('.')}."
    return _Offer(labels, info.generator == "guided", about)


def _connect(fields: Fields, results: Results, folder: Path | None, scratch: Path) -> None:
    """Say what the page does when a field changes. The order of the functions is that of app_requests.FUNCTIONS."""
    import gradio

    def painted(photo: _File, label: str, kind: str, colour: str | None, like: _File) -> tuple[Any, Any, str]:
        with _as_message():
            task = _task(folder, label, _MaskFields(kind, colour, like), scratch)
            before, after, summary = _paint_uploaded(photo, task, scratch)
        shown = None if after is None else (before, after)
        return shown, gradio.DownloadButton(value=after, interactive=after is not None), summary

    def all_painted(photos: _Files, label: str, kind: str, colour: str | None, like: _File) -> tuple[Any, str]:
        with _as_message():
            task = _task(folder, label, _MaskFields(kind, colour, like), scratch)
            archive, summary = paint_batch([_uploaded_file(photo, scratch) for photo in photos or []], task, scratch)
        return gradio.DownloadButton(value=archive, interactive=archive is not None), summary

    options: dict[str, Any] = {
        "preprocess": False,  # Gradio would open the photo with every decoder of Pillow, before its path is checked
        "api_name": False,
    }
    changes = [fields.photo.change, fields.direction.change, fields.kind.change, fields.colour.submit]
    gradio.on(
        [*changes, fields.like.change],
        painted,
        [fields.photo, *fields.choices],
        [results.picture, results.download, results.summary],
        **options,
    )
    fields.paint_all.click(
        all_painted, [fields.photos, *fields.choices], [results.archive, results.archive_summary], **options
    )
    for name, button in fields.examples.items():
        button.click(partial(_example, name, scratch), [], [fields.photo], **options)


@contextlib.contextmanager
def _as_message() -> Iterator[None]:
    """Show a FacemaskError as a message on the page; hold the lock of the scratch folder meanwhile."""
    import gradio

    try:
        with WRITING:
            yield
    except FacemaskError as error:
        raise gradio.Error(str(error), print_exception=False) from error


def _example(name: str, scratch: Path) -> str:
    """A copy of an example in the scratch folder, as if it was uploaded."""
    with WRITING:
        return str(shutil.copyfile(example_file(name), Path(tempfile.mkdtemp(dir=scratch)) / name))


@dataclass(frozen=True)
class _MaskFields:
    """The page's choices of a mask, as a request has them."""

    kind: str
    colour: str | None
    like: _File


def _task(folder: Path | None, label: str, fields: _MaskFields, scratch: Path) -> Task:
    """The task that the page's choices ask for. Raises FacemaskError for choices that the page does not offer."""
    if label not in _DIRECTIONS:
        raise FacemaskError("choose to put a mask on, or to take it off")
    direction = _DIRECTIONS[label]
    if direction == "mask" and (folder is None or fields.like is not None):  # no generator copies a mask
        return draw_task(_choice(fields, scratch))
    if folder is None:
        return bare_task()
    from models.inference.apply import make_task  # only here: it imports torch, and drawing needs none

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
        css=CSS,
        head=SCRIPT,
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


def _paint_uploaded(photo: _File, task: Task, scratch: Path) -> tuple[str | None, str | None, str]:
    """Paint an uploaded photo; returns the photo as browsers show it, the result, if any, and a summary.

    Raises FacemaskError for a file outside `scratch`, and for one that is not an image.
    """
    if photo is None:
        return None, None, ""
    source = _uploaded_file(photo, scratch)
    out = Path(tempfile.mkdtemp(dir=scratch))
    outcome = paint_file(Photo(source, out / f"{source.stem}-{task.direction}.png", out / source.name), task)
    note = f" {outcome.note[0].upper()}{outcome.note[1:]}." if outcome.note else ""
    match outcome.state:
        case "painted":
            summary = f"{counted(outcome.faces, 'face')} painted.{note} The picture is marked as synthetic."
            return str(as_shown(source, out)), str(outcome.photo.painted), summary
        case "copied":
            why = _NOTHING_TO_DO[task.direction] if outcome.left else "No face was found in this photo."
            return None, None, note.strip() or why
        case _:
            raise FacemaskError(f"{source.name} cannot be read as an image: drop a JPEG, PNG or WebP")
