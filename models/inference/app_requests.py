"""Which requests `facemask app` passes on to Gradio: those that its page sends, for files of its scratch folder.

Gradio treats a path in a request as a file that it may open. So every request that names a path outside the scratch
folder is refused here, and only the addresses that the page uses exist.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.inference.app_layout import EXAMPLES

_FILE = "/gradio_api/file="
_JOIN = "/gradio_api/queue/join"
# The addresses that the page uses. Gradio's others (proxies, saved pages, files of other addresses) are not needed.
_ADDRESSES = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static)/.+"
    r"|/gradio_api/(startup-events|upload|upload_progress|cancel|file=.+|queue/(join|data)|heartbeat/\w+)"
)


_Text = Annotated[str, StringConstraints(max_length=64)]


class UploadedPhoto(BaseModel):
    """A photo on the page."""

    path: str  # as the response to its upload named it


_Photos = Annotated[list[UploadedPhoto], Field(max_length=1000)]


class _Request(BaseModel):
    session_hash: str
    trigger_id: int | None = None


class PaintRequest(_Request):
    """The request to paint a photo, function 0 of the page."""

    # The photo, the label of a direction, the kind and the colour of the mask, and the photo whose mask is copied.
    data: tuple[UploadedPhoto | None, _Text, _Text, _Text | None, UploadedPhoto | None]
    fn_index: Literal[0]


class BatchRequest(_Request):
    """The request to paint many photos, function 1."""

    data: tuple[
        Annotated[list[UploadedPhoto], Field(max_length=1000)] | None, _Text, _Text, _Text | None, UploadedPhoto | None
    ]
    fn_index: Literal[1]


class ExampleRequest(_Request):
    """The request for one of the examples, the functions from 2."""

    data: tuple[()]
    fn_index: Annotated[int, Field(ge=2, lt=2 + len(EXAMPLES))]


_REQUEST: TypeAdapter[PaintRequest | BatchRequest | ExampleRequest] = TypeAdapter(
    PaintRequest | BatchRequest | ExampleRequest
)
"""By the page's functions, in the order in which models/inference/app.py connects them."""


def restrict_requests(app: ASGIApp, scratch: Path) -> ASGIApp:
    """`app`, restricted to requests that the page sends and that name no file outside `scratch`.

    A refusal is an HTTPException, which pipeline/report/local_page.py turns into a response.
    """

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if not _ADDRESSES.fullmatch(path):
                raise HTTPException(404, "the page has no such address")
            if path.startswith(_FILE) and scratch_file(path.removeprefix(_FILE), scratch) is None:
                raise HTTPException(403, "only photos of this page are available")
            if scope["method"] == "POST" and path == _JOIN:
                body = await _checked_body(Request(scope, receive), scratch)
                headers = [pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"content-type")]
                length = str(len(body)).encode()
                headers += [(b"content-length", length), (b"content-type", b"application/json")]
                scope, receive = {**scope, "headers": headers}, _replayed(body, receive)
        await app(scope, receive, send)

    return handle


async def _checked_body(request: Request, scratch: Path) -> bytes:
    """The body of a request to paint, written anew, so that Gradio reads exactly what was checked."""
    try:
        wanted = _REQUEST.validate_json(await request.body())
    except ValueError as error:
        raise HTTPException(400, "this is not a request of the page") from error
    for photo in _photos_of(wanted.data):
        if scratch_file(photo.path, scratch) is None:
            raise HTTPException(403, "only photos of this page are available")
    return json.dumps({**wanted.model_dump(), "data": [_as_gradio_value(value) for value in wanted.data]}).encode()


def _photos_of(values: Iterable[Any]) -> Iterator[UploadedPhoto]:
    """The photos among the fields of a request."""
    for value in values:
        yield from [value] if isinstance(value, UploadedPhoto) else value if isinstance(value, list) else []


def _as_gradio_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_gradio_file(photo) for photo in value]
    return _as_gradio_file(value) if isinstance(value, UploadedPhoto) else value


def _as_gradio_file(photo: UploadedPhoto) -> dict[str, Any]:
    return {"path": photo.path, "meta": {"_type": "gradio.FileData"}}


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns `body` as the whole request, and then what `receive` returns."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def scratch_file(path: Any, scratch: Path) -> Path | None:
    """The regular file in `scratch` that `path` names once links are resolved; None for anything else."""
    try:
        file = Path(path).resolve(strict=True)
    except (TypeError, ValueError, OSError, RuntimeError):  # no path, a NUL in it, no such file, a loop of links
        return None
    return file if file.is_file() and file.is_relative_to(scratch.resolve()) else None
