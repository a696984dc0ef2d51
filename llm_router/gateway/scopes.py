"""Groups the routes, for API keys that are limited to some of them. Pure."""

import re
from collections.abc import Mapping

from llm_router.connections.access import RouteGroup
from llm_router.gateway.errors import Problem
from llm_router.store.api_keys import ApiKey

_GROUPS: Mapping[RouteGroup, str] = {
    "chat": (
        r"/v1/.+|/api/(chat|models|generate|batches|local-llm)(/.*)?"
        r"|/api/connections/[^/]+/generate"
    ),
    "chats": r"/api/chats(/.*)?",
    "mcp": r"/mcp(/.*)?",
    "monitor": r"/metrics|/api/healthz|/api/analytics/.+",
}
"""The whole paths of each group; every other path is of the group `manage`."""
_PATTERNS = {group: re.compile(pattern) for group, pattern in _GROUPS.items()}
_OF_EVERY_KEY = frozenset({"/api/me", "/api/session"})


def group_of(path: str) -> RouteGroup | None:
    """Returns the group of routes that a path belongs to; None: every key may ask it.

    `path` is the one that the routes are found by (`scope["path"]`), never one made of headers.
    """
    if path in _OF_EVERY_KEY:
        return None
    for group, pattern in _PATTERNS.items():
        if pattern.fullmatch(path):
            return group
    return "manage"


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
