"""Errors of a local page's server as responses of one line of text, which the page shows."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException

from pipeline.errors import FacemaskError


def add_error_handlers(app: FastAPI) -> None:
    """Make `app` respond to refused and invalid requests, and to errors of a file or the disk, in one line of text."""

    @app.exception_handler(HTTPException)
    def refused(_request: Request, error: HTTPException) -> Response:
        return PlainTextResponse(str(error.detail), error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        return PlainTextResponse(f"invalid request: {where}: {first['msg']}", 400)

    @app.exception_handler(FacemaskError)
    @app.exception_handler(OSError)
    def failed(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 500)  # about the file of reviews or votes, or the disk
