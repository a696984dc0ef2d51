"""Arguments that several commands share: fields of a connection, and sources of secrets.

A secret is never an argument itself: other users of the machine can read arguments while a command
runs, and the shell's history keeps them. So an argument names where to read the secret.
"""

import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import typer

from llm_router.cli.command import CommandError
from llm_router.connections.record import SECRET_FIELDS, STORE_MANAGED_FIELDS, Connection
from llm_router.settings.loading import environment
from llm_router.voice.assistant import NAME_PATTERN

_SOURCES = "ask (a hidden prompt), - (standard input), env:NAME (a variable) or none"
KeySource = Annotated[
    str | None,
    typer.Option("--key", metavar="WHERE", help=f"Where to read its API key: {_SOURCES}."),
]
HeaderSources = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="NAME=WHERE",
        help="Send this header; WHERE as for --key. Repeat the option for more headers.",
    ),
]
FieldValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Set any other field, such as --set timeout=20 or --set 'extra_body={\"seed\": 1}';"
        " null clears it. Repeat the option for more fields.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def read_secret(source: str, label: str) -> str | None:
    """Reads a secret from the `source` that an argument names; None for the source "none".

    `label` names the secret in prompts and errors. Raises CommandError where the source has none.
    """
    if source == "none":
        return None
    if source == "ask":
        if not sys.stdin.isatty():
            raise CommandError(
                f"{label}: cannot ask, since standard input is not a terminal; give - or env:NAME"
            )
        return str(typer.prompt(label, hide_input=True, err=True)).strip()
    if source == "-":
        if text := sys.stdin.readline().strip():
            return text
        raise CommandError(f"{label}: standard input is empty; pipe it in, or give env:NAME")
    if source.startswith("env:"):
        name = source.removeprefix("env:")
        if text := environment().get(name, "").strip():
            return text
        raise CommandError(f"{label}: the variable {name} is not set; set it, or give - or ask")
    # The message does not repeat `source`, which may well be the secret.
    raise CommandError(
        f"{label}: name where to read it: {_SOURCES}. If you gave the secret itself, others may"
        " have seen it: have it replaced"
    )


def collect_fields(
    options: Mapping[str, Any],
    assignments: Sequence[str] | None = None,
    key: str | None = None,
    headers: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Returns the fields of a connection that the arguments set, with their secrets read.

    `options`: values by field, None where not given; `assignments`, `key` and `headers`: the
    arguments of --set, --key and --header. Raises CommandError for one that makes no sense.
    """
    fields = {name: value for name, value in options.items() if value not in (None, [], ())}
    fields |= dict(_parse_assignment(pair) for pair in assignments or ())
    if key is not None:
        fields["api_key"] = read_secret(key, "the API key")
    if headers:
        pairs = [_split_pair(pair, "--header", "NAME=WHERE") for pair in headers]
        fields["headers"] = {
            name: read_secret(source, f"header {name}") or "" for name, source in pairs
        }
    return fields


def assigned(
    assignments: Sequence[str] | None, names: Collection[str], hint: str
) -> dict[str, Any]:
    """Returns the fields that `--set FIELD=VALUE` sets; a value is JSON, or else a text.

    Raises CommandError, with the `hint`, for a field that is none of `names`.
    """
    fields: dict[str, Any] = {}
    for pair in assignments or ():
        name, value = _split_pair(pair, "--set", "FIELD=VALUE")
        if name not in names:
            raise CommandError(f"--set {name}: there is no such field; {hint}")
        fields[name] = _json_or_text(value)
    return fields


def path_of(kind: str, name: str) -> str:
    """Returns the path of the assistant or site of this name.

    Raises CommandError for a name that none can have, which could be the path of something else.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise CommandError(
            f"there is no {kind} {name[:64]!r}: a name has small letters, digits, - and _"
        )
    return f"/{kind}s/{name}"


def confirm(question: str, *, yes: bool) -> bool:
    """Asks a yes-or-no question; `yes` answers it.

    Raises CommandError if standard input is not a terminal.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise CommandError(
            "cannot ask for confirmation, since standard input is not a terminal; to go ahead, add"
            " --yes"
        )
    return typer.confirm(question, err=True)


def _parse_assignment(pair: str) -> tuple[str, Any]:
    name, value = _split_pair(pair, "--set", "FIELD=VALUE")
    if name in SECRET_FIELDS:
        raise CommandError(f"--set {name}: secrets are not set here; use --key or --header")
    if name in STORE_MANAGED_FIELDS and name != "owner":
        raise CommandError(f"--set {name}: the store sets this field itself")
    if name not in Connection.__dataclass_fields__:
        raise CommandError(
            f"--set {name}: there is no such field; `connections show` lists the fields"
        )
    return name, _json_or_text(value)


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _split_pair(pair: str, option: str, shape: str) -> tuple[str, str]:
    name, sign, value = pair.partition("=")
    if not sign or not name:
        raise CommandError(f"{option}: must look like {shape}")
    return name.strip(), value
