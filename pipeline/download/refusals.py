"""Pages of HTML that stand where data should be: what they are, and when it is worth to try again."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["quota", "scan", "missing", "access", "sign_in", "other"]

PAGE_BYTES = 1 << 16  # of a page are read, at most: what it says stands at its start


@dataclass(frozen=True)
class Refusal:
    """A page that is no data; `reason` is one line for a person."""

    kind: Kind
    reason: str


# Words that stand on a page, in lower case; the first line that fits counts. Ordered from the special to the general:
# Google's page for a missing file also offers to sign in.
_WORDS: tuple[tuple[Kind, str, str], ...] = (
    (
        "quota",
        r"quota exceeded|too many users have viewed or downloaded this file|download quota for this file",
        "Google Drive has given this file out too often of late: try again after 24 hours",
    ),
    (
        "scan",
        r"virus scan warning|(can't|cannot|can’t|can&#39;t) scan this file for viruses|id=\"download-form\"",
        "Google Drive asks to confirm a file that it cannot scan for viruses: give its address as drive:FILE_ID",
    ),
    (
        "missing",
        r"the file you have requested does not exist|error 404 \(not found\)|google drive - page not found"
        r"|item might not exist or is no longer available",
        "there is no such file any more: look for its new address",
    ),
    (
        "access",
        r"request access|you need access|you need permission|access denied"
        r"|cannot retrieve the public link of the file",
        "the file is not shared with everybody who has the link: ask its owner for that, then try again",
    ),
)
_GOOGLE = "Google asks to sign in: the file is not shared with everybody who has the link; ask its owner for that"
_MICROSOFT = "Microsoft asks to sign in: the file is not shared with everybody who has the link; ask its owner for that"
_SIGN_IN_HOSTS = {
    "accounts.google.com": _GOOGLE,
    "login.live.com": _MICROSOFT,
    "login.microsoftonline.com": _MICROSOFT,
}


def is_html(start: bytes, content_type: str = "") -> bool:
    """Whether a body that starts like this is a page. Its type alone says nothing: servers send images as text/html."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return True
    return text.startswith(b"<") and content_type.lower().startswith(("text/html", "application/xhtml"))


def refusal(page: str, url: str = "") -> Refusal:
    """What a page of HTML, or an error's text, says. `url` is where it came from, after all redirects."""
    text = re.sub(r"\s+", " ", page).lower()
    for kind, words, reason in _WORDS:
        if re.search(words, text):
            return Refusal(kind, reason)
    host = urlsplit(url).hostname or ""
    if host in _SIGN_IN_HOSTS:
        return Refusal("sign_in", _SIGN_IN_HOSTS[host])
    title = _title(text)
    if re.search(r"\bsign[ -]?in\b|\blog[ -]?in\b", title):
        for known, reason in _SIGN_IN_HOSTS.items():
            if known in text:
                return Refusal("sign_in", reason)
        if "google" in title:
            return Refusal("sign_in", _GOOGLE)
        if "microsoft" in title or "onedrive" in title:
            return Refusal("sign_in", _MICROSOFT)
        return Refusal("sign_in", f"{host or 'the server'} asks to sign in: it does not give the file to everybody")
    said = f" ('{title}')" if title else ""
    return Refusal(
        "other", f"{host or 'the server'} sent a web page{said}, not the file: open the address in a browser"
    )


def _title(text: str) -> str:
    found = re.search(r"<title[^>]*>(.*?)</title>", text)
    return found[1].strip()[:80] if found else ""
