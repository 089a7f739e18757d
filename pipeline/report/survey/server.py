"""The page of `facemask survey` on 127.0.0.1: one picture after the other, real or made, and each vote into a file.

pipeline/report/local_page.py controls access. What a picture is stays here: a browser gets its pixels under a number,
and the answers only when the person has voted on all pictures. From then on that person's votes cannot be changed.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import jinja2
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, BaseModel, Field
from starlette.exceptions import HTTPException

from pipeline.report.error_responses import add_error_handlers
from pipeline.report.local_page import PageSettings, print_at_end, serve_until_stopped
from pipeline.report.survey.deck import SurveyPicture, order_for
from pipeline.report.survey.result import attention, is_excluded, result_lines, write_result
from pipeline.report.survey.votes import MAX_VOTER, Choice, Vote, append_vote, read_votes, standing_votes, voter_name

SETTINGS = PageSettings(
    max_body_bytes=10_000,
    content_security_policy="default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
)
_HERE = Path(__file__).parent
_REPORT = _HERE.parent
_FILES = {  # of the page, by its address; the first two are also those of the page of `facemask review`
    "page.css": (_REPORT / "page.css", "text/css"),
    "script/facts.js": (_REPORT / "script/facts.js", "text/javascript"),
    "survey.css": (_HERE / "survey.css", "text/css"),
    **{f"script/{path.name}": (path, "text/javascript") for path in (_HERE / "script").glob("*.js")},
}
_CONFLICT = 409


@dataclass(frozen=True)
class Survey:
    """A survey that is open for votes, and its files."""

    pictures: Sequence[SurveyPicture]
    seed: int  # of each person's order
    votes: Path  # survey.jsonl
    result: Path  # survey.json
    voting: threading.Lock = field(default_factory=threading.Lock)  # two tabs of one person do not vote twice
    cast: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Voter -> ids of the pictures voted on since the start, which can be taken back."""


VoterName = Annotated[str, AfterValidator(voter_name)]


class PageVoter(BaseModel):
    """Who asks."""

    voter: VoterName


class PageVote(PageVoter):
    """One vote as the page sends it."""

    picture: Annotated[int, Field(ge=0)]  # its number on this server
    vote: Choice
    seconds: Annotated[float, Field(ge=0, le=1e6)]


def serve_survey(survey: Survey, port: int) -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP, then write and print the result of all votes."""
    write_result(survey.votes, survey.result)  # a damaged file is refused before anybody votes
    serve_until_stopped(survey_app(survey), port, SETTINGS, f"votes are saved in {survey.votes}")
    result = write_result(survey.votes, survey.result)
    print_at_end("\n".join(f"facemask: {line}" for line in result_lines(result)))


def survey_app(survey: Survey) -> FastAPI:
    """The page's server, without the access control of pipeline/report/local_page.py."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    page = _page(survey)

    @app.get("/")
    def index() -> Response:
        return Response(page, media_type="text/html; charset=utf-8")

    @app.get("/picture/{number}")
    def picture(number: int) -> Response:
        if not 0 <= number < len(survey.pictures):
            raise HTTPException(404, "there is no such picture")
        return Response(survey.pictures[number].png, media_type="image/png")

    @app.post("/state")
    def state(request: PageVoter) -> JSONResponse:
        return JSONResponse(_state(survey, request.voter))

    @app.post("/vote")
    def vote(request: PageVote) -> JSONResponse:
        with survey.voting:
            _cast(survey, request)
            return JSONResponse(_state(survey, request.voter))

    @app.post("/undo")
    def undo(request: PageVoter) -> JSONResponse:
        with survey.voting:
            _take_back(survey, request.voter)
            return JSONResponse(_state(survey, request.voter))

    @app.post("/result")
    def result(request: PageVoter) -> JSONResponse:
        with survey.voting:
            return JSONResponse(_answers(survey, request.voter))

    @app.get("/{path:path}")
    def file(path: str) -> Response:
        if path not in _FILES:
            raise HTTPException(404, "there is no such file here")
        source, kind = _FILES[path]
        return Response(source.read_bytes(), media_type=kind)

    add_error_handlers(app)
    return app


def _page(survey: Survey) -> str:
    """The page; its facts say nothing of any picture."""
    facts = json.dumps({"count": len(survey.pictures), "maxVoter": MAX_VOTER, "file": survey.votes.name})
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        (_HERE / "page.html").read_text(encoding="utf-8")
    )
    return template.render(facts=facts.replace("<", "\\u003c"), count=len(survey.pictures), file=survey.votes.name)


def _votes_of(survey: Survey, voter: str) -> dict[str, Vote]:
    """The votes of one person that count, by picture."""
    return {vote.picture: vote for vote in standing_votes(read_votes(survey.votes)) if vote.voter == voter}


def _left(survey: Survey, voter: str) -> list[int]:
    """Numbers of the pictures that a person has not voted on, in this survey or another, in the person's order."""
    voted = _votes_of(survey, voter)
    order = order_for(voter, survey.seed, survey.pictures)
    return [number for number in order if survey.pictures[number].picture_id not in voted]


def _state(survey: Survey, voter: str) -> dict[str, Any]:
    """Where a person is: how many pictures are done, and the numbers of the next two."""
    left = _left(survey, voter)
    total = len(survey.pictures)
    return {
        "voter": voter,
        "done": total - len(left),
        "total": total,
        "next": left[:2],  # the second one, so that the page can load it in advance
        "canUndo": bool(survey.cast.get(voter)),
    }


def _cast(survey: Survey, request: PageVote) -> None:
    """Save a vote. Raises HTTPException for a picture that does not come next."""
    left = _left(survey, request.voter)
    if request.picture not in left[:1]:
        raise HTTPException(_CONFLICT, "this picture has your vote already, perhaps from another tab: reload the page")
    picture = survey.pictures[request.picture]
    append_vote(survey.votes, _vote(picture, request.voter, request.vote, request.seconds))
    survey.cast[request.voter].append(picture.picture_id)


def _take_back(survey: Survey, voter: str) -> None:
    """Take back the last vote. Raises HTTPException where there is none of this visit."""
    if not survey.cast.get(voter):
        raise HTTPException(_CONFLICT, "there is no vote to take back")
    picture_id = survey.cast[voter].pop()
    picture = next(picture for picture in survey.pictures if picture.picture_id == picture_id)
    append_vote(survey.votes, _vote(picture, voter, "undone", 0))


def _vote(picture: SurveyPicture, voter: str, vote: Any, seconds: float) -> Vote:
    return Vote(
        voter=voter,
        picture=picture.picture_id,
        kind=picture.kind,
        direction=picture.direction,
        method=picture.method,
        checkpoint=picture.checkpoint,
        vote=vote,
        seconds=round(seconds, 2),
    )


def _answers(survey: Survey, voter: str) -> dict[str, Any]:
    """What each picture was, and the person's votes. Raises HTTPException before the person has voted on all.

    From here on the person's votes cannot be taken back.
    """
    if _left(survey, voter):
        raise HTTPException(_CONFLICT, "the answers are shown when you have voted on all pictures")
    survey.cast.pop(voter, None)
    write_result(survey.votes, survey.result)
    votes = _votes_of(survey, voter)
    missed, seen = attention(list(votes.values()))[voter]
    return {
        "excluded": is_excluded(missed, seen),
        "checks": {"missed": missed, "seen": seen},
        "pictures": [
            {
                "number": number,
                "kind": picture.kind,
                "direction": picture.direction,
                "method": picture.method,
                "vote": votes[picture.picture_id].vote,
            }
            for number, picture in enumerate(survey.pictures)
        ],
    }
