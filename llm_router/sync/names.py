"""Gives connections of several owners names that differ within one router."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from llm_router.connections.record import Connection

_NO_OWNER = "no owner"
_HALF_LENGTH = 95
"""Characters: a name of two such halves is no longer than a connection's name may be."""


def given_name(connection: Connection) -> str:
    """Returns the name that its owner gave it, without what `disambiguate` has added."""
    name = connection.name
    for added in (connection.owner[:_HALF_LENGTH] or _NO_OWNER, connection.id):
        name = name.removesuffix(f" ({added})")
    return name


def disambiguate(connections: Iterable[Connection]) -> list[Connection]:
    """Returns the connections with the owner added to each name that several of them have.

    Where that is not enough, the id is added instead.
    """
    connections = list(connections)
    uses = Counter(connection.name for connection in connections)
    taken = {name for name in uses if uses[name] == 1}
    renamed = []
    for connection in connections:
        name = connection.name
        if uses[name] > 1:
            name = f"{name[:_HALF_LENGTH]} ({connection.owner[:_HALF_LENGTH] or _NO_OWNER})"
            if name in taken:
                name = f"{connection.name[:_HALF_LENGTH]} ({connection.id})"
            taken.add(name)
        # A changed record is checked anew, which thousands need not be at every reading.
        is_same = name == connection.name
        renamed.append(connection if is_same else replace(connection, name=name))
    return renamed
