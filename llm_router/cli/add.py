"""`llm-router connections add`: adds a connection and tests it."""

import shlex
from typing import Annotated, Any

import typer

from llm_router.cli import arguments
from llm_router.cli.arguments import FieldValues, HeaderSources, KeySource
from llm_router.cli.command import EXIT_NO, CommandContext, api_command
from llm_router.cli.connections import FIELDS, app
from llm_router.cli.probe import print_result, probe_connection
from llm_router.errors import RouterError


@api_command(app, "add", FIELDS)
async def add(
    context: CommandContext,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name for the connection.")],
    *,
    key: KeySource = None,
    header: HeaderSources = None,
    set_: FieldValues = None,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Ask it a short question once it is added.")
    ] = True,
    **options: Any,
) -> int | None:
    """Add a connection and test it. Its key is not an argument: --key says where to read it.

    A connection that fails its test stays, so that you can mend it; the exit code is 1 then.
    """
    new = arguments.collect_fields({"name": name, **options}, set_, key, header)
    added = await context.api.request("POST", "/connections", new)
    name = str(added["name"])
    if added["use_in_livekit"] and not added["is_approved_for_calls"]:
        context.out.print_note(
            f"{name} answers no live callers until an admin approves it:"
            f" llm-router connections edit {shlex.quote(name)} --set use_in_livekit=true"
        )
    again = f"llm-router connections test {shlex.quote(name)}"
    if not test:
        context.out.json({**added, "test": None})
        context.out.print_line(f"added {name}; try it: {again}")
        return None
    context.out.print_line(f"added {name}")
    context.out.print_note("testing it; Ctrl-C skips that")
    try:
        result = await probe_connection(context, added["id"])
    except RouterError as error:  # such as an address that this person's connections may not have
        context.out.json({**added, "test": None})
        context.out.print_note(f"{name} is added, but cannot be tested: {error}", "red")
        return EXIT_NO
    tested = await context.api.request("GET", f"/connections/{added['id']}")
    context.out.json({**tested, "test": result})
    print_result(context, name, result)
    if result["ok"]:
        return None
    context.out.print_note(f"{name} stays added; to try it again: {again}")
    return EXIT_NO
