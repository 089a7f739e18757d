"""`facemask review`: the page on 127.0.0.1, with pictures at full size, and choices that go straight into review.csv.

pipeline/report/local_page.py says who may use it: whoever has the printed address.

`facemask review DIR` also opens a DIR that somebody else made. Its page is then a stranger's script, and its page and
manifest name the files to show. So the server gives that page nothing that its maker did not have already:

- the page and its data are files inside DIR, after links are resolved;
- a picture is a regular file inside the folder that the page names, after links are resolved, at a path that the
  manifest lists; **its SHA-256 is the one in the manifest** (so whoever wrote the manifest knew the file), and it is
  an image of a known format, sent as such.

Images of this project's own sources come from the archives in data/raw, by the same rules.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import pandas as pd
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from PIL import Image
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from pipeline.curation.reviews import REVIEW, Review, change_reviews, read_reviews
from pipeline.errors import FacemaskError
from pipeline.report.columns import IDS_NAME
from pipeline.report.local_page import Rules, listening, serving, stop_signals
from pipeline.report.page import data_folder
from pipeline.stages.curate import MANIFEST, REPORTS
from pipeline.storage.images import open_image
from pipeline.storage.manifest import read_manifest
from pipeline.storage.shards import read_members

RULES = Rules(
    max_bytes=32 << 20,  # a choice for each of 200,000 images
    policy="default-src 'self' data: blob: 'unsafe-inline'; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'; object-src 'none'",
)
T = TypeVar("T")

_RAW = Path("data/raw")
_DATA = data_folder(Path("index.html")).name  # as the page addresses it
_DATA_TYPES = {".js": "text/javascript", ".json": "application/json", ".jpg": "image/jpeg", ".webp": "image/webp"}


@dataclass(frozen=True)
class Desk:
    """What is reviewed."""

    page: Path  # index.html, links resolved
    data: Path  # index.data, links resolved
    review: Path
    image_ids: list[str]  # in the page's order
    rows: pd.DataFrame  # source, archive, path, bytes, sha256 by image_id
    folders: dict[str, Path]  # of sources that are plain folders, links resolved
    raw: Path | None  # the project's archives; None: a page of `facemask curate`, which has none


class Choice(BaseModel):
    """One choice as the page sends it; an empty review takes the entry out."""

    place: Annotated[int, Field(ge=0)]
    review: Literal["keep", "drop", ""]
    note: str = ""


def review(folder: Path | None, port: int) -> None:
    """Serve the project's page, or that of `facemask curate --out folder`, until Ctrl-C, SIGTERM or SIGHUP."""
    desk = open_desk(folder)
    with (
        stop_signals() as stopped,
        listening(port) as listener,
        serving(review_app(desk), listener, RULES) as address,
    ):
        print(f"facemask: open {address} ; choices go into {desk.review}; Ctrl-C ends it", flush=True)
        stopped.wait()
    with contextlib.suppress(OSError):  # the terminal may be gone, which is one of the ways to end
        print("\nfacemask: ended; choices take effect when curate runs again", flush=True)


def open_desk(folder: Path | None) -> Desk:
    """Raises FacemaskError where there is no page, no manifest that fits it, or where DIR's page is not inside it."""
    page, manifest, reviews, again = REPORTS / "index.html", MANIFEST, REVIEW, "dvc repro"
    if folder is not None:
        page, manifest, reviews = (folder / path.name for path in (page, manifest, reviews))
        again = f"facemask curate FOLDER --out {folder}"
    try:
        data = data_folder(page).resolve(strict=True)
        image_ids = json.loads((data / IDS_NAME).read_text(encoding="utf-8"))
        text, real_page = page.read_text(encoding="utf-8"), page.resolve(strict=True)
        known = set(image_ids)
    except (OSError, ValueError, TypeError) as error:
        raise FacemaskError(f"there is no page to review at {page}: make it by '{again}'") from error
    if folder is not None and not all(path.is_relative_to(folder.resolve()) for path in (real_page, data)):
        raise FacemaskError(f"{page} or its data is a link out of {folder}: make it anew by '{again}'")
    columns = ["image_id", "source", "archive", "path", "bytes", "sha256"]
    rows = read_manifest(manifest, columns).to_pandas().set_index("image_id")
    if known != set(rows.index):
        raise FacemaskError(f"{page} is not of the manifest {manifest}: make it anew by '{again}'")
    folders = {name: (page.parent / path).resolve() for name, path in _folders(text).items()}
    return Desk(real_page, data, reviews, image_ids, rows, folders, _RAW if folder is None else None)


def review_app(desk: Desk) -> FastAPI:
    """The page's server, without the guard of pipeline/report/local_page.py."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    places = {image_id: place for place, image_id in enumerate(desk.image_ids)}

    @app.get("/")
    @app.get("/index.html")
    def page() -> Response:
        content = _read_inside(desk.page.parent, desk.page.name)
        return Response(_as_served(_or_404(content)), media_type="text/html; charset=utf-8")

    @app.get("/review")
    def entries() -> JSONResponse:
        return JSONResponse(_by_place(read_reviews(desk.review), places))

    @app.post("/review")
    def choose(choices: list[Choice]) -> JSONResponse:
        if any(choice.place >= len(desk.image_ids) for choice in choices):
            raise HTTPException(400, f"there are {len(desk.image_ids)} images on this page")
        changes = {
            desk.image_ids[choice.place]: Review(choice.review, choice.note) if choice.review else None
            for choice in choices
        }
        return JSONResponse(_by_place(change_reviews(desk.review, changes), places))

    @app.get("/picture/{place}")
    def picture(place: int) -> Response:
        if not 0 <= place < len(desk.image_ids):
            raise HTTPException(404, "there is no such picture")
        content = _or_404(_picture(desk, desk.rows.loc[desk.image_ids[place]]))
        return Response(content, media_type=_or_404(_image_type(content)))

    @app.get(f"/{_DATA}/{{path:path}}")
    def data(path: str) -> Response:
        kind = _DATA_TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")
        return Response(_or_404(_read_inside(desk.data, path)), media_type=kind)

    @app.exception_handler(HTTPException)
    def refused(_request: Request, error: HTTPException) -> Response:
        return PlainTextResponse(str(error.detail), error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    def not_understood(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        return PlainTextResponse(f"not understood: {where}: {first['msg']}", 400)

    @app.exception_handler(UnicodeEncodeError)
    def no_text(_request: Request, _error: UnicodeEncodeError) -> Response:
        return PlainTextResponse("not understood: a note must be text", 400)

    @app.exception_handler(FacemaskError)
    @app.exception_handler(OSError)
    def failed(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 500)  # of review.csv, or of the disk: the page shows it

    return app


def _folders(page: str) -> dict[str, str]:
    """Where the page says that each source's pictures are."""
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page, re.DOTALL)
    try:
        folders = json.loads(found[1])["folders"] if found else None
    except (ValueError, KeyError, TypeError):
        folders = None
    if not isinstance(folders, dict) or not all(isinstance(path, str) for path in folders.values()):
        raise FacemaskError("the page is no page of facemask: make it anew")
    return folders


def _as_served(page: bytes) -> bytes:
    """The page with a mark by which its script knows that choices can be saved. The token is in the cookie."""
    charset = b'<meta charset="utf-8">'
    return page.replace(charset, charset + b'\n<meta name="facemask-token" content="cookie">', 1)


def _by_place(entries: dict[str, Review], places: dict[str, int]) -> dict[str, Any]:
    """All entries: those of images on the page by their place."""
    known = {places[image_id]: asdict(entry) for image_id, entry in entries.items() if image_id in places}
    return {"entries": known, "count": len(entries)}


def _picture(desk: Desk, row: "pd.Series[Any]") -> bytes | None:
    """The image's file, None where it is not the one that was curated."""
    if row["source"] in desk.folders:
        content = _read_inside(desk.folders[row["source"]], row["path"], row["bytes"])
    elif desk.raw is None or not isinstance(row["archive"], str) or not _is_plain(row["source"], row["archive"]):
        return None
    else:
        content = next(read_members(desk.raw / row["source"] / row["archive"], [row["path"]]))
    if content is None or hashlib.sha256(content).hexdigest() != row["sha256"]:
        return None
    return content


def _is_plain(*parts: str) -> bool:
    """Whether the parts name a path below where they start."""
    path = PurePosixPath(*parts)
    return not path.is_absolute() and ".." not in path.parts


def _read_inside(folder: Path, path: str, size: int | None = None) -> bytes | None:
    """A regular file in `folder`, of `size` bytes if given; None for any other, and for one outside after links.

    `folder` itself was resolved when the page was opened: a link put in its place later is not followed.
    The file is opened first and then checked: no link that is changed meanwhile leads it elsewhere.
    """
    try:
        with open(os.open(folder / path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - a descriptor
            real, status = Path(f"/proc/self/fd/{file.fileno()}").readlink(), os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or not real.is_relative_to(folder):
                return None
            return file.read() if size in (None, status.st_size) else None
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None


def _image_type(content: bytes) -> str | None:
    """The media type of an image of a known format, None for anything else."""
    try:
        with open_image(content) as image:
            return Image.MIME[image.format or ""]
    except Exception:  # noqa: BLE001 - decoders raise of every kind on hostile bytes; all mean: no image
        return None


def _or_404(value: T | None) -> T:
    if value is None:
        raise HTTPException(404, "there is no such file here, or it has changed since it was curated")
    return value
