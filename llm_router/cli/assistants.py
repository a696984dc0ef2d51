"""`llm-router assistants list|show|add|edit|versions|diff|rollback|remove|export`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from llm_router.cli import arguments
from llm_router.cli.arguments import Yes
from llm_router.cli.command import EXIT_NO, CommandContext, CommandError, api_command
from llm_router.settings.loading import environment
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_file import read_assistants, write_assistants
from llm_router.voice.assistant_secrets import plain

app = typer.Typer(help="Manage assistants, which answer calls.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the assistant.")]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help='Set a field, such as --set speed=1.1 or --set \'languages=["en", "de"]\'; null sets'
        " it back to the setting's value. Repeat the option for more fields.",
    ),
]
Instructions = Annotated[
    Path | None,
    typer.Option(
        "--instructions-file", metavar="FILE", help="Read the instructions from this file; - is"
        " standard input."
    ),
]  # fmt: skip
Version = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Number of the version.")]

_COLUMNS = ("name", "source", "version", "owner", "languages", "voice", "pool", "description")
_VERSION = ("version", "author", "at", "restored")
"""Facts about a version besides the fields of the record."""
_OWN = ("owner", "team", "visibility")
_FACTS = (*_VERSION, *_OWN, "source")


@api_command(app, "list")
async def list_(context: CommandContext) -> None:
    """List the assistants that are stored, and those of ASSISTANTS_FILE."""
    items = [item async for item in context.api.list_items("/assistants", {})]
    context.out.json(items)
    rows = [[item[column] for column in _COLUMNS] for item in items]
    empty = "none is stored, and none in ASSISTANTS_FILE; calls have the assistant of the settings"
    context.out.print_table(_COLUMNS, rows, empty)


@api_command(app, "show")
async def show(
    context: CommandContext,
    name: Name,
    *,
    version: Annotated[int | None, typer.Option(min=1, help="Number of an older version.")] = None,
) -> None:
    """Show all fields of an assistant; one that is not set has the setting's value."""
    path = _path(name) if version is None else f"{_path(name)}/versions/{version}"
    found = await context.api.request("GET", path)
    context.out.json(found)
    context.out.print_fields(found)


@api_command(app, "add")
async def add(
    context: CommandContext,
    name: Name,
    *,
    instructions: Instructions = None,
    set_: Fields = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take the assistant of this name from a file of them."),
    ] = None,
) -> None:
    """Add an assistant. It answers the calls that are given to it by name."""
    body = {**_from_file(name, file), **_fields(set_, instructions), "name": name}
    made = await context.api.request("POST", "/assistants", body)
    context.out.print_line(f"added {name}")
    context.out.json(made)


@api_command(app, "edit")
async def edit(
    context: CommandContext,
    name: Name,
    *,
    instructions: Instructions = None,
    set_: Fields = None,
) -> None:
    """Change the given fields in a new version, from the next call on; the others stay."""
    changes = _fields(set_, instructions)
    if not changes:
        raise CommandError("there is nothing to change; name a field with --set")
    before = await context.api.request("GET", _path(name))
    body = {**changes, "version": before["version"]}
    after = await context.api.request("PATCH", _path(name), body)
    _print_change(context, before, after)


@api_command(app, "versions")
async def versions(context: CommandContext, name: Name) -> None:
    """List the versions of an assistant, the latest first."""
    items = [item async for item in context.api.list_items(f"{_path(name)}/versions", {})]
    context.out.json(items)
    rows = [[item[fact] for fact in _VERSION] for item in items]
    context.out.print_table(("version", "author", "at", "restored from"), rows, "")


@api_command(app, "diff")
async def diff(
    context: CommandContext,
    name: Name,
    before: Annotated[
        int | None, typer.Argument(min=1, help="Version; unless given, the one before AFTER.")
    ] = None,
    after: Annotated[
        int | None, typer.Argument(min=1, help="Version; unless given, the present one.")
    ] = None,
) -> None:
    """Show the fields in which two versions differ."""
    params = {"before": before, "after": after}
    found = await context.api.request("GET", f"{_path(name)}/diff", params=params)
    context.out.json(found)
    rows = [(field, pair["before"], pair["after"]) for field, pair in found["fields"].items()]
    context.out.print_table(("field", "before", "after"), rows, "no difference")


@api_command(app, "rollback")
async def rollback(context: CommandContext, name: Name, version: Version) -> None:
    """Make a new version with the content of an older one."""
    before = await context.api.request("GET", _path(name))
    body = {"to": version, "version": before["version"]}
    after = await context.api.request("POST", f"{_path(name)}/rollback", body)
    _print_change(context, before, after)


@api_command(app, "remove")
async def remove(context: CommandContext, name: Name, *, yes: Yes = False) -> int | None:
    """Remove an assistant and its versions. Calls that name it get the default one."""
    found = await context.api.request("GET", _path(name))
    if not arguments.confirm(f"Remove {name} and its {found['version']} versions?", yes=yes):
        return EXIT_NO
    await context.api.request("DELETE", _path(name), params={"version": found["version"]})
    context.out.print_line(f"removed {name}")
    context.out.json({"removed": name})
    return None


@api_command(app, "export")
async def export(context: CommandContext) -> None:
    """Print the stored assistants as a file of assistants; headers of tools are masked."""
    found = [item async for item in context.api.list_items("/assistants", {})]
    items = [item for item in found if item["source"] == "stored"]
    context.out.json(items)
    if not context.out.as_json:
        typer.echo(write_assistants(map(_record, items)), nl=False)


def _path(name: str) -> str:
    return arguments.path_of("assistant", name)


def _record(item: Mapping[str, Any]) -> AssistantRecord:
    empty: tuple[Any, ...] = (None, "", [])
    given = {
        name: value
        for name, value in item.items()
        if name not in _FACTS and (value not in empty or (name == "greeting" and value == ""))
    }
    return parse_assistant(given)


def _from_file(name: str, file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = read_assistants(file.read_text(encoding="utf-8-sig"), str(file), environment())
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: cannot be read ({error})") from None
    if name not in found:
        raise CommandError(f"{file}: it has no assistant {name!r}: {', '.join(found) or 'none'}")
    return plain(found[name])


def _fields(assignments: Sequence[str] | None, instructions: Path | None) -> dict[str, Any]:
    names = {*AssistantRecord.model_fields, *_OWN} - {"name"}
    fields = arguments.assigned(assignments, names, "`assistants show NAME` lists the fields")
    if instructions is not None:
        try:
            fields["instructions"] = (
                sys.stdin.read()
                if str(instructions) == "-"
                else instructions.read_text(encoding="utf-8-sig")
            )
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{instructions}: cannot be read ({error})") from None
    return fields


def _print_change(
    context: CommandContext, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    context.out.print_changes(before, after, without={*_VERSION, "source"})
    context.out.print_note(f"version {after['version']}, from the next call on")
    context.out.json(after)
