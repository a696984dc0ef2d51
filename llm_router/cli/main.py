"""`llm-router`: puts the commands together."""

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from llm_router.cli import api_keys, connections, database, discover, doctor, files, presets, probe
from llm_router.cli.command import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NO, print_error

EPILOG = (
    "Works on the database that DATABASE_URL names, with the rights of an admin; or over HTTP, with"
    " PATCHBAY_API_URL and PATCHBAY_API_KEY. Variables may be set in .env. Exit codes: 0 done;"
    f" {EXIT_NO} done, and the answer is no (a connection that does not work, a fault, a question"
    f" that you answered with no); {EXIT_FAILED} failed, and standard error says why and what to"
    f" do; {EXIT_INTERRUPTED} interrupted."
)
_MORE_OF_CONNECTIONS = (probe, files, discover)
"""Modules imported for the commands that they add to `connections`."""


def build() -> typer.Typer:
    """Builds the application with all commands."""
    app = typer.Typer(
        name="llm-router",
        help="Manage connections to language models: store, test and switch them during calls.",
        epilog=EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.add_typer(connections.app, name="connections")
    app.add_typer(presets.app, name="presets")
    app.add_typer(api_keys.app, name="api-keys")
    app.add_typer(database.keys, name="keys")
    database.register(app)
    doctor.register(app)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; `argv` defaults to the process's arguments."""
    try:
        code = get_command(build()).main(
            sys.argv[1:] if argv is None else [*argv],
            prog_name="llm-router",
            standalone_mode=False,
        )
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        print_error(f"{message} See llm-router --help.")
        return EXIT_FAILED
    except typer.Abort:  # Ctrl-C at a question
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0
