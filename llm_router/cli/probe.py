"""`llm-router connections test`: asks a connection a question and prints its words and times."""

import shlex
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from llm_router.api_client import find_connection
from llm_router.cli.command import EXIT_NO, CommandContext, api_command
from llm_router.cli.connections import ConnectionName, app
from llm_router.failures import FailureClass

_SHOWN_MODELS = 20
_OPTIONS = {
    FailureClass.UNREACHABLE: "--base-url URL",
    FailureClass.WRONG_ADDRESS: "--base-url URL",
    FailureClass.REJECTED_KEY: "--key ask",
    FailureClass.MODEL_MISSING: "--model MODEL",
}
"""The option of `connections edit` that changes what a failure is about."""


@api_command(app, "test")
async def probe(
    context: CommandContext,
    name: ConnectionName,
    *,
    prompt: Annotated[str | None, typer.Option(help="Question to ask.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Limit of the answer's length.")] = None,
) -> int | None:
    """Test a connection with a short question, and print its words as they come, and the times.

    Exits with 1 if the connection does not work.
    """
    connection = await find_connection(context.api, name)
    result = await probe_connection(context, connection["id"], prompt, max_tokens)
    context.out.json(result)
    print_result(context, connection["name"], result)
    return None if result["ok"] else EXIT_NO


async def probe_connection(
    context: CommandContext,
    connection_id: str,
    prompt: str | None = None,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Has the API probe a connection, prints the words as they come, and returns the result."""
    options = {"prompt": prompt, "max_tokens": max_tokens}
    body = {name: value for name, value in options.items() if value is not None}
    result: dict[str, Any] = {}
    async for line in context.api.stream_lines(f"/connections/{connection_id}/test", body):
        context.out.print_text(line.get("text", ""))
        result = line.get("result", result)
    if result.get("text"):
        context.out.print_text("\n")
    return result


def print_result(context: CommandContext, name: str, result: dict[str, Any]) -> None:
    """Prints whether the connection works, what to do if not, and the notice on its server."""
    if failure := result["failure"]:
        advice = f": {failure['advice']}" if failure["advice"] else ""
        context.out.print_line(
            f"{name} does not work: {failure['kind']} ({failure['reason']}){advice}", "red"
        )
        if failure["kind"] == FailureClass.MODEL_MISSING and result["models"]:
            context.out.print_note(f"the server lists: {_shorten(result['models'])}")
        if edit := correction(name, failure["kind"]):
            context.out.print_note(f"to correct that: {edit}")
    else:
        tokens = f", {result['tokens_out']} tokens" if result["tokens_out"] is not None else ""
        first, latency = result["first_word"], f"{result['latency']:.2f} s"
        times = f"its models listed after {latency}"  # it is not for chat, and asked for no words
        if first is not None:
            times = f"first word after {first:.2f} s, whole answer after {latency}"
        context.out.print_line(f"{name} works: {times}{tokens}", "green")
    if result["notice"]:
        context.out.print_note(f"{name}: {result['notice']}", "yellow")


def correction(name: str, kind: FailureClass) -> str:
    """Returns the command that corrects what a failure of a connection is about; may be empty."""
    option = _OPTIONS.get(kind)
    return f"llm-router connections edit {shlex.quote(name)} {option}" if option else ""


def _shorten(models: Sequence[str]) -> str:
    more = len(models) - _SHOWN_MODELS
    return ", ".join(models[:_SHOWN_MODELS]) + (f" and {more} more" if more > 0 else "")
