"""Reads the settings from the environment and a `.env` file, and explains the invalid ones."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, get_args

from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from llm_router.loopback import LOOPBACK_HOST, reach_variable

_S = TypeVar("_S", bound=BaseSettings)

ENV_FILE = Path(".env")


class SettingsError(Exception):
    """A setting is invalid. The message names the variable, its value unless secret, and a fix."""


def load_section(section: type[_S], env_file: Path = ENV_FILE) -> _S:
    """Reads one section, for a command that needs no more. Raises SettingsError."""
    read: Callable[..., _S] = section
    try:
        return read(_env_file=env_file)
    except ValidationError as error:
        # Not chained: the cause would print the values, secrets included.
        raise SettingsError(_explain(error, section.model_fields)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{env_file} cannot be read ({error}); correct or remove it") from error


def environment(env_file: Path = ENV_FILE) -> Mapping[str, str]:
    """Returns all variables of the environment and the file, as text; holds secrets.

    For the search for connections, which may name variables that are not settings. In a container,
    addresses of the machine are those that the container reaches.
    """
    sources = (dotenv_values(env_file), os.environ)
    given = {name: value for source in sources for name, value in source.items() if value}
    return {name: reach_variable(name, value, given) for name, value in given.items()}


def export_variables(env_file: Path = ENV_FILE) -> str:
    """Adds the variables of the file to this process's environment, unless they are set there.

    Libraries read proxies and vendors' keys from the environment, under names of their own. Returns
    a note for the log if addresses of the machine were replaced, in a container; else "".
    """
    replaced = []
    for name, value in environment(env_file).items():
        before = os.environ.get(name)
        if before and before != value:
            replaced.append(name)
        os.environ[name] = value
    if not replaced:
        return ""
    return (
        f"{', '.join(sorted(replaced))}: 127.0.0.1 is this container, so"
        f" {os.environ[LOOPBACK_HOST]} is asked in its place; the server there must accept"
        " connections from containers (docs/compose.md)"
    )


def _explain(error: ValidationError, fields: Mapping[str, FieldInfo]) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        message = re.sub(r"^(Value error, |(Input|String|Value) (?=should))", "", problem["msg"])
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if not name:
            lines.append(message)
        elif problem["type"] == "missing":
            description = " ".join((fields[name].description or "").split())
            lines.append(f"{name.upper()} is not set: {description}")
        else:
            lines.append(f"{name.upper()}{_shown_value(problem['input'], fields[name])} {message}")
    return "\n".join(dict.fromkeys(lines))


def _shown_value(value: object, field: FieldInfo) -> str:
    if SecretStr in {field.annotation, *get_args(field.annotation)}:
        return " (a secret, not shown)"
    # An address may contain a password.
    return "=" + re.sub(r"//[^/@]*@", "//...@", str(value))
