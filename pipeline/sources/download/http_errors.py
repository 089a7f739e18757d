"""HTTP answers that are not the file: the exception for a status code, or for an HTML page with status 200."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from pipeline.sources.download.error_pages import PAGE_BYTES, ErrorPage, classify_page, is_html
from pipeline.sources.download.response import PermanentError, TransientError
from pipeline.sources.download.settings import LONGEST_WAIT_S

_RETRIED_STATUS = (408, 425, 429)  # and all of 500 and more


@dataclass(frozen=True)
class ErrorResponse:
    """An HTTP answer that is not the file, from httpx or requests.

    `url` is the URL after redirects, `headers` is indexed without regard to case, `body` is its first PAGE_BYTES bytes.
    """

    url: str
    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes


def error_for_status(response: ErrorResponse) -> PermanentError | TransientError:
    """Return the exception for a status other than 200 and 206."""
    if is_html(response.body, response.headers.get("content-type", "")):
        page = classify_page(_text(response), response.url)
        if page.kind != "other":
            return _permanent(page)
    summary = f"{urlsplit(response.url).hostname} answers {response.status} {response.phrase}".rstrip()
    if response.status not in _RETRIED_STATUS and response.status < 500:
        return PermanentError(summary)
    wait_s = retry_after_s(response.headers.get("retry-after", ""))
    if wait_s > LONGEST_WAIT_S:
        then = datetime.fromtimestamp(time.time() + wait_s).astimezone()
        return PermanentError(f"{summary}: try again after {then:%Y-%m-%d %H:%M}", whole_host=True)
    return TransientError(summary, wait_s)


def error_for_page(response: ErrorResponse) -> PermanentError | TransientError:
    """Return the exception for an HTML page with status 200.

    A page of no known kind is transient: a proxy or an overloaded server may have sent it.
    """
    page = classify_page(_text(response), response.url)
    return TransientError(page.reason) if page.kind == "other" else _permanent(page)


def error_for_message(message: str, url: str) -> PermanentError | None:
    """Return the exception for an error text of a known kind, None for any other text."""
    page = classify_page(message, url)
    return None if page.kind == "other" else _permanent(page)


def retry_after_s(value: str) -> float:
    """Return the value of a Retry-After header, a number of seconds or a date, in seconds from now; 0 if invalid."""
    if value.strip().isdecimal():
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (then - datetime.now(then.tzinfo or UTC).replace(tzinfo=then.tzinfo)).total_seconds())


def _permanent(page: ErrorPage) -> PermanentError:
    return PermanentError(page.reason, whole_host=page.kind == "quota")


def _text(response: ErrorResponse) -> str:
    return response.body[:PAGE_BYTES].decode(errors="replace")
