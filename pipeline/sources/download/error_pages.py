"""HTML pages that servers send in place of a file: which kind a page is, and what the user can do about it."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["quota", "scan", "missing", "access", "sign_in", "other"]

PAGE_BYTES = 1 << 16  # read at most: the message is near the start of a page


@dataclass(frozen=True)
class ErrorPage:
    """A page in place of a file; `reason` is one line for the user."""

    kind: Kind
    reason: str


# (kind, pattern in the lower-case text, reason). The first match counts, so specific patterns come first: Google's page
# for a missing file also offers to sign in.
_PATTERNS: tuple[tuple[Kind, str, str], ...] = (
    (
        "quota",
        r"quota exceeded|too many users have viewed or downloaded this file|download quota for this file",
        "the download quota of this file on Google Drive is exceeded: try again after 24 hours",
    ),
    (
        "scan",
        r"virus scan warning|(can't|cannot|can’t|can&#39;t) scan this file for viruses|id=\"download-form\"",
        "Google Drive asks for confirmation because it cannot scan this file for viruses: use the URL drive:FILE_ID",
    ),
    (
        "missing",
        r"the file you have requested does not exist|error 404 \(not found\)|google drive - page not found"
        r"|item might not exist or is no longer available",
        "the file no longer exists: look for its new URL",
    ),
    (
        "access",
        r"request access|you need access|you need permission|access denied"
        r"|cannot retrieve the public link of the file",
        "the file is not shared with everyone who has the link: ask its owner to share it, then try again",
    ),
)
_NOT_SHARED = "requires a sign-in: the file is not shared with everyone who has the link; ask its owner to share it"
_SIGN_IN_HOSTS = {
    "accounts.google.com": f"Google {_NOT_SHARED}",
    "login.live.com": f"Microsoft {_NOT_SHARED}",
    "login.microsoftonline.com": f"Microsoft {_NOT_SHARED}",
}


def is_html(start: bytes, content_type: str = "") -> bool:
    """Return whether a body that begins with `start` is an HTML page.

    The content type alone is no evidence: some servers send images as text/html.
    """
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return True
    return text.startswith(b"<") and content_type.lower().startswith(("text/html", "application/xhtml"))


def classify_page(page: str, url: str = "") -> ErrorPage:
    """Return the kind of an HTML page, or of an error message, with its reason. `url` is the URL after redirects."""
    text = re.sub(r"\s+", " ", page).lower()
    for kind, pattern, reason in _PATTERNS:
        if re.search(pattern, text):
            return ErrorPage(kind, reason)
    host, title = urlsplit(url).hostname or "", _title(text)
    if sign_in := _sign_in_reason(text, host, title):
        return ErrorPage("sign_in", sign_in)
    titled = f" ('{title}')" if title else ""
    return ErrorPage(
        "other", f"{host or 'the server'} sent a web page{titled} in place of the file: open the URL in a browser"
    )


def _sign_in_reason(text: str, host: str, title: str) -> str | None:
    """Return the reason of a sign-in page, None for other pages."""
    if host in _SIGN_IN_HOSTS:
        return _SIGN_IN_HOSTS[host]
    if not re.search(r"\bsign[ -]?in\b|\blog[ -]?in\b", title):
        return None
    for known, reason in _SIGN_IN_HOSTS.items():
        if known in text:
            return reason
    for name in ("google", "microsoft", "onedrive"):
        if name in title:
            return f"{'Google' if name == 'google' else 'Microsoft'} {_NOT_SHARED}"
    return f"{host or 'the server'} requires a sign-in: it does not offer the file to everyone"


def _title(text: str) -> str:
    found = re.search(r"<title[^>]*>(.*?)</title>", text)
    return found[1].strip()[:80] if found else ""
