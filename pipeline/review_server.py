"""`facemask review`: the page on 127.0.0.1, with pictures at full size, and choices that go straight into review.csv.

It answers this machine alone, asks each request for this server's own name (so that no other page reaches it by a name
of its own for this address), and each change for a token that only its page knows.
"""

import json
import mimetypes
import re
import secrets
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd

from pipeline.archives import read_members
from pipeline.curate import MANIFEST, REPORTS
from pipeline.errors import FacemaskError
from pipeline.files import read_or_empty
from pipeline.manifest import read_manifest
from pipeline.page.columns import IDS_NAME
from pipeline.page.write import data_folder
from pipeline.review import REVIEW, WORDS, Entry, change_reviews, read_reviews

_HOST = "127.0.0.1"
_MOST_BYTES = 32 << 20  # of one request: a choice for each of 200,000 images
_POLICY = "default-src 'self' data: blob: 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"


@dataclass(frozen=True)
class Desk:
    """What is reviewed."""

    page: Path
    review: Path
    image_ids: list[str]  # in the page's order
    rows: pd.DataFrame  # source, archive, path by image_id
    folders: dict[str, Path]  # of sources that are plain folders


def review(folder: Path | None, port: int) -> None:
    """Serve the project's page, or that of `facemask curate --out folder`, until Ctrl-C."""
    desk = open_desk(folder)
    with make_server(desk, port) as server:
        address = f"http://{_HOST}:{server.server_port}/"
        print(f"facemask: open {address} ; choices go into {desk.review}; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nfacemask: ended; choices take effect when curate runs again", flush=True)


def open_desk(folder: Path | None) -> Desk:
    """Raises FacemaskError where there is no page, or no manifest that fits it."""
    page, manifest, reviews, again = REPORTS / "index.html", MANIFEST, REVIEW, "dvc repro"
    if folder is not None:
        page, manifest, reviews = (folder / path.name for path in (page, manifest, reviews))
        again = f"facemask curate FOLDER --out {folder}"
    try:
        image_ids = json.loads((data_folder(page) / IDS_NAME).read_text(encoding="utf-8"))
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FacemaskError(f"there is no page to review at {page}: make it by '{again}'") from error
    rows = read_manifest(manifest, ["image_id", "source", "archive", "path"]).to_pandas().set_index("image_id")
    if set(image_ids) != set(rows.index):
        raise FacemaskError(f"{page} is not of the manifest {manifest}: make it anew by '{again}'")
    folders = {name: page.parent / path for name, path in _facts(text)["folders"].items()}
    return Desk(page, reviews, image_ids, rows, folders)


def make_server(desk: Desk, port: int) -> ThreadingHTTPServer:
    """A server for `desk`, not yet serving; port 0 takes a free one. Raises FacemaskError where it is in use."""
    token = secrets.token_urlsafe()
    places = {image_id: place for place, image_id in enumerate(desk.image_ids)}

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, protocol_version = "facemask", "", "HTTP/1.1"

        def do_GET(self) -> None:
            if self._is_foreign():
                return
            path = unquote(urlsplit(self.path).path).lstrip("/")
            if path in ("", "index.html"):
                self._answer(_with_token(desk.page.read_bytes(), token), "text/html; charset=utf-8")
            elif path == "review":
                self._answer_json(_told(read_reviews(desk.review), places))
            elif match := re.fullmatch(r"picture/(\d+)", path):
                self._picture(int(match[1]))
            else:
                self._file(path)

        def do_POST(self) -> None:
            if self._is_foreign():
                return
            if urlsplit(self.path).path != "/review":
                self._refuse(HTTPStatus.NOT_FOUND, "nothing is taken here")
            elif not secrets.compare_digest(self.headers.get("X-Facemask-Token", ""), token):
                self._refuse(HTTPStatus.FORBIDDEN, "this page is of an earlier start of facemask review: load it again")
            elif (length := int(self.headers.get("Content-Length") or 0)) > _MOST_BYTES:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too much at once: select fewer")
            else:
                try:
                    changes = _changes(json.loads(self.rfile.read(length)), desk.image_ids)
                    self._answer_json(_told(change_reviews(desk.review, changes), places))
                except (ValueError, KeyError, TypeError, IndexError) as error:
                    self._refuse(HTTPStatus.BAD_REQUEST, f"not understood: {error}")
                except (FacemaskError, OSError) as error:
                    self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

        def _is_foreign(self) -> bool:
            """Refuse a request under another name, or from a page of another origin."""
            port = self.connection.getsockname()[1]
            names = {f"{_HOST}:{port}", f"localhost:{port}"}
            origin = self.headers.get("Origin")
            if self.headers.get("Host") in names and (origin is None or urlsplit(origin).netloc in names):
                return False
            self._refuse(HTTPStatus.FORBIDDEN, "only for pages of this server")
            return True

        def _picture(self, place: int) -> None:
            if place >= len(desk.image_ids):
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such picture")
                return
            row = desk.rows.loc[desk.image_ids[place]]
            kind = mimetypes.guess_type(row["path"])[0] or "application/octet-stream"
            self._answer(_content(desk, row), kind)

        def _file(self, path: str) -> None:
            """A file of the page's own data, and no other."""
            file, data = desk.page.parent / path, data_folder(desk.page)
            if not file.resolve().is_relative_to(data.resolve()) or not file.is_file():
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such file")
                return
            self._answer(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")

        def _answer_json(self, value: Any) -> None:
            self._answer(json.dumps(value, ensure_ascii=False).encode(), "application/json")

        def _refuse(self, status: HTTPStatus, why: str) -> None:
            self.close_connection = True  # what came with the request is not read
            self._answer(why.encode(), "text/plain; charset=utf-8", status)

        def _answer(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(content)),
                "Content-Security-Policy": _POLICY,
                "X-Content-Type-Options": "nosniff",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Cache-Control": "no-store",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *values: Any) -> None:
            """Not a line for each picture."""

    try:
        return ThreadingHTTPServer((_HOST, port), Handler)
    except OSError as error:
        raise FacemaskError(f"port {port} is in use: end what uses it, or take another by --port") from error


def _facts(page: str) -> dict[str, Any]:
    """What the page was made with."""
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page, re.DOTALL)
    if not found:
        raise FacemaskError("the page is no page of facemask: make it anew")
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def _with_token(page: bytes, token: str) -> bytes:
    charset = b'<meta charset="utf-8">'
    return page.replace(charset, charset + f'\n<meta name="facemask-token" content="{token}">'.encode(), 1)


def _told(entries: dict[str, Entry], places: dict[str, int]) -> dict[str, Any]:
    """All entries: those of images on the page by their place."""
    known = {places[image_id]: asdict(entry) for image_id, entry in entries.items() if image_id in places}
    return {"entries": known, "count": len(entries)}


def _changes(given: Any, image_ids: list[str]) -> dict[str, Entry | None]:
    """[{place, review, note}] as the page sends them; an empty review takes an entry out."""
    changes: dict[str, Entry | None] = {}
    for one in given:
        place, word, note = int(one["place"]), str(one["review"]), str(one.get("note", ""))
        if word not in (*WORDS, "") or place < 0:
            raise ValueError(f"review {word!r} of place {place}")
        changes[image_ids[place]] = Entry(word, note) if word else None
    return changes


def _content(desk: Desk, row: "pd.Series[Any]") -> bytes:
    if row["source"] in desk.folders:
        return read_or_empty(desk.folders[row["source"]], row["path"])
    return next(read_members(Path("data/raw") / row["source"] / row["archive"], [row["path"]]))
