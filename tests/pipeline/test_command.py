"""How a command ends: errors that a user can act on, signals, and other exceptions."""

import signal
import subprocess
import sys

import pytest

from pipeline import command


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_user_error_is_one_line_and_a_status():
    ended = run("from pipeline.command import *\ndef main(): raise FacemaskError('a, b, c')\nrun(main)")
    assert (ended.returncode, ended.stderr) == (1, "facemask: error: a, b, c\n")


def test_a_full_disk_is_one_line_and_a_status():
    ended = run(
        "from pipeline.command import *\n"
        "def main():\n    with open('/dev/full', 'w') as file: file.write('x' * 100000)\n"
        "run(main)"
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "no space left on disk" in ended.stderr


def test_other_exceptions_are_raised():
    def main():
        raise PermissionError(13, "no")

    with pytest.raises(PermissionError):
        command.run(main)


def test_sigterm_ends_a_command_after_its_clean_up():
    ended = run(
        "import os, signal\nfrom pipeline.command import run\n"
        "def main():\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); signal.pause()\n"
        "    finally: print('cleaned up', flush=True); os.kill(os.getpid(), signal.SIGTERM)\n"
        "run(main)"
    )
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "cleaned up\n")
    assert ended.stderr == "facemask: stopped: the same command goes on from here\n"


def test_too_little_memory_is_one_line_and_a_status():
    ended = run("from pipeline.command import *\ndef main(): raise MemoryError\nrun(main)")
    assert ended.returncode == 1
    assert ended.stderr == "facemask: error: out of memory: end other programs, then run the same command again\n"
