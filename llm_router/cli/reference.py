"""Prints every command of `llm-router` as Markdown: `python -m llm_router.cli.reference`."""

import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from llm_router.cli.main import EPILOG, build

_COMMON = frozenset({"json", "api_url", "api_key_file", "help"})
"""Options of nearly every command, which are described once."""


def render() -> str:
    """Returns the page, with the commands of other packages that are installed."""
    root = get_command(build())
    return "\n".join(["# Commands", "", EPILOG, "", *_commands(root, ())]) + "\n"


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    if not hasattr(command, "commands"):
        yield from _command(command, path)
        return
    for name in sorted(command.commands):
        inner = command.commands[name]
        if not path:
            yield from (f"## {name}", "", *(filter(None, [inner.help])), "")
        yield from _commands(inner, (*path, name))


def _command(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    if len(path) > 1:
        yield from (f"### {' '.join(path)}", "", command.help or "", "")
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(["llm-router", *path, *(_metavar(p) for p in arguments)])
    yield from ("```", f"{usage} [OPTIONS]", "```", "")
    shown = [p for p in command.params if p.name not in _COMMON and getattr(p, "help", None)]
    if shown:
        yield from ("| | |", "| --- | --- |")
        yield from (f"| `{_spelling(p)}` | {_cell(p)} |" for p in shown)
        yield ""


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _metavar(parameter)
    value = "" if getattr(parameter, "is_flag", False) else f" {_metavar(parameter)}"
    return f"{', '.join(parameter.opts)}{value}"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _cell(parameter: Any) -> str:
    default = parameter.default
    is_shown = default not in (None, "", False, ()) and not callable(default)
    usual = f" Default: {default}." if is_shown and not parameter.required else ""
    return f"{parameter.help}{usual}".replace("|", "\\|").replace("\n", " ")


def main() -> int:
    typer.echo(render(), nl=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
