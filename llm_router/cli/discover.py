"""`llm-router connections discover`: finds connections that can be added, and adds those named."""

import sys
from typing import Annotated, Any

import typer

from llm_router.cli.command import CommandContext, CommandError, api_command
from llm_router.cli.connections import app
from llm_router.cli.files import add_connections
from llm_router.connections.record import Connection
from llm_router.discovery.discover import DiscoveryResult, suggest_connections
from llm_router.settings.loading import environment


@api_command(app, "discover")
async def discover(
    context: CommandContext,
    *,
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add", metavar="NAME", help="Add this one, or `all`; repeat it to add more."
        ),
    ] = None,
) -> None:
    """Find model servers on this machine and keys in the environment; add the ones you name.

    No key is tried out, and nothing is added unless you name it or, on a terminal, confirm it.
    """
    context.out.print_note("searching the usual ports and the environment")
    found = await suggest_connections(environment())
    for warning in found.warnings:
        context.out.print_note(warning, "yellow")
    stored = {item["name"] async for item in context.api.list_items("/connections", {})}
    offers = [_offer(c, found, stored) for c in found.connections]
    _print_offers(context, offers)
    new = [c for c in found.connections if c.name not in stored]
    chosen = _select(add, found, new) if add else _confirm_each(context, new)
    added = await add_connections(context, chosen)
    context.out.json({"found": offers, "added": added})
    if added:
        context.out.print_line(f"added {', '.join(item['name'] for item in added)}")


def _print_offers(context: CommandContext, offers: list[dict[str, Any]]) -> None:
    columns = ("name", "model", "address", "source", "stored")
    rows = [[offer[column] for column in columns] for offer in offers]
    empty = "found nothing; start a model server, or set a key in the environment"
    context.out.print_table(columns, rows, empty)


def _offer(connection: Connection, found: DiscoveryResult, stored: set[str]) -> dict[str, Any]:
    return {
        "name": connection.name,
        "model": connection.model_name,
        "address": connection.base_url,
        "source": found.sources[connection.name],
        "stored": connection.name in stored,
    }


def _select(
    names: list[str], found: DiscoveryResult, new: list[Connection]
) -> tuple[Connection, ...]:
    """Selects the new connections with these names. Raises CommandError for a name not found."""
    if names == ["all"]:
        return tuple(new)
    offered = {c.name: c for c in found.connections}
    if unknown := [name for name in names if name not in offered]:
        known = ", ".join(offered) or "nothing"
        raise CommandError(f"--add {unknown[0]}: no such connection was found; found: {known}")
    return tuple(c for c in new if c.name in names)


def _confirm_each(context: CommandContext, new: list[Connection]) -> tuple[Connection, ...]:
    """Asks about each new connection on a terminal; selects none elsewhere."""
    if context.out.as_json or not sys.stdin.isatty():
        return ()
    return tuple(c for c in new if typer.confirm(f"Add {c.name}?", err=True))
