"""Reads .env without any package, for the commands that run before there is an environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from deploy import console, paths

ENV_FILE = paths.ROOT / ".env"


class EnvFileError(console.ReportedError):
    """The file is there and cannot be read; the message says why and what to do."""


def read(file: Path = ENV_FILE) -> dict[str, str]:
    """Returns the file's values by variable; none if there is no file. Raises EnvFileError."""
    try:
        # An editor on Windows may begin the file with a byte order mark.
        return parse(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(
            f"{file} cannot be read ({error}): save it as UTF-8 text, or remove it."
        ) from error


def setting(name: str, environ: Mapping[str, str] = os.environ, file: Path = ENV_FILE) -> str:
    """Returns a variable of the environment, else of the file, else "". Raises EnvFileError."""
    return (environ.get(name) or read(file).get(name, "")).strip()


def parse(text: str) -> dict[str, str]:
    """Reads the lines NAME=value of a .env file, as Compose does for values of one line."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        if value[:1] in {"'", '"'} and value.find(value[0], 1) > 0:
            value = value[1 : value.find(value[0], 1)]
        else:
            value = "" if value.startswith("#") else value.partition(" #")[0].strip()
        values[name.strip()] = value
    return values
