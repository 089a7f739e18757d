"""A message is text for people and one line of JSON for a program."""

import pytest

from pipeline import messages
from pipeline.messages import Message, parse


def test_for_people_a_message_is_its_text(monkeypatch, capsys):
    monkeypatch.delenv(messages.VARIABLE, raising=False)
    messages.progress("measure: 3 of 8 images", 3, 8)
    assert capsys.readouterr().out == "measure: 3 of 8 images\n"


def test_a_program_gets_back_what_was_sent(monkeypatch, capsys):
    monkeypatch.setenv(messages.VARIABLE, "json")
    messages.progress("measure Zürich: 3 of 8 images", 3, 8)
    assert parse(capsys.readouterr().out.rstrip()) == Message("progress", "measure Zürich: 3 of 8 images", 3, 8)


def test_an_error_is_marked_for_people_and_bare_for_a_program(monkeypatch):
    monkeypatch.delenv(messages.VARIABLE, raising=False)
    assert messages.error_line("no x") == "facemask: error: no x"
    monkeypatch.setenv(messages.VARIABLE, "json")
    assert parse(messages.error_line("no x")) == Message("error", "no x")


@pytest.mark.parametrize("line", ["", "an image", "@facemask", "@facemask {", '@facemask {"kind": "x"}'])
def test_other_lines_are_no_messages(line):
    assert parse(line) is None
