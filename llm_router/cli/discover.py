"""`llm-router connections discover`: what could be added, and what of it is."""

import sys
from typing import Annotated, Any

import typer

from config.settings import environment
from llm_router.cli.command import NotDoneError, Session, over_api
from llm_router.cli.connections import app
from llm_router.cli.files import add_all
from llm_router.connections.record import Connection
from llm_router.discovery.discover import DiscoveryResult, suggest_connections


@over_api(app, "discover")
async def discover(
    session: Session,
    *,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="NAME", help="Add this one; may be given again. all: all."),
    ] = None,
) -> None:
    """Show model servers that run here, and keys in the environment; add those you name.

    No key is tried, and nothing is added unless you say so.
    """
    session.out.say("looking at the usual ports and the environment")
    found = await suggest_connections(environment())
    for warning in found.warnings:
        session.out.say(warning, "yellow")
    kept = {item["name"] async for item in session.api.pages("/connections", {})}
    new = [c for c in found.connections if c.name not in kept]
    _show(session, found, kept)
    wanted = _wanted(add, found, new) if add else _asked_for(session, new)
    added = await add_all(session, wanted)
    offers = [_offer(c, found, kept) for c in found.connections]
    session.out.json({"found": offers, "added": added})
    if added:
        session.out.line(f"added {', '.join(item['name'] for item in added)}")


def _show(session: Session, found: DiscoveryResult, kept: set[str]) -> None:
    columns = ("name", "model", "address", "found", "kept")
    offers = [_offer(c, found, kept) for c in found.connections]
    rows = [[offer[column] for column in columns] for offer in offers]
    session.out.table(columns, rows, "nothing was found; start a model server, or set a key")


def _offer(connection: Connection, found: DiscoveryResult, kept: set[str]) -> dict[str, Any]:
    return {
        "name": connection.name,
        "model": connection.model_name,
        "address": connection.base_url,
        "found": found.sources[connection.name],
        "kept": connection.name in kept,
    }


def _wanted(
    names: list[str], found: DiscoveryResult, new: list[Connection]
) -> tuple[Connection, ...]:
    if names == ["all"]:
        return tuple(new)
    offered = {c.name: c for c in found.connections}
    if strange := [name for name in names if name not in offered]:
        known = ", ".join(offered) or "nothing"
        raise NotDoneError(f"--add {strange[0]}: that was not found; there is: {known}")
    return tuple(c for c in new if c.name in names)


def _asked_for(session: Session, new: list[Connection]) -> tuple[Connection, ...]:
    if session.out.as_json or not sys.stdin.isatty():
        return ()
    return tuple(c for c in new if typer.confirm(f"Add {c.name}?", err=True))
