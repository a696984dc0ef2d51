"""`llm-router connections import|export|apply`: connections as files."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from config.settings import environment
from llm_router.cli import arguments
from llm_router.cli.command import NO, NotDoneError, Session, over_api
from llm_router.cli.connections import Yes, app
from llm_router.cli.output import shown
from llm_router.connections.record import Connection
from llm_router.discovery.formats import Format, parse, to_row

FromFile = Annotated[Path, typer.Argument(metavar="FILE", help="- is standard input.")]


@over_api(app, "import")
async def take_in(
    session: Session,
    file: FromFile,
    *,
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="connections: llm_connections.json; openai_compatible: what"
            " OPENAI_COMPATIBLE_DATA holds; env: a .env file.",
        ),
    ] = "connections",
) -> None:
    """Add all connections of a file, or none. In it "env:NAME" stands for a variable set here."""
    added = await add_all(session, _read(file, format_))
    session.out.json(added)
    session.out.line(f"added {', '.join(item['name'] for item in added)}")


@over_api(app, "export")
async def export(
    session: Session,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="None: shown.")] = None,
) -> None:
    """Write all connections into a file to import elsewhere, without keys and headers."""
    given_out = await session.api.ask("GET", "/connections/export")
    if file is None:
        session.out.document(given_out)
        return
    text = json.dumps(given_out, indent=2, ensure_ascii=False) + "\n"
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise NotDoneError(f"{file}: cannot be written ({error.strerror}); name another") from error
    session.out.line(f"{len(given_out['connections'])} connections are in {file}, without keys")


@over_api(app, "apply")
async def apply(
    session: Session,
    *,
    file: Annotated[
        Path, typer.Option("-f", "--file", metavar="FILE", help="- is standard input.")
    ],
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is yours and not in the file.")
    ] = False,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and stop.")] = False,
) -> int | None:
    """Have what a file says, all of it or nothing; the plan is shown first.

    Done twice, it does nothing the second time. What the file leaves out has its default, but keys
    and headers stay as they are.
    """
    rows = _rows(_read(file, "connections"))
    plan = await _planned(session, rows, {"prune": prune, "dry_run": True})
    todo = bool(plan["added"] or plan["changed"] or plan["removed"])
    _show(session, plan)
    if todo and not dry_run:
        if not arguments.confirm("Do that?", yes=yes):
            return NO
        plan = await _planned(session, rows, {"prune": prune, "plan": plan["plan"]})
        session.out.say("done", "green")
    session.out.json(plan)
    return None


async def add_all(session: Session, new: tuple[Connection, ...]) -> list[dict[str, Any]]:
    """All of them or none, as they are kept."""
    if not new:
        return []
    answer = await session.api.ask("POST", "/connections/import", _rows(new))
    items: list[dict[str, Any]] = answer["items"]
    return items


async def _planned(session: Session, rows: Any, params: dict[str, Any]) -> dict[str, Any]:
    said = {name: str(value).lower() for name, value in params.items()}
    plan: dict[str, Any] = await session.api.ask("POST", "/connections/apply", rows, params=said)
    return plan


def _show(session: Session, plan: dict[str, Any]) -> None:
    rows: list[tuple[str, str, str]] = [("added", name, "") for name in plan["added"]]
    for changed in plan["changed"]:
        fields = changed["fields"].items()
        said = [f"{name}: {shown(v['before'])} -> {shown(v['after'])}" for name, v in fields]
        rows.append(("changed", changed["name"], "; ".join(said)))
    rows += [("removed", name, "") for name in plan["removed"]]
    rows += [("unchanged", name, "") for name in plan["unchanged"]]
    session.out.table(("what", "connection", "fields"), rows, "the file names no connection")


def _rows(connections: tuple[Connection, ...]) -> dict[str, Any]:
    return {"connections": [to_row(c, secrets=True) for c in connections]}


def _read(file: Path, format_: Format) -> tuple[Connection, ...]:
    name = "standard input" if str(file) == "-" else str(file)
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise NotDoneError(f"{name}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise NotDoneError(f"{name}: is not UTF-8; save the file as UTF-8") from error
    return parse(text, format_, name, environment())
