"""`llm-router sites list|show|add|edit|versions|rollback|secret|rotate-key|remove`.

Sites are websites whose visitors call.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from llm_router.cli import arguments
from llm_router.cli.arguments import Yes
from llm_router.cli.command import EXIT_NO, CommandContext, CommandError, api_command
from llm_router.voice.site import SiteRecord

app = typer.Typer(
    help="Manage sites: websites whose visitors may talk to an assistant.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the site.")]
Origins = Annotated[
    list[str] | None,
    typer.Option(
        "--origin",
        metavar="ORIGIN",
        help="Origin of its pages, such as https://shop.example. Repeat it for more.",
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Set a field, such as --set calls_at_once=5 or --set 'modes=[\"text\"]'; null sets it"
        " back. `sites show` lists the fields. Repeat the option for more.",
    ),
]

_COLUMNS = (
    "name", "key", "is_active", "assistant", "origins", "calls_at_once", "spend_per_day",
    "spent_today",
)  # fmt: skip
_VERSION = ("version", "author", "at")
_HINT = "`sites show NAME` lists the fields"


@api_command(app, "list")
async def list_(context: CommandContext) -> None:
    """List the sites."""
    items = [item async for item in context.api.list_items("/sites", {})]
    context.out.json(items)
    rows = [[item[column] for column in _COLUMNS] for item in items]
    context.out.print_table(_COLUMNS, rows, "there are no sites; `sites add` makes one")


@api_command(app, "show")
async def show(context: CommandContext, name: Name) -> None:
    """Show all fields of a site, its key, and the cost of its calls today."""
    found = await context.api.request("GET", _path(name))
    context.out.json(found)
    context.out.print_fields(found)


@api_command(app, "add")
async def add(
    context: CommandContext, name: Name, *, origin: Origins = None, set_: Fields = None
) -> None:
    """Add a site, and print its key for the site's pages."""
    body = {**_fields(origin, set_), "name": name}
    made = await context.api.request("POST", "/sites", body)
    context.out.json(made)
    context.out.print_line(f"added {name}; its pages send this key: {made['key']}")


@api_command(app, "edit")
async def edit(
    context: CommandContext, name: Name, *, origin: Origins = None, set_: Fields = None
) -> None:
    """Change the given fields, for new calls; the others stay."""
    changes = _fields(origin, set_)
    if not changes:
        raise CommandError("there is nothing to change; name a field with --set")
    before = await context.api.request("GET", _path(name))
    body = {**changes, "version": before["version"]}
    after = await context.api.request("PATCH", _path(name), body)
    context.out.json(after)
    context.out.print_changes(before, after, without=after.keys() - SiteRecord.model_fields)


@api_command(app, "versions")
async def versions(context: CommandContext, name: Name) -> None:
    """List the versions of a site, the latest first."""
    found = (await context.api.request("GET", f"{_path(name)}/versions"))["items"]
    context.out.json(found)
    context.out.print_table(_VERSION, [[one[fact] for fact in _VERSION] for one in found], "")


@api_command(app, "rollback")
async def rollback(
    context: CommandContext,
    name: Name,
    version: Annotated[int, typer.Argument(min=1, help="Number of an older version.")],
) -> None:
    """Make a new version with the content of an older one. Its key stays."""
    before = await context.api.request("GET", _path(name))
    body = {"to": version, "version": before["version"]}
    after = await context.api.request("POST", f"{_path(name)}/rollback", body)
    context.out.json(after)
    context.out.print_changes(before, after, without=after.keys() - SiteRecord.model_fields)


@api_command(app, "secret")
async def secret(context: CommandContext, name: Name) -> None:
    """Print the secret with which the site's server signs what its pages say of their visitors."""
    found = await context.api.request("GET", f"{_path(name)}/secret")
    context.out.json(found)
    context.out.print_line(found["secret"])


@api_command(app, "rotate-key")
async def rotate_key(context: CommandContext, name: Name, *, yes: Yes = False) -> int | None:
    """Make a new key. The old one is refused at once."""
    found = await context.api.request("GET", _path(name))
    if not arguments.confirm(f"Refuse {found['key']} and make a new key?", yes=yes):
        return EXIT_NO
    made = await context.api.request("POST", f"{_path(name)}/rotate-key")
    context.out.json(made)
    context.out.print_line(f"its pages send this key now: {made['key']}")
    return None


@api_command(app, "remove")
async def remove(context: CommandContext, name: Name, *, yes: Yes = False) -> int | None:
    """Remove a site. Its key is refused from now on."""
    if not arguments.confirm(f"Remove {name} and its key?", yes=yes):
        return EXIT_NO
    await context.api.request("DELETE", _path(name))
    context.out.print_line(f"removed {name}")
    context.out.json({"removed": name})
    return None


def _path(name: str) -> str:
    return arguments.path_of("site", name)


def _fields(origins: Sequence[str] | None, assignments: Sequence[str] | None) -> dict[str, Any]:
    fields = arguments.assigned(assignments, set(SiteRecord.model_fields) - {"name"}, _HINT)
    return {**fields, "origins": list(origins)} if origins else fields
