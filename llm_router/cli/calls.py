"""`llm-router calls`: the calls that are stored, and the supervisors of those that go on."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from llm_router.cli.command import EXIT_FAILED, CommandContext, api_command
from llm_router.voice.calls import CallKind, CallState
from llm_router.voice.supervision import LISTENS_FOR

CallId = Annotated[str, typer.Argument(metavar="ID", help="Id of the call.")]
_COLUMNS = ("id", "started_at", "state", "kind", "assistant", "room", "items", "reason")
_PAGE = 1_000

app = typer.Typer(help="Read the calls that are stored, and supervise them.", no_args_is_help=True)


@api_command(app, "list")
async def list_(
    context: CommandContext,
    *,
    state: Annotated[CallState | None, typer.Option(help="State of the calls.")] = None,
    kind: Annotated[CallKind | None, typer.Option(help="How the caller came.")] = None,
    assistant: Annotated[str, typer.Option(help="Assistant that answered.")] = "",
    room: Annotated[str, typer.Option(help="Room of the call.")] = "",
    caller: Annotated[str, typer.Option(help="Hash of the caller's address or number.")] = "",
    text: Annotated[str, typer.Option(help="Text that occurs in what was said.")] = "",
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Earliest begin: 2026-05-04T09:30:00Z.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most calls that are listed.")] = 50,
) -> None:
    """List calls, the latest first."""
    conditions = {
        "state": state, "kind": kind, "assistant": assistant, "room": room, "caller": caller,
        "text": text, "started_from": since, "limit": limit,
    }  # fmt: skip
    page = await context.api.request("GET", "/calls", params=conditions)
    context.out.json(page["items"])
    rows = [[call[column] for column in _COLUMNS] for call in page["items"]]
    context.out.print_table(_COLUMNS, rows, "there are no such calls")
    if page["total"] > len(rows):
        context.out.print_note(f"{page['total'] - len(rows)} more: raise --limit, or narrow down")


@api_command(app, "show")
async def show(context: CommandContext, call_id: CallId) -> None:
    """Print a call: its facts, and what was said with the connection behind each reply."""
    path = f"/calls/{call_id}"
    found = await context.api.request("GET", path, params={"limit": _PAGE})
    items = found["items"]
    while items and items[-1]["number"] < found["call"]["items"]:
        rest = {"after": items[-1]["number"], "limit": _PAGE}
        more = (await context.api.request("GET", path, params=rest))["items"]
        if not more:
            break
        items += more
    context.out.json({"call": found["call"], "items": items})
    shown = {name: value for name, value in found["call"].items() if value not in ("", None)}
    context.out.print_fields(shown)
    for item in items:
        _print_item(context, item)


@api_command(app, "follow")
async def follow(
    context: CommandContext,
    call_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="Id of the call; without, the changes of all.")
    ] = "",
) -> int:
    """Print what is said in a call as it comes, or how calls begin, change and end."""
    path = f"/calls/{call_id}/stream" if call_id else "/calls/stream"
    last = ""
    while True:
        async for event_id, name, data in context.api.follow_events(path, last):
            last = event_id or last
            context.out.json({"event": name, "data": data})
            if name == "error":
                context.out.print_note(data["detail"], "red")
                return EXIT_FAILED
            if name == "end":
                context.out.print_note(f"the call has ended: {data['reason']}")
                return 0
            _print_event(context, name, data, of_one=bool(call_id))


@api_command(app, "remove")
async def remove(context: CommandContext, call_id: CallId) -> None:
    """Delete a call with all that was said."""
    await context.api.request("DELETE", f"/calls/{call_id}")
    context.out.json({"removed": call_id})
    context.out.print_line(f"removed call {call_id}")


@api_command(app, "listen")
async def listen(
    context: CommandContext,
    call_id: CallId,
    *,
    seconds: Annotated[int, typer.Option(help="Time for which you may listen.")] = LISTENS_FOR[1],
) -> None:
    """Print a token with which a LiveKit client listens to a call. Others do not notice."""
    body = {"seconds": seconds}
    _print_seat(context, await context.api.request("POST", f"/calls/{call_id}/listen", body))


@api_command(app, "whisper")
async def whisper(
    context: CommandContext,
    call_id: CallId,
    text: Annotated[str, typer.Argument(help="Instruction for the agent's next replies.")],
) -> None:
    """Give the agent of a call an instruction, which the caller does not hear."""
    await context.api.request("POST", f"/calls/{call_id}/whisper", {"text": text})
    context.out.json({"whispered": call_id})
    context.out.print_line("the agent has the instruction")


@api_command(app, "take-over")
async def take_over(context: CommandContext, call_id: CallId) -> None:
    """Print a token to answer a call yourself: the agent leaves once your sound is there."""
    _print_seat(context, await context.api.request("POST", f"/calls/{call_id}/take-over"))


@api_command(app, "release")
async def release(context: CommandContext, call_id: CallId) -> None:
    """Have an agent answer again a call that you have taken over."""
    await context.api.request("POST", f"/calls/{call_id}/release")
    context.out.json({"released": call_id})
    context.out.print_line("an agent answers the call again")


def _print_seat(context: CommandContext, seat: Mapping[str, Any]) -> None:
    context.out.json(seat)
    context.out.print_fields(seat)


def _print_event(
    context: CommandContext, name: str, data: Mapping[str, Any], *, of_one: bool
) -> None:
    if name == "item":
        _print_item(context, data)
    elif name == "removed":
        context.out.print_line(f"{data['id']}  removed")
    elif not of_one:
        words = (data["id"], data["state"], data["kind"], data["room"], f"{data['items']} items")
        context.out.print_line("  ".join([*words, data["reason"]]).rstrip())


def _print_item(context: CommandContext, item: Mapping[str, Any]) -> None:
    time = item["created_at"][11:19]
    text = item["text"] or _tools(item["tool_calls"])
    if item["interrupted_at"] is not None:
        text += " … (interrupted)"
    connection = item["receipt"].get("connection")
    by = f" [{connection}]" if connection else ""
    context.out.print_line(f"{time} {item['role']}{by}: {text}")


def _tools(calls: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{call['name']}({call['arguments']}) = {call.get('output', '?')}" for call in calls
    )
