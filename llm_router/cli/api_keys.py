"""`llm-router api-keys create|list|revoke`: who may ask the management API."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from llm_router.cli.command import Session, over_api
from llm_router.connections.access import Role

app = typer.Typer(help="Keys of the management API itself.", no_args_is_help=True)


@over_api(app, "create")
async def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is.")],
    *,
    role: Annotated[Role, typer.Option(help="What it may do; see docs/api.md.")],
    team: Annotated[str, typer.Option(help="With whom it shares.")] = "",
    owner: Annotated[
        str | None, typer.Option(help="Whose connections; NAME's, unless given.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="For how long it counts.")] = None,
) -> None:
    """Make a key. It is shown this once, alone on standard output; only its digest is kept."""
    until = datetime.now(UTC) + timedelta(days=days) if days else None
    body = {
        "name": name,
        "role": role,
        "team": team,
        "owner": owner,
        "expires_at": until and until.isoformat(),
    }
    made = await session.api.ask("POST", "/keys", body)
    session.out.json(made)
    session.out.say(f"key {made['id']} of {name} ({role}); keep it, it is not shown again:")
    session.out.line(made["key"])


@over_api(app, "list")
async def list_(session: Session) -> None:
    """List them, the latest first. The keys themselves are not kept."""
    found = [item async for item in session.api.pages("/keys", {})]
    session.out.json(found)
    columns = ("id", "name", "role", "team", "last4", "created_at", "expires_at", "revoked_at")
    rows = [[item[column] for column in columns] for item in found]
    session.out.table(columns, rows, "there is none")


@over_api(app, "revoke")
async def revoke(session: Session, key_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Revoke one, and end every session that began with it."""
    await session.api.ask("DELETE", f"/keys/{key_id}")
    session.out.line(f"revoked {key_id}")
    session.out.json({"revoked": key_id})
