"""Limits of a download: time-outs, tries, back-off and progress reports."""

from dataclasses import dataclass

CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 30.0  # without a single byte; then the connection is dropped and the request repeated
LONGEST_WAIT_S = 300.0  # largest Retry-After that is waited for; a longer one ends the file's download


@dataclass(frozen=True)
class DownloadSettings:
    """Limits of one call of `download`; the defaults are for real servers, tests shorten them."""

    connect_timeout_s: float = CONNECT_TIMEOUT_S
    read_timeout_s: float = READ_TIMEOUT_S

    tries: int = 100  # of one file, whatever happens
    tries_without_progress: int = 5  # in a row: tries that added no byte to a file
    tries_with_wrong_content: int = 3
    tries_to_connect: int = 3  # to a host that never answered
    tries_to_reconnect: int = 8  # to a host that answered before: a minute without network must not end a long download
    host_failures: int = 3  # failed files in a row after which a host is not contacted any more

    back_off_s: float = 1.0  # doubled after each try without progress
    longest_back_off_s: float = 30.0

    progress_every_s: float = 2.0
    shutdown_s: float = 1.0  # grace period for the threads when the user interrupts; blocked ones are abandoned
    # Write the resume information only for partial files of at least this size: after a kill, a smaller one is
    # cheaper to download again than its extra file is to write.
    resume_info_from_bytes: int = 4 << 20
