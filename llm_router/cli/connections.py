"""`llm-router connections list|show|edit|activate|deactivate|remove`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from llm_router.api_client import find_connection
from llm_router.cli import arguments
from llm_router.cli.arguments import FieldValues, HeaderSources, KeySource, Yes
from llm_router.cli.command import EXIT_NO, CommandContext, CommandError, api_command
from llm_router.connections.record import ConnectionType
from llm_router.connections.store import SortField
from llm_router.types import Integration

app = typer.Typer(help="Manage connections to language models.", no_args_is_help=True)

ConnectionName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name or id of the connection.")
]
Type = Annotated[ConnectionType | None, typer.Option("--type", help="Type of the connection.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Tag; repeat it for more tags.")]
Pool = Annotated[str | None, typer.Option(help="Pool of connections.")]
FIELDS: Mapping[str, Any] = {
    "base_url": Annotated[
        str | None, typer.Option(help="Address, such as http://10.0.0.5:8000/v1.")
    ],
    "model_name": Annotated[
        str | None, typer.Option("--model", help="Name of the model on its server.")
    ],
    "connection_type": Type,
    "server": Annotated[
        str | None, typer.Option(help="Kind of server, if the address does not show it.")
    ],
    "provider": Annotated[
        str | None, typer.Option(help="Provider that speaks the server's wire protocol.")
    ],
    "priority": Annotated[int | None, typer.Option(help="Priority; the lowest is tried first.")],
    "pool": Pool,
    "tags": Tags,
}
"""Options for frequent fields, by the field's name in the record; --set is for the others."""

_COLUMNS = ("name", "type", "model", "address", "pool", "priority", "status", "key", "id")


@api_command(app, "list")
async def list_(
    context: CommandContext,
    *,
    connection_type: Type = None,
    tag: Tags = None,
    pool: Pool = None,
    use: Annotated[
        Integration | None, typer.Option(help="Use that the connection is meant for.")
    ] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Switched on, or off.")
    ] = None,
    text: Annotated[str, typer.Option(help="Text in the name, model or address.")] = "",
    sort: Annotated[SortField, typer.Option(help="Field to sort by.")] = "priority",
) -> None:
    """List the connections that match all the options given."""
    conditions = {
        "connection_type": connection_type,
        "tag": tag,
        "pool": pool,
        "is_active": active,
        "text": text,
        "sort": sort,
        **({f"use_in_{use}": True} if use else {}),
    }
    items = [item async for item in context.api.list_items("/connections", conditions)]
    context.out.json(items)
    rows = [
        (
            item["name"], item["connection_type"], item["model_name"], item["base_url"],
            item["pool"], item["priority"], item["status"], _key_hint(item), item["id"],
        )
        for item in items
    ]  # fmt: skip
    empty = "no connections; `llm-router connections discover` shows some that you can add"
    context.out.print_table(_COLUMNS, rows, empty)


@api_command(app, "show")
async def show(context: CommandContext, name: ConnectionName) -> None:
    """Show all fields of a connection, except its secrets."""
    found = await find_connection(context.api, name)
    context.out.json(found)
    context.out.print_fields(found)


@api_command(app, "edit", FIELDS)
async def edit(
    context: CommandContext,
    name: ConnectionName,
    *,
    rename: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    key: KeySource = None,
    header: HeaderSources = None,
    set_: FieldValues = None,
    **options: Any,
) -> None:
    """Change the given fields of a connection and leave the others unchanged."""
    changes = arguments.collect_fields({"name": rename, **options}, set_, key, header)
    if not changes:
        raise CommandError(
            "there is nothing to change; `llm-router connections edit --help` lists the options"
        )
    before = await find_connection(context.api, name)
    body = {**changes, "version": before["version"]}
    after = await context.api.request("PATCH", f"/connections/{before['id']}", body)
    context.out.print_changes(before, after, without={"version", "updated_at"})
    context.out.json(after)


@api_command(app, "activate")
async def activate(context: CommandContext, name: ConnectionName) -> None:
    """Switch a connection on again, from the next turn on."""
    await _switch(context, name, "activate")


@api_command(app, "deactivate")
async def deactivate(context: CommandContext, name: ConnectionName) -> None:
    """Switch a connection off from the next turn on. Replies in flight finish."""
    await _switch(context, name, "deactivate")


@api_command(app, "remove")
async def remove(context: CommandContext, name: ConnectionName, *, yes: Yes = False) -> int | None:
    """Remove a connection. Its past use stays in the usage log."""
    found = await find_connection(context.api, name)
    if not arguments.confirm(f"Remove {found['name']} ({found['id']})?", yes=yes):
        return EXIT_NO
    params = {"version": found["version"]}
    await context.api.request("DELETE", f"/connections/{found['id']}", params=params)
    _print_done(context, {"removed": found["id"]}, f"removed {found['name']}")
    return None


async def _switch(context: CommandContext, name: str, action: str) -> None:
    found = await find_connection(context.api, name)
    after = await context.api.request("POST", f"/connections/{found['id']}/{action}")
    _print_done(context, after, f"{after['name']} is {'on' if after['is_active'] else 'off'}")


def _print_done(context: CommandContext, answer: Any, line: str) -> None:
    context.out.print_line(line)
    context.out.json(answer)


def _key_hint(item: dict[str, Any]) -> str:
    if not item["api_key_set"]:
        return "-"
    return f"...{item['api_key_last4']}" if item["api_key_last4"] else "set"
