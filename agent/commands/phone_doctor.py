"""`llm-router phone doctor`: finds the broken part of the telephone, and calls itself."""

from typing import Annotated

import typer

from llm_router.cli.command import local_command
from llm_router.cli.output import Output


def register(app: typer.Typer) -> None:
    """Adds `doctor` to the commands of `phone`."""
    local_command(app, "doctor")(doctor)


async def doctor(
    out: Output,
    *,
    called: Annotated[
        str, typer.Option(metavar="NUMBER", help="Number to call; without it, the file's first.")
    ] = "",
    calling: Annotated[
        str, typer.Option(metavar="NUMBER", help="Number to call from, if a rule needs one.")
    ] = "",
    no_call: Annotated[
        bool, typer.Option("--no-call", help="Place no call: only say what would take it.")
    ] = False,
) -> int | None:
    """Check Redis, LiveKit, the SIP process, trunks, rules and the worker, then call ourselves.

    The call is a short one like any other: it is stored, and its agent speaks. Exits with 1 if
    there is a fault.
    """
    from agent.commands import phone_examination  # noqa: PLC0415  takes a second; --help skips it

    return await phone_examination.examine(out, called, calling, places_call=not no_call)
