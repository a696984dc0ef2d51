"""`llm-router`: the commands put together."""

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from llm_router.cli import api_keys, connections, database, discover, doctor, files, presets, probe
from llm_router.cli.command import INTERRUPTED, NO, NOT_DONE, complain

EPILOG = (
    "Works on the database that DATABASE_URL names, as its admin, or with PATCHBAY_API_URL and"
    " PATCHBAY_API_KEY over HTTP; variables may stand in .env. Exit codes: 0 done;"
    f" {NO} done, and the answer is no (a connection that does not work, a fault, a question"
    f" answered with no); {NOT_DONE} not done, and standard error says why and what to do;"
    f" {INTERRUPTED} interrupted."
)
_OF_CONNECTIONS = (probe, files, discover)
"""Imported for the commands that they add to `connections`."""


def build() -> typer.Typer:
    app = typer.Typer(
        name="llm-router",
        help="Connections to language models: kept, tried and switched while calls go on.",
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
    """The exit code; `argv` is that of the process unless given."""
    try:
        code = get_command(build()).main(
            sys.argv[1:] if argv is None else [*argv],
            prog_name="llm-router",
            standalone_mode=False,
        )
    except typer.TyperException as error:
        said = " ".join(error.format_message().split())
        complain(f"{said} See llm-router --help.")
        return NOT_DONE
    except typer.Abort:  # at a question
        return INTERRUPTED
    return code if isinstance(code, int) else 0
