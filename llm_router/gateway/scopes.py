"""Decides whether an API key may make a request within its own limits. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil

from llm_router.connections.access import RouteGroup
from llm_router.gateway.errors import Problem
from llm_router.routing.limits import next_month
from llm_router.store.api_keys import ApiKey

_GROUPS: Mapping[RouteGroup, str] = {
    "chat": (
        r"/v1/.+|/api/(chat|models|generate|local-llm)(/.*)?"
        r"|/api/connections/[^/]+/generate"
    ),
    "chats": r"/api/chats(/.*)?",
    "mcp": r"/mcp(/.*)?",
    "monitor": r"/metrics|/api/healthz|/api/analytics/.+",
}
"""The whole paths of each group; every other path is of the group `manage`."""
_PATTERNS = {group: re.compile(pattern, re.DOTALL) for group, pattern in _GROUPS.items()}
_OF_EVERY_KEY = frozenset({"/api/me", "/api/session"})


_SPENDING: frozenset[RouteGroup] = frozenset({"chat", "chats"})
_WITHOUT_REPLY = re.compile(
    r"/v1/messages/count_tokens|/api/local-llm/ollama/[a-z]+"
    r"|/api/chats(/[^/]+/messages/[^/]+/(stop|choose))?"
)
"""Paths of those groups that no model answers; a reply in progress can always be stopped."""
_TRIALS = re.compile(r"/api/assistants/[^/]+/(try|call)")
"""Paths of the other groups that a model answers."""


def spends(method: str, path: str) -> bool:
    """Returns whether a request asks for a reply, which takes tokens and costs money.

    Those of MCP are known by the tool that is called.
    """
    path = _of_route(path)
    if method != "POST" or _WITHOUT_REPLY.fullmatch(path):
        return False
    return group_of(path) in _SPENDING or _TRIALS.fullmatch(path) is not None


def group_of(path: str) -> RouteGroup | None:
    """Returns the group of routes that a path belongs to; None: every key may ask it.

    `path` is the one that the routes are found by (`scope["path"]`), never one made of headers.
    """
    path = _of_route(path)
    if path in _OF_EVERY_KEY:
        return None
    for group, pattern in _PATTERNS.items():
        if pattern.fullmatch(path):
            return group
    return "manage"


def _of_route(path: str) -> str:
    return path.removesuffix("\n")  # as Starlette's routes do, whose patterns end with `$`


def require_route(key: ApiKey, path: str) -> None:
    """Raises Problem (403) for a path outside the routes that the key is limited to."""
    group = group_of(path)
    if group is None or key.routes is None or group in key.routes:
        return
    raise Problem(
        403,
        "out-of-scope",
        f"The API key {key.name!r} is limited to {', '.join(key.routes)}, and this route is of"
        f" {group}: use another key, or ask an admin.",
    )


def require_allowance(key: ApiKey, now: datetime) -> None:
    """Raises Problem (429) for a key whose tokens of this minute, or whose budget, are used up.

    What is in progress, and what ended in the last two seconds, is not counted yet.
    """
    minute, month = key.used_this_minute, key.used_this_month
    if key.rate_limit_tpm is not None and minute.tokens >= key.rate_limit_tpm:
        wait = 60 - now.second
        raise Problem(
            429,
            "rate-limited",
            f"The API key {key.name!r} has used its {key.rate_limit_tpm:,} tokens a minute: try"
            f" again in {wait} s.",
            {"Retry-After": str(wait)},
        )
    reached = None
    if key.monthly_budget is not None and month.cost >= key.monthly_budget:
        reached = f"its monthly budget of {key.monthly_budget:g}"
    elif key.monthly_tokens is not None and month.tokens >= key.monthly_tokens:
        reached = f"its {key.monthly_tokens:,} tokens a month"
    if reached:
        begin = next_month(now.timestamp())
        again = datetime.fromtimestamp(begin, UTC)
        seconds = ceil(begin - now.timestamp())
        raise Problem(
            429,
            "budget-reached",
            f"The API key {key.name!r} has used up {reached}: it may ask for replies again from"
            f" {again:%Y-%m-%d} on, or when an admin raises the limit.",
            # Without `x-should-retry`, OpenAI's clients would ask again at once.
            {"Retry-After": str(seconds), "x-should-retry": "false"},
        )
