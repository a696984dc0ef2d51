"""`llm-router connections test`: the words as they come, and the times."""

from typing import Annotated, Any

import typer

from llm_router.api_client import find_connection
from llm_router.cli.command import NO, Session, over_api
from llm_router.cli.connections import Named, app


@over_api(app, "test")
async def try_out(
    session: Session,
    name: Named,
    *,
    prompt: Annotated[str | None, typer.Option(help="What to ask it.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="How much it may say.")] = None,
) -> int | None:
    """Ask one a short question, with its own key. Ends with 1 if it does not work."""
    found = await find_connection(session.api, name)
    result = await ask(session, found["id"], prompt, max_tokens)
    session.out.json(result)
    _tell(session, found["name"], result)
    return None if result["ok"] else NO


async def ask(
    session: Session, connection_id: str, prompt: str | None = None, max_tokens: int | None = None
) -> dict[str, Any]:
    """The result; the words are shown as they come."""
    wanted = {"prompt": prompt, "max_tokens": max_tokens}
    body = {name: value for name, value in wanted.items() if value is not None}
    result: dict[str, Any] = {}
    async for line in session.api.lines(f"/connections/{connection_id}/test", body):
        session.out.word(line.get("text", ""))
        result = line.get("result", result)
    if result.get("text"):
        session.out.word("\n")
    return result


def _tell(session: Session, name: str, result: dict[str, Any]) -> None:
    if failure := result["failure"]:
        advice = f": {failure['advice']}" if failure["advice"] else ""
        session.out.line(
            f"{name} does not work: {failure['kind']} ({failure['reason']}){advice}", "red"
        )
        return
    tokens = f", {result['tokens_out']} tokens" if result["tokens_out"] is not None else ""
    first = result["first_word"] or 0.0
    times = f"first word after {first:.2f} s, whole after {result['latency']:.2f} s"
    session.out.line(f"{name} works: {times}{tokens}", "green")
