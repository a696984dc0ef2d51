"""`llm-router phone call` and `phone schedule`: calls out, from a terminal."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from llm_router.cli.command import EXIT_NO, CommandContext, CommandError, api_command
from llm_router.clock import SystemClock, utc_now

_COLUMNS = ("id", "number", "assistant", "status", "outcome", "attempt", "next_at", "reason")
_Status = Literal["waiting", "preparing", "dialing", "ringing", "answered", "done", "cancelled"]
"""The `PlanStatus` of `voice.phone.plan`, which takes a while to import; a test compares both."""
_BATCH = 200
_EVERY = 0.5
"""Seconds from one question how far a call is to the next."""
_HINT_AFTER = 10.0
_REACHED = frozenset({"person", "voicemail", "answered"})
_OVER = frozenset({"done", "cancelled"})

schedule = typer.Typer(help="Plan calls from a file.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds `call` and `schedule` to the commands of `phone`."""
    api_command(app, "call")(call)
    app.add_typer(schedule, name="schedule")


async def call(
    context: CommandContext,
    number: Annotated[str, typer.Argument(help="Number to call, as +4930123456.")],
    *,
    assistant: Annotated[str, typer.Option(help="Assistant that speaks.")] = "",
    var: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Value for {{NAME}} in its instructions."),
    ] = None,
    voicemail: Annotated[str, typer.Option(help="Words to leave on a machine.")] = "",
    key: Annotated[str, typer.Option(help="Idempotency key: used again, it calls once.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Show its progress until it ends.")] = False,
    within: Annotated[
        int, typer.Option(min=1, max=1_440, help="Minutes in which it must be dialed.")
    ] = 10,
) -> int | None:
    """Call a number, with an assistant that speaks."""
    latest = utc_now(SystemClock()) + timedelta(minutes=within)
    plan = {
        "number": number, "assistant": assistant, "variables": _variables(var or []),
        "voicemail": voicemail, "idempotency_key": key, "latest": latest.isoformat(),
    }  # fmt: skip
    planned = await context.api.request("POST", "/calls", plan)
    if wait:
        return await _follow(context, planned)
    context.out.json(planned)
    context.out.print_line(f"planned call {planned['id']}: {planned['status']}")
    return None


@api_command(schedule, "add")
async def add(
    context: CommandContext,
    file: Annotated[
        Path, typer.Argument(help="CSV with a header line, or JSON Lines.", show_default=False)
    ],
) -> None:
    """Plan the calls of a file. With idempotency keys, the same file again plans none twice."""
    from llm_router.voice.phone.plan_file import read_plans  # noqa: PLC0415  --help skips it

    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{file}: is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise CommandError(f"{file}: cannot be read ({error}); correct the path") from None
    found = read_plans(text, str(file), utc_now(SystemClock()))
    plans = [plan.model_dump(mode="json") for plan in found]
    if more := len(plans) - len({plan["number"] for plan in plans}):
        context.out.print_note(f"{more} calls are to numbers that the file has already")
    planned: list[Any] = []
    for start in range(0, len(plans), _BATCH):
        body = {"calls": plans[start : start + _BATCH]}
        try:
            planned += (await context.api.request("POST", "/calls/planned", body))["items"]
        except BaseException:
            if planned:
                context.out.print_note(
                    f"the first {len(planned)} are planned: without idempotency keys, remove them"
                    " from the file before you add it again"
                )
            raise
        context.out.print_note(f"{len(planned)} of {len(plans)} planned")
    context.out.json(planned)
    _print(context, planned)


@api_command(schedule, "list")
async def list_(
    context: CommandContext,
    *,
    status: Annotated[_Status | None, typer.Option(help="Status of the calls.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most calls that are listed.")] = 50,
) -> None:
    """List planned calls, the latest first."""
    conditions = {"status": status, "limit": limit}
    page = await context.api.request("GET", "/calls/planned", params=conditions)
    context.out.json(page["items"])
    _print(context, page["items"])
    if page["total"] > len(page["items"]):
        context.out.print_note(f"{page['total'] - len(page['items'])} more: raise --limit")


@api_command(schedule, "cancel")
async def cancel(
    context: CommandContext,
    call_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the planned call.")],
) -> None:
    """Cancel a planned call that waits."""
    cancelled = await context.api.request("DELETE", f"/calls/planned/{call_id}")
    context.out.json(cancelled)
    context.out.print_line(f"cancelled planned call {call_id}")


async def _follow(context: CommandContext, planned: Mapping[str, Any]) -> int:
    """Prints each state of a planned call, until it ends or waits for its next attempt."""
    clock, began, shown = SystemClock(), SystemClock().now(), ""
    while True:
        state = _state(planned)
        if state != shown:
            context.out.print_note(state)
            shown = state
        # One that could not be dialed yet has made no attempt, and is tried again by itself.
        waits_for_retry = planned["status"] == "waiting" and planned["attempt"]
        if planned["status"] in _OVER or waits_for_retry:
            context.out.json(planned)
            context.out.print_line(_state(planned))
            return 0 if planned["outcome"] in _REACHED else EXIT_NO
        is_still = planned["status"] == "waiting" and not planned["reason"]
        if began and is_still and clock.now() - began > _HINT_AFTER:
            context.out.print_note("no process dials: see that `python -m agent.api` runs")
            began = 0.0
        await clock.sleep(_EVERY)
        planned = await context.api.request("GET", f"/calls/planned/{planned['id']}")


def _state(planned: Mapping[str, Any]) -> str:
    words = [planned["status"], planned["outcome"].replace("_", " "), planned["reason"]]
    if planned["outcome"] and planned["next_at"]:
        words.append(f"again at {planned['next_at']}")
    return ": ".join(word for word in words if word)


def _variables(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for name, sign, _ in pairs:
        if not sign:
            raise CommandError(f"--var {name}: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _print(context: CommandContext, planned: Sequence[Mapping[str, Any]]) -> None:
    rows = [[call[column] for column in _COLUMNS] for call in planned]
    context.out.print_table(_COLUMNS, rows, "there are no such calls")
