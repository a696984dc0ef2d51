"""Groups of commands that other packages add to `llm-router`, as entry points:

    [project.entry-points."patchbay.commands"]
    phone = "agent.commands.phone:app"

Each names a `typer.Typer`. Its module should import little: every command imports it, `--help` too.
"""

from importlib.metadata import entry_points

import typer

from llm_router.cli.command import EXIT_FAILED, print_error

COMMANDS = "patchbay.commands"
"""Group of the entry points."""


def register(app: typer.Typer) -> None:
    """Adds the groups of all packages; one that cannot be loaded says so when it is used."""
    for entry in sorted(entry_points(group=COMMANDS)):
        try:
            group = entry.load()
        except Exception as error:  # noqa: BLE001  the other commands must work without it
            group = _unavailable(entry.name, f"{type(error).__name__}: {error}")
        app.add_typer(group, name=entry.name)


def _unavailable(name: str, reason: str) -> typer.Typer:
    group = typer.Typer(help="Not available.", invoke_without_command=True)

    @group.callback(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def explain() -> None:
        print_error(f"{name} cannot be loaded ({reason}); install its package again")
        raise typer.Exit(EXIT_FAILED)

    return group
