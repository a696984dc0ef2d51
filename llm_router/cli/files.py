"""`llm-router connections import|export|apply`: reads and writes connections as files."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from llm_router.cli import arguments
from llm_router.cli.arguments import Yes
from llm_router.cli.command import EXIT_NO, CommandContext, CommandError, api_command
from llm_router.cli.connections import app
from llm_router.cli.output import format_value
from llm_router.connections.record import Connection
from llm_router.discovery.formats import Format, parse, to_row
from llm_router.settings.loading import environment

InputFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="File to read; - reads standard input.")
]


@api_command(app, "import")
async def import_(
    context: CommandContext,
    file: InputFile,
    *,
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="Format of the file. connections: as in config/connections.example.json;"
            " openai_compatible: the value of OPENAI_COMPATIBLE_DATA; env: a .env file.",
        ),
    ] = "connections",
) -> None:
    """Add all connections of a file, or none.

    In the file, "env:NAME" stands for the value of an environment variable.
    """
    added = await add_connections(context, _read(file, format_))
    context.out.json(added)
    context.out.print_line(f"added {', '.join(item['name'] for item in added)}")


@api_command(app, "export")
async def export(
    context: CommandContext,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="File to write; standard output unless given."),
    ] = None,
) -> None:
    """Write all connections, without keys and headers, to a file that `import` can read."""
    exported = await context.api.request("GET", "/connections/export")
    if file is None:
        context.out.print_json(exported)
        return
    text = json.dumps(exported, indent=2, ensure_ascii=False) + "\n"
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"{file}: cannot be written ({error.strerror}); name another file"
        ) from error
    count = len(exported["connections"])
    context.out.print_line(f"wrote {count} connections to {file}, without keys")


@api_command(app, "apply")
async def apply(
    context: CommandContext,
    *,
    file: Annotated[
        Path,
        typer.Option("-f", "--file", metavar="FILE", help="File to read; - reads standard input."),
    ],
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove your connections that are not in the file.")
    ] = False,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
) -> int | None:
    """Make the stored connections match a file: show the plan, then apply all of it or nothing.

    Applying a file again changes nothing. Fields that the file leaves out get their defaults, but
    keys and headers stay.
    """
    body = _to_body(_read(file, "connections"))
    plan = await _request_plan(context, body, {"prune": prune, "dry_run": True})
    has_changes = bool(plan["added"] or plan["changed"] or plan["removed"])
    _print_plan(context, plan)
    if has_changes and not dry_run:
        if not arguments.confirm("Apply this plan?", yes=yes):
            return EXIT_NO
        plan = await _request_plan(context, body, {"prune": prune, "plan": plan["plan"]})
        context.out.print_note("applied", "green")
    context.out.json(plan)
    return None


async def add_connections(
    context: CommandContext, new: tuple[Connection, ...]
) -> list[dict[str, Any]]:
    """Adds all of them or none, and returns them as the API shows them."""
    if not new:
        return []
    answer = await context.api.request("POST", "/connections/import", _to_body(new))
    items: list[dict[str, Any]] = answer["items"]
    return items


async def _request_plan(
    context: CommandContext, body: Any, options: dict[str, Any]
) -> dict[str, Any]:
    params = {name: str(value).lower() for name, value in options.items()}
    plan: dict[str, Any] = await context.api.request(
        "POST", "/connections/apply", body, params=params
    )
    return plan


def _print_plan(context: CommandContext, plan: dict[str, Any]) -> None:
    rows: list[tuple[str, str, str]] = [("added", name, "") for name in plan["added"]]
    for changed in plan["changed"]:
        fields = changed["fields"].items()
        diffs = [
            f"{name}: {format_value(diff['before'])} -> {format_value(diff['after'])}"
            for name, diff in fields
        ]
        rows.append(("changed", changed["name"], "; ".join(diffs)))
    rows += [("removed", name, "") for name in plan["removed"]]
    rows += [("unchanged", name, "") for name in plan["unchanged"]]
    empty = "the file holds no connections"
    context.out.print_table(("change", "connection", "fields"), rows, empty)


def _to_body(connections: tuple[Connection, ...]) -> dict[str, Any]:
    return {"connections": [to_row(c, secrets=True) for c in connections]}


def _read(file: Path, format_: Format) -> tuple[Connection, ...]:
    name = "standard input" if str(file) == "-" else str(file)
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(
            f"{name}: cannot be read ({error.strerror}); correct the path"
        ) from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{name}: is not UTF-8; save the file as UTF-8") from error
    return parse(text, format_, name, environment())
