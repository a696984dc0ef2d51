"""What the command line shows, and what it must not let through."""

from typing import Any

import pytest

from llm_router.cli.output import Output, printable, shown


def test_what_could_steer_a_terminal_is_taken_out() -> None:
    assert printable("a\x1b[31mb\x07c\u202ed\ne") == "a [31mb c d e"
    assert printable("a\nb", keep="\n") == "a\nb"
    assert printable("Größe 大 🎈") == "Größe 大 🎈"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), ("", "-"), (True, "yes"), (False, "no"), (0, "0"), (2.50, "2.5"),
        (["a", "b"], "a, b"), ([], "-"), ({"seed": 1}, '{"seed": 1}'), ({}, "-"),
        ("two\nlines", "two lines"),
    ],
)  # fmt: skip
def test_every_value_fits_into_one_line(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_command_is_heard_by_people_or_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        out = Output(as_json=as_json)
        out.line("a line")
        out.word("a word\n")
        out.table(("name",), [("a\tb",)], "none")
        out.say("aside")
        out.json({"name": "a"})
    said = capsys.readouterr()
    assert said.out == 'a line\na word\nname\na b\n{\n  "name": "a"\n}\n'
    assert said.err == "aside\n"


def test_markup_in_a_value_is_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).line("[red]not red[/red]")
    assert capsys.readouterr().out == "[red]not red[/red]\n"
