"""`llm-router presets list|apply`: ready-made sets of connections."""

import sys
from typing import Annotated, Any

import typer

from llm_router.cli import arguments
from llm_router.cli.command import CommandContext, CommandError, api_command
from llm_router.settings.loading import environment

app = typer.Typer(help="Add ready-made sets of connections.", no_args_is_help=True)


@api_command(app, "list")
async def list_(context: CommandContext) -> None:
    """List the presets, with the environment variables that their keys are read from."""
    presets = await context.api.request("GET", "/presets")
    context.out.json(presets)
    columns = ("name", "connections", "keys", "description")
    rows = [(p["name"], p["connections"], [*p["keys"].values()], p["description"]) for p in presets]
    context.out.print_table(columns, rows, "there are no presets")


@api_command(app, "apply")
async def apply(
    context: CommandContext,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the preset.")],
) -> None:
    """Add all connections of a preset, or none.

    Keys are read from the environment; on a terminal, a prompt asks for those that are missing.
    """
    presets = {p["name"]: p for p in await context.api.request("GET", "/presets")}
    if name not in presets:
        raise CommandError(f"there is no preset {name!r}; known: {', '.join(presets)}")
    keys = _read_keys(presets[name]["keys"])
    answer = await context.api.request("POST", f"/presets/{name}/apply", {"keys": keys})
    context.out.json(answer["items"])
    context.out.print_line(f"added {', '.join(item['name'] for item in answer['items'])}")


def _read_keys(variables: dict[str, Any]) -> dict[str, str]:
    values = environment()
    keys = {cloud: values.get(variable, "").strip() for cloud, variable in variables.items()}
    if sys.stdin.isatty():
        missing = [cloud for cloud, key in keys.items() if not key]
        for cloud in missing:
            keys[cloud] = arguments.read_secret("ask", f"the key of {cloud}") or ""
    return {cloud: key for cloud, key in keys.items() if key}  # the API names those missing
