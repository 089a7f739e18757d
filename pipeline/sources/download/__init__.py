"""Reliable download of many files: resumed, verified, flushed to disk, then moved into place.

`download` is the entry point; docs/fetching.md lists the faults that it survives and its speed.
"""

from pipeline.sources.download.downloader import download
from pipeline.sources.download.remote import Failure, Remote
from pipeline.sources.download.settings import DownloadSettings

__all__ = ["DownloadSettings", "Failure", "Remote", "download"]
