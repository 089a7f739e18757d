"""`facemask review`: serves the page on 127.0.0.1 with images at full size, and saves reviews into review.csv.

pipeline/report/local_page.py controls access: only whoever has the printed address.

`facemask review DIR` also opens a DIR that somebody else made. Its script is then foreign code, and its page and
manifest name the files to show. So the server serves nothing that the page's maker did not have already:

- the page and its data are files inside DIR after links are resolved;
- an image is a regular file inside the folder that the page names, after links are resolved, at a path that the
  manifest lists; **its SHA-256 is the one in the manifest** (so whoever wrote the manifest knew the file), and it is an
  image of a known format, which the response names.

Images of this project's own sources come from the archives in data/raw, under the same conditions.
"""

import hashlib
import json
import os
import re
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypedDict, TypeVar

import pandas as pd
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from PIL import Image
from pydantic import AfterValidator, BaseModel, Field
from starlette.exceptions import HTTPException

from pipeline.curation.reviews import Review, change_reviews, note_fault, read_reviews
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.report.columns import IDS_NAME
from pipeline.report.cover_map import cover_map
from pipeline.report.error_responses import add_error_handlers
from pipeline.report.local_page import PageSettings, print_at_end, serve_until_stopped
from pipeline.report.page import data_folder
from pipeline.report.run_data import RUN_NAME
from pipeline.storage.images import open_for_pixels
from pipeline.storage.manifest import read_manifest
from pipeline.storage.shards import read_members

SETTINGS = PageSettings(
    max_body_bytes=32 << 20,  # a review for each of 200,000 images
    content_security_policy="default-src 'self' data: blob: 'unsafe-inline'; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'; object-src 'none'",
)
T = TypeVar("T")

_DATA = data_folder(Path("index.html")).name  # as the page addresses it
_DATA_TYPES = {".js": "text/javascript", ".json": "application/json", ".jpg": "image/jpeg", ".webp": "image/webp"}


@dataclass(frozen=True)
class ReviewSession:
    """A page that is open for review, and its files."""

    page: Path  # index.html, links resolved
    data: Path  # index.data, links resolved
    review: Path  # review.csv
    image_ids: list[str]  # in the page's order
    rows: pd.DataFrame  # source, archive, path, bytes, sha256 by image_id
    folders: dict[str, Path]  # of sources that are plain folders, links resolved
    raw: Path | None  # the project's archives; None: a page of `facemask curate`, which has none
    against: bytes | None = None  # run.js of another run, which the page compares with


def _checked_note(note: str) -> str:
    if fault := note_fault(note):
        raise ValueError(fault)
    return note


class PageReview(BaseModel):
    """One review as the page sends it; an empty `review` removes the entry."""

    index: Annotated[int, Field(ge=0)]  # of the image, in the page's order
    review: Literal["keep", "drop", ""]
    note: Annotated[str, AfterValidator(_checked_note)] = ""


class PageReviews(TypedDict):
    """All reviews, as the page receives them."""

    entries: dict[int, dict[str, str]]  # index of an image on the page -> review, note
    count: int  # of all entries in review.csv


def review(folder: Path | None, port: int, against: Path | None = None) -> None:
    """Serve the project's page, or that of `facemask curate --out folder`, until Ctrl-C, SIGTERM or SIGHUP.

    `against`: the folder of another run's page, which the page compares with.
    """
    session = replace(open_review(folder), against=_other_run(against))
    serve_until_stopped(review_app(session), port, SETTINGS, f"reviews are saved in {session.review}")
    print_at_end("facemask: ended; reviews take effect when curate runs again")


def open_review(folder: Path | None) -> ReviewSession:
    """Open the project's page, or that in `folder`.

    Raises FacemaskError for a missing page, one that does not match its manifest, and one whose files are links out of
    `folder`.
    """
    paths, make_again = Paths(), "dvc repro"
    page, manifest, reviews = paths.page, paths.manifest, paths.review
    if folder is not None:
        page, manifest, reviews = (folder / path.name for path in (page, manifest, reviews))
        make_again = f"facemask curate FOLDER --out {folder}"
    try:
        data = data_folder(page).resolve(strict=True)
        image_ids = json.loads((data / IDS_NAME).read_text(encoding="utf-8"))
        text, real_page = page.read_text(encoding="utf-8"), page.resolve(strict=True)
        known = set(image_ids)
    except (OSError, ValueError, TypeError) as error:
        raise FacemaskError(f"there is no page to review at {page}: make it by '{make_again}'") from error
    if folder is not None and not all(path.is_relative_to(folder.resolve()) for path in (real_page, data)):
        raise FacemaskError(f"{page} or its data is a link out of {folder}: make it again by '{make_again}'")
    columns = ["image_id", "source", "archive", "path", "bytes", "sha256"]
    rows = read_manifest(manifest, columns).to_pandas().set_index("image_id")
    if known != set(rows.index):
        raise FacemaskError(f"{page} does not match the manifest {manifest}: make it again by '{make_again}'")
    folders = {name: (page.parent / path).resolve() for name, path in _folders(text).items()}
    return ReviewSession(real_page, data, reviews, image_ids, rows, folders, paths.raw if folder is None else None)


def _other_run(folder: Path | None) -> bytes | None:
    """The file run.js beside the page in `folder`. Raises FacemaskError where there is none."""
    if folder is None:
        return None
    path = data_folder(folder / Paths().page.name) / RUN_NAME
    try:
        return path.read_bytes()
    except OSError as error:
        raise FacemaskError(f"there is no run to compare with at {path}: name the folder of its index.html") from error


def review_app(session: ReviewSession) -> FastAPI:
    """The page's server, without the access control of pipeline/report/local_page.py."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    indices = {image_id: index for index, image_id in enumerate(session.image_ids)}

    @app.get("/")
    @app.get("/index.html")
    def page() -> Response:
        content = _read_inside(session.page.parent, session.page.name)
        return Response(_as_served(_or_404(content), session), media_type="text/html; charset=utf-8")

    @app.get("/against")
    def against() -> Response:
        return Response(_or_404(session.against), media_type="text/plain; charset=utf-8")

    @app.get("/review")
    def entries() -> JSONResponse:
        return JSONResponse(_page_reviews(read_reviews(session.review), indices))

    @app.post("/review")
    def save(entries: list[PageReview]) -> JSONResponse:
        if any(entry.index >= len(session.image_ids) for entry in entries):
            raise HTTPException(400, f"there are {len(session.image_ids)} images on this page")
        changes = {
            session.image_ids[entry.index]: Review(entry.review, entry.note) if entry.review else None
            for entry in entries
        }
        return JSONResponse(_page_reviews(change_reviews(session.review, changes), indices))

    def content_of(index: int) -> bytes:
        if not 0 <= index < len(session.image_ids):
            raise HTTPException(404, "there is no such image")
        return _or_404(_picture(session, session.rows.loc[session.image_ids[index]]))

    @app.get("/picture/{index}")
    def picture(index: int) -> Response:
        content = content_of(index)
        return Response(content, media_type=_or_404(_image_type(content)))

    @app.get("/cover/{index}")
    def cover(index: int) -> Response:
        return Response(_or_404(cover_map(content_of(index))), media_type="image/png")

    @app.get(f"/{_DATA}/{{path:path}}")
    def data(path: str) -> Response:
        kind = _DATA_TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")
        return Response(_or_404(_read_inside(session.data, path)), media_type=kind)

    add_error_handlers(app)
    return app


def _folders(page: str) -> dict[str, str]:
    """Source -> folder of its images, from the page's facts."""
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page, re.DOTALL)
    try:
        folders = json.loads(found[1])["folders"] if found else None
    except (ValueError, KeyError, TypeError):
        folders = None
    if not isinstance(folders, dict) or not all(isinstance(path, str) for path in folders.values()):
        raise FacemaskError("the page was not made by facemask: make it again")
    return folders


def _as_served(page: bytes, session: ReviewSession) -> bytes:
    """The page with a mark from which its script sees that this server saves reviews, and has a run to compare with."""
    charset = b'<meta charset="utf-8">'
    mark = b'\n<meta name="facemask-review" content="%s">' % (b"against" if session.against else b"")
    return page.replace(charset, charset + mark, 1)


def _page_reviews(entries: dict[str, Review], indices: dict[str, int]) -> PageReviews:
    known = {indices[image_id]: asdict(entry) for image_id, entry in entries.items() if image_id in indices}
    return {"entries": known, "count": len(entries)}


def _picture(session: ReviewSession, row: "pd.Series[Any]") -> bytes | None:
    """The content of the image's file; None if it is not the file that was curated."""
    if row["source"] in session.folders:
        content = _read_inside(session.folders[row["source"]], row["path"], row["bytes"])
    elif session.raw is None or not isinstance(row["archive"], str) or not _is_below(row["source"], row["archive"]):
        return None
    else:
        content = next(read_members(session.raw / row["source"] / row["archive"], [row["path"]]))
    if content is None or hashlib.sha256(content).hexdigest() != row["sha256"]:
        return None
    return content


def _is_below(*parts: str) -> bool:
    """Whether the parts make a relative path without `..`."""
    path = PurePosixPath(*parts)
    return not path.is_absolute() and ".." not in path.parts


def _read_inside(folder: Path, path: str, size: int | None = None) -> bytes | None:
    """The content of a regular file in `folder`, of `size` bytes if given; None for any other, or outside after links.

    `folder` was resolved when the page was opened: a link that replaces it later is not followed. The file is opened
    first and then checked, so that a link that changes in between makes no difference.
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
        with open_for_pixels(content) as image:
            return Image.MIME[image.format or ""]
    except Exception:  # noqa: BLE001 - decoders raise errors of any kind for hostile bytes; all mean that this is no image
        return None


def _or_404(value: T | None) -> T:
    """`value`. Raises HTTPException 404 for None."""
    if value is None:
        raise HTTPException(404, "there is no such file here, or it has changed since it was curated")
    return value
