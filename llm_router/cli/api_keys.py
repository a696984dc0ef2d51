"""`llm-router api-keys create|limit|list|revoke`: the keys that give access to the API."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, get_args

import typer

from llm_router.cli.command import CommandContext, api_command
from llm_router.clock import utc_now
from llm_router.connections.access import KeyIntegration, Role, RouteGroup
from llm_router.errors import ConfigurationError

KeyId = Annotated[str, typer.Argument(metavar="ID", help="Id of the key.")]
Days = Annotated[int | None, typer.Option(min=1, help="Days until the key expires.")]
Routes = Annotated[
    list[str] | None,
    typer.Option(
        "--route",
        help=f"Group of routes that the key may ask ({', '.join(get_args(RouteGroup))}); may be"
        " repeated; all unless given.",
    ),
]
Pools = Annotated[
    list[str] | None,
    typer.Option(
        "--pool", help="Pool that the key may see and use; may be repeated; all unless given."
    ),
]

Rpm = Annotated[int | None, typer.Option(min=1, help="Requests a minute.")]
Tpm = Annotated[int | None, typer.Option(min=0, help="Tokens a minute.")]
Budget = Annotated[
    float | None,
    typer.Option(min=0, help="Cost a month (UTC), in the currency of the connections' prices."),
]
MonthlyTokens = Annotated[int | None, typer.Option(min=0, help="Tokens a month (UTC).")]
_INTEGRATION = (
    "Connections that may answer its requests: automation (those with use_in_automation) or livekit"
    " (those with use_in_livekit that are approved for calls)."
)

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
    days: Days = None,
    routes: Routes = None,
    pools: Pools = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    budget: Budget = None,
    monthly_tokens: MonthlyTokens = None,
    integration: Annotated[KeyIntegration, typer.Option(help=_INTEGRATION)] = "automation",
) -> None:
    """Create a key and print it.

    The key is printed this once, alone on standard output; only its digest is stored.
    """
    body = {
        "name": name,
        "role": role,
        "team": team,
        "owner": owner,
        "may_serve_calls": may_serve_calls,
        "integration": integration,
        **_limits(
            days,
            routes=routes,
            pools=pools,
            rate_limit_rpm=rpm,
            rate_limit_tpm=tpm,
            monthly_budget=budget,
            monthly_tokens=monthly_tokens,
        ),
    }
    key = await context.api.request("POST", "/keys", body)
    context.out.json(key)
    context.out.print_note(
        f"created key {key['id']} for {name} ({role}); save it, it is not shown again:"
    )
    context.out.print_line(key["key"])


@api_command(app, "limit")
async def limit(
    context: CommandContext,
    key_id: KeyId,
    *,
    days: Days = None,
    routes: Routes = None,
    pools: Pools = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    budget: Budget = None,
    monthly_tokens: MonthlyTokens = None,
    integration: Annotated[KeyIntegration | None, typer.Option(help=_INTEGRATION)] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(
            help="Limit to take away, by its name in the API (routes, pools, rate_limit_rpm,"
            " rate_limit_tpm, monthly_budget, monthly_tokens, expires_at); may be repeated."
        ),
    ] = None,
) -> None:
    """Change the limits of a key, from its next request on; those not named stay."""
    changes = _limits(
        days,
        routes=routes,
        pools=pools,
        rate_limit_rpm=rpm,
        rate_limit_tpm=tpm,
        monthly_budget=budget,
        monthly_tokens=monthly_tokens,
    )
    if integration:
        changes["integration"] = integration
    changes |= dict.fromkeys(clear or ())
    if not changes:
        raise ConfigurationError("there is nothing to change: name a limit, or --clear one")
    key = await context.api.request("PATCH", f"/keys/{key_id}", changes)
    context.out.json(key)
    context.out.print_line(f"changed key {key_id}: {', '.join(changes)}")


@api_command(app, "list")
async def list_(context: CommandContext) -> None:
    """List the keys, the latest first, without the keys themselves."""
    items = [item async for item in context.api.list_items("/keys", {})]
    context.out.json(items)
    columns = ("id", "name", "role", "team", "last4", "routes", "pools", "expires_at", "state")
    rows = [[*(_cell(item[column]) for column in columns), _spent(item)] for item in items]
    context.out.print_table((*columns, "this month"), rows, "there are no keys")


@api_command(app, "revoke")
async def revoke(
    context: CommandContext,
    key_id: KeyId,
) -> None:
    """Revoke a key, and end every session that was opened with it."""
    await context.api.request("DELETE", f"/keys/{key_id}")
    context.out.print_line(f"revoked {key_id}")
    context.out.json({"revoked": key_id})


def _limits(days: int | None, **fields: Any) -> dict[str, Any]:
    """Returns the limits that were given, as fields of the API."""
    given = {name: value for name, value in fields.items() if value is not None and value != []}
    if days:
        given["expires_at"] = (utc_now() + timedelta(days=days)).isoformat()
    return given


def _cell(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value


def _spent(key: Mapping[str, Any]) -> str:
    """Returns the use of a key this month, and its budget if it has one."""
    used = key["used_this_month"]
    cost, tokens = f"{used['cost']:.2f}", f"{used['tokens']:,}"
    if key["monthly_budget"] is not None:
        cost += f" of {key['monthly_budget']:g}"
    if key["monthly_tokens"] is not None:
        tokens += f" of {key['monthly_tokens']:,}"
    return f"{cost}, {tokens} tokens"
