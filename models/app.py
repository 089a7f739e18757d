"""`facemask app`: a page on 127.0.0.1 where a photo is dropped and seen masked, or with its mask taken off.

The page is Gradio's. It works as `facemask apply` does: what can be downloaded is a marked PNG of the photo's size.
"""

import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from models import checkpoint
from models.apply import Task, paint_file, task_of
from models.params import Direction
from pipeline.errors import FacemaskError
from pipeline.photos import Photo

if TYPE_CHECKING:
    import gradio

_HOST = "127.0.0.1"
_KEPT_S = 3600  # how long photos and what was made of them stay in the page's own folder
_DIRECTIONS: dict[str, Direction] = {"Put a mask on": "mask", "Take the mask off": "unmask"}
_FONTS = ["system-ui", "sans-serif"]  # Gradio's own would be asked of another address


def app(folder: Path, port: int) -> None:
    """Serve the page for the checkpoint in `folder` until Ctrl-C. Raises FacemaskError where the port is in use."""
    with tempfile.TemporaryDirectory(prefix="facemask-app-") as scratch:
        page = make_page(folder, Path(scratch))
        try:
            print(f"facemask: open {serve(page, port)} ; Ctrl-C ends it, and removes the photos", flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            print("\nfacemask: ended", flush=True)
        finally:
            page.close(verbose=False)


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

    def painted(photo: str | None, words: str) -> tuple[str | None, str]:
        try:
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
        told = gradio.Markdown()
        gradio.Markdown(_about(folder))
        gradio.on([photo.change, direction.change], painted, [photo, direction], [result, told], api_name=False)
    return page


def serve(page: "gradio.Blocks", port: int) -> str:
    """Serve it in threads of its own until page.close(); gives its address."""
    import gradio

    try:
        _, address, _ = page.launch(
            server_name=_HOST,
            server_port=port,
            prevent_thread_lock=True,
            theme=gradio.themes.Default(font=_FONTS, font_mono=["monospace"]),
            footer_links=[],
            quiet=True,
        )
    except OSError as error:
        raise FacemaskError(f"port {port} of {_HOST} is in use: choose another --port") from error
    return str(address)


def _painted(photo: str | None, task: Task, scratch: Path) -> tuple[str | None, str]:
    """A file with what was made of the photo in the file `photo`, and a line about it."""
    if photo is None:
        return None, ""
    out, source = Path(tempfile.mkdtemp(dir=scratch)), Path(photo)
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
