"""`facemask app`: a page on 127.0.0.1 where a photo is dropped and seen masked, or with its mask taken off.

The page is Gradio's, behind pipeline/report/local_page.py, which says who may use it. It works as `facemask apply` does: what
can be downloaded is a marked PNG of the photo's size.

Photos and results are in one folder of this start, readable by its owner alone, and removed when the page ends. No
request reads a file elsewhere: Gradio takes a path in a request for a file that it may open, so `own_files` refuses
each request that names a path outside this folder, and answers only the addresses that the page uses.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.inference.apply import Task, paint_file, task_of
from models.params import Direction
from models.training import checkpoint
from pipeline.errors import FacemaskError
from pipeline.report.local_page import Rules, listening, serving, stop_signals
from pipeline.tools.photos import Photo

if TYPE_CHECKING:
    import gradio

MAX_PHOTO_BYTES = 64 << 20
RULES = Rules(
    max_bytes=MAX_PHOTO_BYTES + (1 << 20),  # a photo, and what a form adds to it
    policy="default-src 'self' data: blob: 'unsafe-inline'; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'self'; object-src 'none'",
)
_SCRATCH = "facemask-app-"
_KEPT_S = 3600  # how long photos and what was made of them stay in the page's own folder
_DIRECTIONS: dict[str, Direction] = {"Put a mask on": "mask", "Take the mask off": "unmask"}
_FONTS = ["system-ui", "sans-serif"]  # Gradio's own would be asked of another address
_FILE = "/gradio_api/file="
# What the page asks of Gradio. The rest (proxies, saved pages, files of other addresses, ...) has no use here.
_USED = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static)/.+"
    r"|/gradio_api/(startup-events|upload|upload_progress|cancel|file=.+|queue/(join|data)|heartbeat/\w+)"
)


_PAINTING = threading.Lock()
"""Held while a photo is painted: the result would bring back the folder that is removed meanwhile."""


class UploadedPhoto(BaseModel):
    """A photo on the page: the path that its upload was answered with."""

    path: str


class PaintRequest(BaseModel):
    """What the page sends to have a photo painted."""

    data: tuple[UploadedPhoto | None, str]  # and one of _DIRECTIONS
    fn_index: int
    session_hash: str
    trigger_id: int | None = None


def app(folder: Path, port: int) -> None:
    """Serve the page for the checkpoint in `folder` until Ctrl-C, SIGTERM or SIGHUP, then remove its photos.

    Raises FacemaskError for no checkpoint, no Gradio, or a port in use.
    """
    with stop_signals() as stopped, listening(port) as listener, scratch_folder() as scratch:
        page = make_page(folder, scratch)
        with serving(page_app(page, scratch), listener, RULES) as address:
            print(f"facemask: open {address} ; Ctrl-C ends it, and removes the photos", flush=True)
            stopped.wait()
    with contextlib.suppress(OSError):  # the terminal may be gone, which is one of the ways to end
        print("\nfacemask: ended", flush=True)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder for photos, in the system's folder for temporary files; removed at the end.

    The end waits for the photo that is being painted. The owner holds a lock on the folder: what killed
    owners left behind, whose locks the system has released, is removed first.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder, lock = _locked_folder()
    try:
        yield folder
    finally:
        with _PAINTING:
            shutil.rmtree(folder)
        os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH)).resolve()
        with contextlib.suppress(FileNotFoundError):  # the sweep of another start took it before it was locked
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _sweep(temporary: Path) -> None:
    """Remove the folders of this user that no running page holds."""
    for folder in temporary.glob(f"{_SCRATCH}*"):
        try:
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # another start was faster
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its page is running
        finally:
            os.close(lock)


def make_page(folder: Path, scratch: Path) -> "gradio.Blocks":
    """The page, which keeps all files in `scratch`. Raises FacemaskError for no checkpoint, or no Gradio."""
    tasks = {words: task_of(folder, direction) for words, direction in _DIRECTIONS.items()}
    # Read as the page is made: where uploads go, and a copy of each result.
    os.environ["GRADIO_TEMP_DIR"] = str(scratch)
    try:
        import gradio
    except ImportError as error:
        raise FacemaskError(
            f"app needs the package {error.name}: pip install -c constraints.txt -e '.[app]'"
        ) from error

    def painted(photo: dict[str, Any] | None, words: str) -> tuple[str | None, str]:
        try:
            if words not in tasks:
                raise FacemaskError("choose to put a mask on, or to take it off")
            with _PAINTING:
                return _painted(photo, tasks[words], scratch)
        except FacemaskError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    page = gradio.Blocks(title="facemask", analytics_enabled=False, delete_cache=(_KEPT_S, _KEPT_S))
    with page:
        gradio.Markdown("# facemask\nDrop a photo, of any size and with any number of faces.")
        direction = gradio.Radio(list(_DIRECTIONS), value=next(iter(_DIRECTIONS)), show_label=False, container=False)
        with gradio.Row():
            photo = gradio.Image(label="Photo", type="filepath", image_mode=None, buttons=[])
            result = gradio.Image(
                label="Result", type="filepath", interactive=False, buttons=["download", "fullscreen"]
            )
        about_result = gradio.Markdown()
        gradio.Markdown(_about(folder))
        gradio.on(
            [photo.change, direction.change],
            painted,
            [photo, direction],
            [result, about_result],
            preprocess=False,  # Gradio would open the photo with every decoder of Pillow, before the check of its path
            api_name=False,
        )
    return page


def page_app(page: "gradio.Blocks", scratch: Path) -> ASGIApp:
    """The server of `page`, without the guard of pipeline/report/local_page.py."""
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
    return own_files(app, scratch)


def own_files(app: ASGIApp, scratch: Path) -> ASGIApp:
    """`app`, for requests that the page makes and that name no file outside `scratch`; others are refused.

    The refusal is an HTTPException, for pipeline/report/local_page.py to answer.
    """

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not _USED.fullmatch(scope["path"]):
                raise HTTPException(404, "the page has no such address")
            if scope["path"].startswith(_FILE) and _own_file(scope["path"].removeprefix(_FILE), scratch) is None:
                raise HTTPException(403, "only for photos of this page")
            if scope["method"] == "POST" and scope["path"] == "/gradio_api/queue/join":
                body = await _own_request(Request(scope, receive), scratch)
                headers = [pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"content-type")]
                length = str(len(body)).encode()
                headers += [(b"content-length", length), (b"content-type", b"application/json")]
                scope, receive = {**scope, "headers": headers}, _replayed(body, receive)
        await app(scope, receive, send)

    return handle


async def _own_request(request: Request, scratch: Path) -> bytes:
    """A request to paint, written anew, so that Gradio reads what was checked here and nothing else."""
    try:
        asked = PaintRequest.model_validate_json(await request.body())
    except ValueError as error:
        raise HTTPException(400, "not understood: this is no request of the page") from error
    photo, words = asked.data
    if photo is not None and _own_file(photo.path, scratch) is None:
        raise HTTPException(403, "only for photos of this page")
    file = photo and {"path": photo.path, "meta": {"_type": "gradio.FileData"}}
    return json.dumps({**asked.model_dump(), "data": [file, words]}).encode()


def _replayed(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _own_file(path: Any, scratch: Path) -> Path | None:
    """The regular file in `scratch` that `path` names when links are resolved; None for anything else."""
    try:
        file = Path(path).resolve(strict=True)
    except (TypeError, ValueError, OSError, RuntimeError):  # no path, a NUL in it, no such file, a loop of links
        return None
    return file if file.is_file() and file.is_relative_to(scratch.resolve()) else None


def _painted(photo: dict[str, Any] | None, task: Task, scratch: Path) -> tuple[str | None, str]:
    """A file with what was made of `photo`, a file as Gradio's page names it (`{"path": ...}`), and a line about it."""
    if photo is None:
        return None, ""
    if (source := _own_file(photo.get("path"), scratch)) is None:
        raise FacemaskError("this photo is not on the page any more: drop it again")
    out = Path(tempfile.mkdtemp(dir=scratch))
    outcome = paint_file(Photo(source, out / f"{source.stem}-{task.direction}.png", out / source.name), task)
    match outcome.state:
        case "painted":
            faces = "1 face" if outcome.faces == 1 else f"{outcome.faces} faces"
            return str(outcome.photo.painted), f"{faces} painted. The picture is marked as synthetic."
        case "copied":
            return None, "No face was found in this photo."
        case _:
            raise FacemaskError(f"{source.name} cannot be read as an image: drop a JPEG, PNG or WebP")


def _about(folder: Path) -> str:
    info = checkpoint.read_info(folder)
    model = f"{info.params['generator']}, {info.params['image_px']} px, after {info.images_seen:,} images a domain"
    return f"{folder}: {model}. Its data's licence: {info.data_licence.rstrip('.')}. Nothing leaves this machine."
