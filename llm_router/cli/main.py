"""`llm-router`: puts the commands together."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from llm_router.cli import (
    add,
    api_keys,
    assistants,
    batch,
    calls,
    chat,
    connections,
    database,
    discover,
    doctor,
    files,
    fleet,
    groups,
    mcp,
    messages,
    presets,
    probe,
    sites,
)
from llm_router.cli.command import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NO,
    print_error,
    program_name,
)
from llm_router.version import __version__

EPILOG = (
    "Works on the database that DATABASE_URL names, with the rights of an admin; or over HTTP, with"
    " PATCHBAY_API_URL and PATCHBAY_API_KEY. Variables may be set in .env. Exit codes: 0 done;"
    f" {EXIT_NO} done, and the answer is no (a connection that does not work, a fault, a question"
    f" that you answered with no); {EXIT_FAILED} failed, and standard error says why and what to"
    f" do; {EXIT_INTERRUPTED} interrupted."
)
_MORE_OF_CONNECTIONS = (add, probe, files, discover)
"""Modules imported for the commands that they add to `connections`."""


def build() -> typer.Typer:
    """Builds the application with all commands."""
    app = typer.Typer(
        name="llm-router",
        help="Manage connections to language models: store, test and switch them during calls.",
        epilog=EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        callback=_read_options,
    )
    app.add_typer(connections.app, name="connections")
    app.add_typer(assistants.app, name="assistants")
    app.add_typer(calls.app, name="calls")
    app.add_typer(presets.app, name="presets")
    app.add_typer(api_keys.app, name="api-keys")
    app.add_typer(sites.app, name="sites")
    app.add_typer(messages.app, name="messages")
    app.add_typer(fleet.app, name="fleet")
    app.add_typer(database.keys, name="keys")
    database.register(app)
    doctor.register(app)
    batch.register(app)
    chat.register(app)
    mcp.register(app)
    groups.register(app)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; `argv` defaults to the process's arguments."""
    try:
        code = get_command(build()).main(
            sys.argv[1:] if argv is None else [*argv],
            prog_name=program_name(),
            standalone_mode=False,
        )
    except typer.TyperException as error:
        if error.format_message():  # empty if help was printed because no command was given
            print_error(_explain(error))
        return EXIT_FAILED
    except typer.Abort:  # Ctrl-C at a question
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0


def _read_options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda wanted: _print_version() if wanted else None,
        ),
    ] = False,
) -> None:
    """Takes the options that stand before a command."""


def _print_version() -> None:
    typer.echo(f"{program_name()} {__version__}")
    raise typer.Exit


def _explain(error: typer.TyperException) -> str:
    """Describes a wrong command line; names the help of the command that was meant."""
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    command = context.command_path if context else program_name()
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See {command} --help"
