"""`llm-router presets list|apply`."""

import sys
from typing import Annotated, Any

import typer

from config.settings import environment
from llm_router.cli import arguments
from llm_router.cli.command import NotDoneError, Session, over_api

app = typer.Typer(help="Sets of connections that many want.", no_args_is_help=True)


@over_api(app, "list")
async def list_(session: Session) -> None:
    """List them, with the variables their keys are taken from."""
    found = await session.api.ask("GET", "/presets")
    session.out.json(found)
    columns = ("name", "connections", "keys", "description")
    rows = [(p["name"], p["connections"], [*p["keys"].values()], p["description"]) for p in found]
    session.out.table(columns, rows, "there is none")


@over_api(app, "apply")
async def apply(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Add all connections of one, or none. Keys come from the environment, or you are asked."""
    presets = {p["name"]: p for p in await session.api.ask("GET", "/presets")}
    if name not in presets:
        raise NotDoneError(f"there is no preset {name!r}; known: {', '.join(presets)}")
    keys = _keys(presets[name]["keys"])
    answer = await session.api.ask("POST", f"/presets/{name}/apply", {"keys": keys})
    session.out.json(answer["items"])
    session.out.line(f"added {', '.join(item['name'] for item in answer['items'])}")


def _keys(variables: dict[str, Any]) -> dict[str, str]:
    here = environment()
    keys = {cloud: here.get(variable, "").strip() for cloud, variable in variables.items()}
    if sys.stdin.isatty():
        missing = [cloud for cloud, key in keys.items() if not key]
        keys |= {cloud: arguments.secret("ask", f"the key of {cloud}") or "" for cloud in missing}
    return {cloud: key for cloud, key in keys.items() if key}  # the API says which are missing
