"""How a command ends: errors that a user can act on, signals, and other exceptions."""

import os
import signal
import subprocess
import sys

import pytest

from pipeline import command, messages


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
        raise OSError("a library's own")

    with pytest.raises(OSError, match="a library's own"):
        command.run(main)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("open('no')", "No such file or directory for no"),
        ("import os; os.mkdir('/')", "File exists for /"),
        ("open('a' * 300)", f"File name too long for {'a' * 300}"),
        ("open('a\\nb')", "No such file or directory for a b"),
        ("raise TimeoutError(110, 'Connection timed out')", "Connection timed out"),
    ],
)
def test_what_the_operating_system_refuses_is_one_line_and_a_status(code, message):
    ended = run(f"from pipeline.command import *\ndef main(): {code}\nrun(main)")
    line = f"facemask: error: {message}: check that path and its access rights, then run the same command again\n"
    assert (ended.returncode, ended.stderr) == (1, line)


@pytest.mark.parametrize(("number", "is_structured"), [(13, True), (28, True), (110, False), (5, False)])
def test_only_errors_that_last_are_said_to_need_the_user(monkeypatch, number, is_structured):
    monkeypatch.setenv("FACEMASK_MESSAGES", "json")
    ended = run(f"from pipeline.command import *\ndef main(): raise OSError({number}, 'no')\nrun(main)")
    assert (messages.parse(ended.stderr) is not None) is is_structured


def test_sigterm_ends_a_command_after_its_clean_up():
    ended = run(
        "import os, signal\nfrom pipeline.command import run\n"
        "def main():\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); signal.pause()\n"
        "    finally: print('cleaned up', flush=True); os.kill(os.getpid(), signal.SIGTERM)\n"
        "run(main)"
    )
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "cleaned up\n")
    assert ended.stderr == "facemask: stopped: to finish, run the same command again\n"


def test_too_little_memory_is_one_line_and_a_status():
    ended = run("from pipeline.command import *\ndef main(): raise MemoryError\nrun(main)")
    assert ended.returncode == 1
    assert ended.stderr == "facemask: error: out of memory: end other programs, then run the same command again\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "meanwhile"])
def test_a_reader_that_has_gone_ends_a_command_without_a_traceback(lines, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    code = (
        "import sys; from pipeline.command import run\n"
        f"def main():\n    sys.stdin.read()\n    for _ in range({lines}): print('a line')\n"
        "run(main)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        process.stdin.close()  # only now it prints
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE


@pytest.mark.parametrize("text", ["M\\u00fcller", "caf\\udce9"], ids=["an umlaut", "a name that is not UTF-8"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_text_that_stdout_cannot_encode_is_printed_with_escapes(encoding, text):
    code = f"from pipeline.command import run\ndef main(): print('{text}')\nrun(main)"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    printed = text.encode().decode("unicode-escape")
    assert ended.stdout.decode(encoding).rstrip() in (printed, text.replace("u00", "x"), text)


def test_another_broken_pipe_is_raised():
    def main():
        raise BrokenPipeError(32, "no")

    with pytest.raises(BrokenPipeError):
        command.run(main)


def test_a_command_starts_with_a_proxy_that_httpx_refuses(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1")
    ended = run("import httpx\nfrom pipeline.command import *\ndef main(): print(httpx.Client())\nrun(main)")
    assert (ended.returncode, ended.stderr) == (0, "")
