"""What is given on the command line: fields, and where secrets are. Never the secrets themselves.

Arguments can be read by everybody on the machine while a command runs, and stay in the shell's
history; so a key is asked for, piped in, or taken from a variable.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from config.settings import environment
from llm_router.cli.command import NotDoneError
from llm_router.connections.record import SECRET_FIELDS, STORE_MANAGED_FIELDS, Connection

_WHERE = "ask (a hidden prompt), - (standard input), env:NAME (a variable) or none"
KeyFrom = Annotated[
    str | None, typer.Option("--key", metavar="WHERE", help=f"Where its API key is: {_WHERE}.")
]
HeadersFrom = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME=WHERE", help="A header to send; WHERE as for --key."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Any other field, such as --set timeout=20 or --set 'extra_body={\"seed\": 1}';"
        " null takes a value away.",
    ),
]


def secret(where: str, what: str) -> str | None:
    """The secret that `where` speaks of; None: there is to be none."""
    if where == "none":
        return None
    if where == "ask":
        if not sys.stdin.isatty():
            raise NotDoneError(f"{what}: nobody is there to be asked; give - or env:NAME")
        return str(typer.prompt(what, hide_input=True, err=True)).strip()
    if where == "-":
        if text := sys.stdin.readline().strip():
            return text
        raise NotDoneError(f"{what}: standard input is empty; pipe it in, or give env:NAME")
    if where.startswith("env:"):
        name = where.removeprefix("env:")
        if text := environment().get(name, "").strip():
            return text
        raise NotDoneError(f"{what}: the variable {name} is not set; set it, or give - or ask")
    # Not repeated: it is likely to be the secret.
    raise NotDoneError(
        f"{what}: say where it is: {_WHERE}. If what you gave was the secret itself, others may"
        " have seen it: have it replaced"
    )


def fields(
    plain: Mapping[str, Any],
    sets: Sequence[str] | None = None,
    key: str | None = None,
    headers: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The fields of a connection that were given; those of `plain` that are None were not."""
    given = {name: value for name, value in plain.items() if value not in (None, [], ())}
    given |= dict(_set(pair) for pair in sets or ())
    if key is not None:
        given["api_key"] = secret(key, "the API key")
    if headers:
        pairs = [_parted(pair, "--header", "NAME=WHERE") for pair in headers]
        given["headers"] = {name: secret(where, f"header {name}") or "" for name, where in pairs}
    return given


def confirm(question: str, *, yes: bool) -> bool:
    """Raises NotDoneError where nobody is there to be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise NotDoneError("nobody is there to be asked; to go ahead, add --yes")
    return typer.confirm(question, err=True)


def _set(pair: str) -> tuple[str, Any]:
    name, value = _parted(pair, "--set", "FIELD=VALUE")
    if name in SECRET_FIELDS:
        raise NotDoneError(f"--set {name}: secrets are not given here; use --key or --header")
    if name in STORE_MANAGED_FIELDS and name != "owner":
        raise NotDoneError(f"--set {name}: that is kept by the store; nobody sets it")
    if name not in Connection.__dataclass_fields__:
        raise NotDoneError(f"--set {name}: there is no such field; `connections show` names them")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _parted(pair: str, option: str, shape: str) -> tuple[str, str]:
    name, sign, value = pair.partition("=")
    if not sign or not name:
        raise NotDoneError(f"{option}: must look like {shape}")
    return name.strip(), value
