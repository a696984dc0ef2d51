"""`llm-router connections list|show|add|edit|activate|deactivate|remove`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from llm_router.api_client import find_connection
from llm_router.cli import arguments
from llm_router.cli.arguments import HeadersFrom, KeyFrom, Sets
from llm_router.cli.command import NO, NotDoneError, Session, over_api
from llm_router.cli.output import shown
from llm_router.connections.record import ConnectionType
from llm_router.connections.store import SortField
from llm_router.types import Integration

app = typer.Typer(help="Connections to language models.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(metavar="NAME", help="Its name, or its id.")]
Type = Annotated[ConnectionType | None, typer.Option("--type", help="What it is.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="May be given again.")]
Pool = Annotated[str | None, typer.Option()]
FIELDS: Mapping[str, Any] = {
    "base_url": Annotated[str | None, typer.Option(help="Such as http://10.0.0.5:8000/v1.")],
    "model_name": Annotated[str | None, typer.Option("--model", help="As its server calls it.")],
    "connection_type": Type,
    "server": Annotated[str | None, typer.Option(help="Its kind, where the address hides it.")],
    "provider": Annotated[str | None, typer.Option(help="Who speaks the wire.")],
    "priority": Annotated[int | None, typer.Option(help="Lower goes first.")],
    "pool": Pool,
    "tags": Tags,
}
"""What is often set, by the name it has in the record; --set is for all else."""
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_COLUMNS = ("name", "type", "model", "address", "pool", "priority", "status", "key", "id")


@over_api(app, "list")
async def list_(
    session: Session,
    *,
    connection_type: Type = None,
    tag: Tags = None,
    pool: Pool = None,
    use: Annotated[Integration | None, typer.Option(help="Those meant for it.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive")] = None,
    text: Annotated[str, typer.Option(help="Somewhere in name, model or address.")] = "",
    sort: Annotated[SortField, typer.Option()] = "priority",
) -> None:
    """List them."""
    wanted = {
        "connection_type": connection_type,
        "tag": tag,
        "pool": pool,
        "is_active": active,
        "text": text,
        "sort": sort,
        **({f"use_in_{use}": True} if use else {}),
    }
    found = [item async for item in session.api.pages("/connections", wanted)]
    session.out.json(found)
    rows = [
        (
            item["name"], item["connection_type"], item["model_name"], item["base_url"],
            item["pool"], item["priority"], item["status"], _key(item), item["id"],
        )
        for item in found
    ]  # fmt: skip
    empty = "there is none; `llm-router connections discover` shows what could be added"
    session.out.table(_COLUMNS, rows, empty)


@over_api(app, "show")
async def show(session: Session, name: Named) -> None:
    """Show all that is known of one, but its secrets."""
    found = await find_connection(session.api, name)
    session.out.json(found)
    session.out.facts(found)


@over_api(app, "add", FIELDS)
async def add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    key: KeyFrom = None,
    header: HeadersFrom = None,
    set_: Sets = None,
    **plain: Any,
) -> None:
    """Add one. Its key is never given here: --key says where it is."""
    new = arguments.fields({"name": name, **plain}, set_, key, header)
    added = await session.api.ask("POST", "/connections", new)
    how = f"llm-router connections test {_quoted(added)}"
    _done(session, added, f"added {added['name']}; try it: {how}")


@over_api(app, "edit", FIELDS)
async def edit(
    session: Session,
    name: Named,
    *,
    rename: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    key: KeyFrom = None,
    header: HeadersFrom = None,
    set_: Sets = None,
    **plain: Any,
) -> None:
    """Change some fields of one, and leave the rest."""
    changes = arguments.fields({"name": rename, **plain}, set_, key, header)
    if not changes:
        raise NotDoneError("nothing to change was given; `connections edit --help` lists what can")
    before = await find_connection(session.api, name)
    body = {**changes, "version": before["version"]}
    after = await session.api.ask("PATCH", f"/connections/{before['id']}", body)
    session.out.table(("field", "before", "after"), _differences(before, after), "as it was")
    session.out.json(after)


@over_api(app, "activate")
async def activate(session: Session, name: Named) -> None:
    """Have one asked again, from the next turn on."""
    await _switch(session, name, "activate")


@over_api(app, "deactivate")
async def deactivate(session: Session, name: Named) -> None:
    """Have one asked no more, from the next turn on. Replies in flight finish."""
    await _switch(session, name, "deactivate")


@over_api(app, "remove")
async def remove(session: Session, name: Named, *, yes: Yes = False) -> int | None:
    """Remove one. What it was used for stays in the usage log."""
    found = await find_connection(session.api, name)
    if not arguments.confirm(f"Remove {found['name']} ({found['id']})?", yes=yes):
        return NO
    params = {"version": found["version"]}
    await session.api.ask("DELETE", f"/connections/{found['id']}", params=params)
    _done(session, {"removed": found["id"]}, f"removed {found['name']}")
    return None


async def _switch(session: Session, name: str, how: str) -> None:
    found = await find_connection(session.api, name)
    after = await session.api.ask("POST", f"/connections/{found['id']}/{how}")
    _done(session, after, f"{after['name']} is {'on' if after['is_active'] else 'off'}")


def _done(session: Session, answer: Any, said: str) -> None:
    session.out.line(said)
    session.out.json(answer)


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    kept = {"version", "updated_at"}
    return [
        (name, shown(before[name]), shown(value))
        for name, value in after.items()
        if value != before[name] and name not in kept
    ]


def _key(item: dict[str, Any]) -> str:
    if not item["api_key_set"]:
        return "-"
    return f"...{item['api_key_last4']}" if item["api_key_last4"] else "set"


def _quoted(item: dict[str, Any]) -> str:
    name = str(item["name"])
    return name if name.isalnum() else f"'{name}'"
