"""`python -m flows.handoff.verified_pull [TARGET...]`: `dvc pull --force` that verifies all it takes from the remote.

DVC (3.67) hashes what it downloads only where the remote has `verify = true`. Even then it does not hash the list of a
folder's files (an object HASH.dir), but writes to whatever paths that list names, `../` included. So this switches
`verify` on for every remote, and puts each list into DVC's cache itself, hashed: DVC then reads it from there.
"""

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvc.config import Config
from dvc.exceptions import CheckoutError
from dvc.repo import Repo
from dvc.repo.index import index_from_targets

from pipeline.command import run
from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing

_MAX_LIST_BYTES = 256 << 20  # 100,000 archives are 7 MB
_MD5 = re.compile(r"[0-9a-f]{32}")


def pull(targets: Sequence[str]) -> None:
    """Download `targets`, or everything, as dvc.lock names them; whatever is in their place is replaced.

    Raises FacemaskError for what is missing in the remote or is not what dvc.lock names: it stays out of the workspace.
    """
    try:
        verified = {name: {"verify": True} for name in Config.from_cwd()["remote"]}
        with Repo(config={"remote": verified}, _wait_for_lock=True) as repo:
            for output in index_from_targets(repo, list(targets) or None).outs:
                if output.use_cache and output.hash_info and output.hash_info.isdir:
                    _cache_list(repo, output)
            repo.drop_data_index()  # where DVC keeps lists, too, those of earlier pulls included
            result = repo.pull(list(targets) or None, force=True)
    except FacemaskError:
        raise
    except CheckoutError as error:
        raise FacemaskError(
            f"'dvc pull' cannot bring {', '.join(map(str, error.target_infos))}: objects of it in the DVC remote are "
            "missing, or are not what dvc.lock names: delete it there and run 'dvc push' where it was made; "
            "docs/security.md says who could have changed it"
        ) from error
    except Exception as error:  # each kind of remote has its own exceptions
        raise FacemaskError(
            f"'dvc pull' failed in {Path.cwd()}: {' '.join(str(error).split())}; "
            "'dvc remote list' shows the remote: can it be reached from here?"
        ) from error
    print(f"{result['stats']['fetched']} files fetched", flush=True)


def _cache_list(repo: Repo, output: Any) -> None:
    """Put the list of the files of `output`, a folder, into DVC's cache, if it is what dvc.lock names.

    Raises FacemaskError if it is missing or another.
    """
    name: str = output.hash_info.value  # MD5.dir
    cached = Path(output.cache.oid_to_path(name))
    if cached.is_file() and _matches(cached.read_bytes(), name):
        return _refuse_paths_outside(cached.read_bytes(), output)
    odb = repo.cloud.get_remote_odb(output.remote, "pull", output.hash_info.name)
    where = odb.oid_to_path(name)
    try:
        size = odb.fs.info(where)["size"]
        # Not an empty one: S3 has no range of it.
        data = odb.fs.cat_file(where, 0, size) if 0 < size <= _MAX_LIST_BYTES else b""
    except FileNotFoundError as error:
        raise FacemaskError(
            f"'dvc pull' cannot bring {output}: it is not in the DVC remote: run 'dvc push' where it was made"
        ) from error
    if not _matches(data, name):
        raise FacemaskError(
            f"'dvc pull' cannot bring {output}: the list of its files in the DVC remote is not the one that dvc.lock "
            f"names: delete {where} there and run 'dvc push' where {output} was made; docs/security.md says who could "
            "have changed it"
        )
    _refuse_paths_outside(data, output)
    with replacing(cached) as beside:
        beside.write_bytes(data)
    output.cache.protect(str(cached))
    return None


def _matches(data: bytes, name: str) -> bool:
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == name.partition(".")[0]


def _refuse_paths_outside(data: bytes, output: Any) -> None:
    """Raise FacemaskError unless the list names plain files below the folder, whoever wrote dvc.lock."""
    try:
        good = all(_MD5.fullmatch(entry["md5"]) and _is_below(entry["relpath"]) for entry in json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError):
        good = False
    if not good:
        raise FacemaskError(
            f"'dvc pull' cannot bring {output}: the list of its files names paths outside of it, or is no such list: "
            "dvc.lock names a folder that facemask did not make; 'git log dvc.lock' shows where it is from"
        )


def _is_below(path: str) -> bool:
    """Whether a relative path stays below its folder."""
    return "\\" not in path and "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


if __name__ == "__main__":
    run(lambda: pull(sys.argv[1:]))
