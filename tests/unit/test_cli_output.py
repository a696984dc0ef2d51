"""The command line's output for people, programs and terminals."""

from typing import Any

import pytest

from llm_router.cli.output import Output, format_value
from llm_router.printable import printable


def test_characters_that_could_steer_a_terminal_are_removed() -> None:
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
def test_every_value_is_formatted_as_one_line(value: Any, text: str) -> None:
    assert format_value(value) == text


def test_a_command_prints_for_people_or_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        out = Output(as_json=as_json)
        out.print_line("a line")
        out.print_text("a word\n")
        out.print_table(("name",), [("a\tb",)], "none")
        out.print_note("aside")
        out.json({"name": "a"})
    captured = capsys.readouterr()
    assert captured.out == 'a line\na word\nname\na b\n{\n  "name": "a"\n}\n'
    assert captured.err == "aside\n"


def test_markup_in_a_value_is_printed_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).print_line("[red]not red[/red]")
    assert capsys.readouterr().out == "[red]not red[/red]\n"
