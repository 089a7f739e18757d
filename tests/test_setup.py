import os
import subprocess
import sys
from pathlib import Path

SETUP = Path(__file__).parent.parent / "setup.sh"


def test_too_little_room_is_told_before_anything_is_installed(tmp_path):
    df = tmp_path / "bin/df"
    df.parent.mkdir()
    df.write_text("#!/bin/sh\necho Filesystem 1024-blocks Used Available Use% On\necho disk 9 9 8000000 9% /\n")
    df.chmod(0o755)
    env = os.environ | {"PYTHON": sys.executable, "PATH": f"{df.parent}:{os.environ['PATH']}"}
    ended = subprocess.run(["sh", SETUP], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("facemask: error: less than 9 GB are free here") and ended.stderr.count("\n") == 1
    assert not (tmp_path / ".venv").exists()
