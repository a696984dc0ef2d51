"""Tests how `make` commands read .env before there is a virtual environment."""

from pathlib import Path

import pytest

from deploy import env_file, extras
from deploy.env_file import EnvFileError


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("  A = b  # why", "b"),
        ("A='b # c'", "b # c"),
        ('A="b"  # why', "b"),
        ("A=b#c", "b#c"),
        ("A=# why", ""),
        ("A=", ""),
        ("#A=b", None),
        ("A", None),
    ],
)
def test_a_line_of_an_env_file(line: str, value: str | None) -> None:
    assert env_file.parse(line).get("A") == value


def test_a_file_from_windows_is_read_as_any_other(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"\xef\xbb\xbfA=1\r\nB='2'\r\n\r\n")
    assert env_file.read(file) == {"A": "1", "B": "2"}


def test_no_file_holds_nothing(tmp_path: Path) -> None:
    assert env_file.read(tmp_path / ".env") == {}


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1", encoding="utf-16")
    with pytest.raises(EnvFileError, match=r"\.env cannot be read .*save it as UTF-8"):
        env_file.read(file)
    with pytest.raises(EnvFileError, match="directory"):
        env_file.read(tmp_path)


def test_extras_may_stand_in_the_file_and_the_environment_takes_precedence(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert extras.chosen({}, file) == []
    file.write_text("EXTRAS=socks, deepgram\n")
    assert extras.chosen({}, file) == ["socks", "deepgram"]
    assert extras.chosen({"EXTRAS": ""}, file) == ["socks", "deepgram"]
    assert extras.chosen({"EXTRAS": "cartesia"}, file) == ["cartesia"]
