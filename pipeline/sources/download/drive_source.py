"""Files on Google Drive, with gdown, which handles Drive's confirmation pages and keeps a partial file of its own."""

import threading
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import one_line
from pipeline.proxies import proxy_of
from pipeline.sources.download.error_pages import PAGE_BYTES
from pipeline.sources.download.http_errors import ErrorResponse, error_for_message, error_for_status
from pipeline.sources.download.response import Cancelled, PermanentError, RemoteChanged, TransientError
from pipeline.sources.download.settings import DownloadSettings

_DRIVE_URL = "https://drive.google.com"

OnProgress = Callable[[int, int | None], None]  # (bytes on disk, size of the whole file if known)


def fetch_drive_file(
    file_id: str, target: Path, settings: DownloadSettings, stop: threading.Event, on_progress: OnProgress
) -> None:
    """Download the Drive file `file_id` to `target`; an interrupted download is resumed by the same call.

    Raises PermanentError, TransientError, Cancelled after `stop` is set, OSError for the local disk, and what
    `on_progress` raises.
    """
    import gdown
    import requests

    started = False

    def report(on_disk: int, total: int | None) -> None:
        nonlocal started
        started = True
        on_progress(on_disk, total)

    try:
        gdown.download(
            id=file_id,
            output=str(target),
            quiet=True,
            resume=True,
            progress=report,
            use_cookies=False,  # gdown's cookie file does not support concurrent downloads
            timeout=(settings.connect_timeout_s, settings.read_timeout_s),
            cancel=stop,
        )
    except gdown.DownloadCancelled as error:
        raise Cancelled from error
    except requests.RequestException as error:
        raise _of_requests(error) from error
    except gdown.FileURLRetrievalError as error:
        fallback = PermanentError(f"Google Drive does not offer the file ({one_line(error)})")
        raise error_for_message(str(error), _DRIVE_URL) or fallback from error
    except gdown.DownloadError as error:
        if started:
            raise TransientError(f"Google Drive closed the connection early ({one_line(error)})") from error
        raise RemoteChanged(f"Google Drive does not resume the file ({one_line(error)})") from error
    except (KeyError, AssertionError) as error:  # gdown parses Drive's pages, which change without notice
        raise TransientError(f"the answer of Google Drive is not understood ({one_line(error)})") from error


def discard_partial(target: Path) -> None:
    """Remove gdown's partial files of `target`."""
    for part in target.parent.iterdir():
        if part.name.startswith(target.name) and part.name.endswith(".part"):
            part.unlink()


def _of_requests(error: Exception) -> PermanentError | TransientError:
    """Return this package's exception for one of requests."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        answer = error.response
        body = answer.content[:PAGE_BYTES]
        return error_for_status(ErrorResponse(answer.url, answer.status_code, answer.reason, answer.headers, body))
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        unreachable = not isinstance(error, requests.ReadTimeout)
        proxy = proxy_of(_DRIVE_URL)
        place = f"the proxy {proxy}, or Google Drive through it," if proxy else "Google Drive"
        return TransientError(f"{place} cannot be reached ({one_line(error)})", unreachable=unreachable)
    return TransientError(f"Google Drive closed the connection early ({one_line(error)})")
