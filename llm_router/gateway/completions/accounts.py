"""Accounts for a reply that has ended: its tokens, and the attempts behind it. Pure."""

from dataclasses import replace
from typing import Any

from llm_router.catalog.prices import estimate_usage
from llm_router.routing.events import AttemptEvent, ReplyEvent, total_cost
from llm_router.types import Usage


def usage_of(event: ReplyEvent, counted: Usage | None) -> Usage:
    """Returns the tokens of a reply that has ended.

    They are the server's own count. Where it has none, or counted only the end of a reply that
    another had begun, they are estimated from the characters.
    """
    estimate = estimate_usage(event.prompt_characters, event.characters)
    if counted is None:
        return estimate
    completion = estimate.completion_tokens if event.resumes else counted.completion_tokens
    prompt = counted.prompt_tokens or estimate.prompt_tokens
    return replace(counted, prompt_tokens=prompt, completion_tokens=completion)


def receipt_of(event: ReplyEvent) -> dict[str, Any]:
    """Returns the attempts behind a reply that has ended, with the reasons and costs."""
    tries = [_attempt(each, event.prompt_characters) for each in event.tries]
    return {
        "connection": event.connection,
        "attempts": tries,
        "hedges": sum(each.role == "hedge" for each in event.tries),
        "resumes": event.resumes,
        "cost": total_cost(each["cost"] for each in tries),
    }


def _attempt(event: AttemptEvent, prompt_characters: int) -> dict[str, Any]:
    _, cost = event.charged(prompt_characters)
    return {
        "connection": event.connection,
        "model": event.model,
        "role": event.role,
        "outcome": event.outcome,
        "first_word_ms": milliseconds(event.first_word),
        "duration_ms": milliseconds(event.duration),
        "cost": cost,
    }


def milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
