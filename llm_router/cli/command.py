"""What every command has in common: its options, its errors in one line, its exit code."""

import asyncio
import functools
import inspect
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from config.settings import SettingsError
from llm_router.api_client import ApiClient
from llm_router.cli.output import Output
from llm_router.errors import RouterError

NO, NOT_DONE, INTERRUPTED = 1, 2, 130
"""Exit codes beside 0; `main.EPILOG` says what each means."""

AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        help="Ask the HTTP process there, with the key in PATCHBAY_API_KEY, in place of the"
        " database. [PATCHBAY_API_URL]",
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option("--api-key-file", metavar="FILE", help="Where the API key is, if not there."),
]


class NotDoneError(Exception):
    """It could not be done as it was asked for: what, and what to do next."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with."""

    api: ApiClient
    out: Output


Work = Callable[..., Awaitable[int | None]]


def over_api(
    app: typer.Typer, name: str, options: Mapping[str, Any] = MappingProxyType({})
) -> Callable[[Work], Work]:
    """A command on the API: its first argument is the Session, the others are its own.

    `options`: more of them, which it shares with others, by name; None where they are not given.
    """

    def decorate(work: Work) -> Work:
        async def run(api_url: str | None, api_key_file: Path | None, out: Output, own: Any) -> Any:
            from llm_router.cli.connect import open_api  # noqa: PLC0415  a second, not for --help

            async with open_api(api_url, api_key_file) as api:
                return await work(Session(api, out), **own)

        def command(
            *, json: bool, api_url: str | None, api_key_file: Path | None, **own: Any
        ) -> None:
            finish(run(api_url, api_key_file, Output(as_json=json), own))

        common = {**options, "json": AsJson, "api_url": ApiUrl, "api_key_file": ApiKeyFile}
        _register(app, name, work, command, common)
        return work

    return decorate


def on_this_machine(app: typer.Typer, name: str) -> Callable[[Work], Work]:
    """A command on what is here, such as the database itself: its first argument is the Output."""

    def decorate(work: Work) -> Work:
        def command(*, json: bool, **own: Any) -> None:
            finish(work(Output(as_json=json), **own))

        _register(app, name, work, command, {"json": AsJson})
        return work

    return decorate


def finish(work: Awaitable[int | None]) -> None:
    """Does it, and ends the process with the code that says what came of it."""

    async def running() -> int | None:
        if this := asyncio.current_task():
            # Not left to asyncio.run: a signal that comes just before the loop goes to sleep would
            # be seen when the loop next wakes, which may be half a minute later.
            with suppress(NotImplementedError):  # on Windows
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, this.cancel)
        return await work

    # What is made or refused on the way, such as a first master key, is said; the rest is noise.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        code = asyncio.run(running()) or 0
    except (RouterError, SettingsError, NotDoneError) as error:
        complain(str(error))
        code = NOT_DONE
    except (asyncio.CancelledError, KeyboardInterrupt):
        code = INTERRUPTED
    raise typer.Exit(code)


def complain(text: str) -> None:
    """One line on standard error."""
    said = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    Output(as_json=False).say(f"llm-router: {said}", "red")


def _register(
    app: typer.Typer, name: str, work: Work, command: Callable[..., None], common: dict[str, Any]
) -> None:
    """With the options of `work`, but for its first argument, and the common ones behind them."""
    _, *own = inspect.signature(work, eval_str=True).parameters.values()
    keyword, rest = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD
    by_name = [p.replace(kind=keyword) for p in own if p.kind is not rest]
    shared = [
        inspect.Parameter(
            option, keyword, default=False if kind is AsJson else None, annotation=kind
        )
        for option, kind in common.items()
    ]
    functools.update_wrapper(command, work)
    command.__signature__ = inspect.Signature([*by_name, *shared])  # type: ignore[attr-defined]  # what Typer looks at
    command.__annotations__ = {p.name: p.annotation for p in (*by_name, *shared)}
    app.command(name)(command)
