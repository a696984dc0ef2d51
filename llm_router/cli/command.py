"""Shared parts of all commands: common options, errors in one line, exit codes."""

import asyncio
import functools
import inspect
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from llm_router.api_client import ApiClient
from llm_router.cli.output import Output
from llm_router.errors import RouterError
from llm_router.settings.loading import SettingsError

EXIT_NO, EXIT_FAILED, EXIT_INTERRUPTED = 1, 2, 130
"""Exit codes in addition to 0; `main.EPILOG` says what each means."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        help="Use the HTTP process at this address, with the key in PATCHBAY_API_KEY, instead of"
        " the database. Also set by PATCHBAY_API_URL.",
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option("--api-key-file", metavar="FILE", help="Read the API key from this file instead."),
]


class CommandError(Exception):
    """A command cannot be carried out; the message says why and what to do next."""


@dataclass(frozen=True, slots=True)
class CommandContext:
    """The API and the output of one run of a command."""

    api: ApiClient
    out: Output


Work = Callable[..., Awaitable[int | None]]
"""The body of a command; returns its exit code, or None for 0."""


def api_command(
    app: typer.Typer, name: str, options: Mapping[str, Any] = MappingProxyType({})
) -> Callable[[Work], Work]:
    """Registers a command that uses the API; its first argument is the CommandContext.

    `options`: options that it shares with other commands, by name; None where not given.
    """

    def decorate(work: Work) -> Work:
        async def run(api_url: str | None, api_key_file: Path | None, out: Output, own: Any) -> Any:
            from llm_router.cli.connect import open_api  # noqa: PLC0415  takes a second; --help skips it

            async with open_api(api_url, api_key_file) as api:
                return await work(CommandContext(api, out), **own)

        def command(
            *, json: bool, api_url: str | None, api_key_file: Path | None, **own: Any
        ) -> None:
            run_and_exit(run(api_url, api_key_file, Output(as_json=json), own))

        common = {**options, "json": AsJson, "api_url": ApiUrl, "api_key_file": ApiKeyFile}
        _register(app, name, work, command, common)
        return work

    return decorate


def local_command(app: typer.Typer, name: str) -> Callable[[Work], Work]:
    """Registers a command on this machine itself; its first argument is the Output."""

    def decorate(work: Work) -> Work:
        def command(*, json: bool, **own: Any) -> None:
            run_and_exit(work(Output(as_json=json), **own))

        _register(app, name, work, command, {"json": AsJson})
        return work

    return decorate


def run_and_exit(work: Awaitable[int | None]) -> None:
    """Runs a command's work, prints its error if it fails, and ends the process with its code."""

    async def main() -> int | None:
        if this := asyncio.current_task():
            # asyncio.run's own handler notices a signal only when the loop wakes: one that comes
            # just before the loop goes to sleep could wait for half a minute.
            with suppress(NotImplementedError):  # on Windows
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, this.cancel)
        return await work

    # Warnings are printed, such as the creation of a first master key; the rest is not.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        code = asyncio.run(main()) or 0
    except (RouterError, SettingsError, CommandError) as error:
        print_error(str(error))
        code = EXIT_FAILED
    except (asyncio.CancelledError, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    raise typer.Exit(code)


def program_name() -> str:
    """Returns the name by which the program was called: `llm-router`, or `patchbay`."""
    return "patchbay" if Path(sys.argv[0]).stem == "patchbay" else "llm-router"


def print_error(text: str) -> None:
    """Prints an error as one line on standard error."""
    line = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    Output(as_json=False).print_note(f"{program_name()}: {line}", "red")


def _register(
    app: typer.Typer, name: str, work: Work, command: Callable[..., None], common: dict[str, Any]
) -> None:
    """Registers `command` with the parameters of `work` after its first, and the `common` ones."""
    _, *own = inspect.signature(work, eval_str=True).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    by_name = [p.replace(kind=keyword) for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD]
    shared = [
        inspect.Parameter(
            option, keyword, default=False if kind is AsJson else None, annotation=kind
        )
        for option, kind in common.items()
    ]
    functools.update_wrapper(command, work)
    command.__signature__ = inspect.Signature([*by_name, *shared])  # type: ignore[attr-defined]  # Typer reads the signature
    command.__annotations__ = {p.name: p.annotation for p in (*by_name, *shared)}
    app.command(name)(command)
