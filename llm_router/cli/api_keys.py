"""`llm-router api-keys create|list|revoke`: the keys that give access to the management API."""

from datetime import timedelta
from typing import Annotated

import typer

from llm_router.cli.command import CommandContext, api_command
from llm_router.clock import utc_now
from llm_router.connections.access import Role

app = typer.Typer(help="Manage keys of the management API.", no_args_is_help=True)


@api_command(app, "create")
async def create(
    context: CommandContext,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key's holder.")],
    *,
    role: Annotated[Role, typer.Option(help="What the key may do; see docs/api.md.")],
    team: Annotated[str, typer.Option(help="Team that the holder shares connections with.")] = "",
    owner: Annotated[
        str | None, typer.Option(help="Owner of the connections it adds; NAME unless given.")
    ] = None,
    may_serve_calls: Annotated[
        bool,
        typer.Option(
            "--may-serve-calls",
            help="Its connections answer live callers without an admin's approval.",
        ),
    ] = False,
    days: Annotated[int | None, typer.Option(min=1, help="Days until the key expires.")] = None,
) -> None:
    """Create a key and print it.

    The key is printed this once, alone on standard output; only its digest is stored.
    """
    expiry = utc_now() + timedelta(days=days) if days else None
    body = {
        "name": name,
        "role": role,
        "team": team,
        "owner": owner,
        "may_serve_calls": may_serve_calls,
        "expires_at": expiry and expiry.isoformat(),
    }
    key = await context.api.request("POST", "/keys", body)
    context.out.json(key)
    context.out.print_note(
        f"created key {key['id']} for {name} ({role}); save it, it is not shown again:"
    )
    context.out.print_line(key["key"])


@api_command(app, "list")
async def list_(context: CommandContext) -> None:
    """List the keys, the latest first, without the keys themselves."""
    items = [item async for item in context.api.list_items("/keys", {})]
    context.out.json(items)
    columns = ("id", "name", "role", "team", "last4", "created_at", "expires_at", "revoked_at")
    rows = [[item[column] for column in columns] for item in items]
    context.out.print_table(columns, rows, "there are no keys")


@api_command(app, "revoke")
async def revoke(
    context: CommandContext,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key.")],
) -> None:
    """Revoke a key, and end every session that was opened with it."""
    await context.api.request("DELETE", f"/keys/{key_id}")
    context.out.print_line(f"revoked {key_id}")
    context.out.json({"revoked": key_id})
