"""Finds connections that are not used because others are stored, and the commands to store them."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_router.connections.access import SYSTEM, WORKER
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore, Query
from llm_router.discovery.discover import DiscoveryResult
from llm_router.discovery.environment import ASK
from llm_router.discovery.formats import to_row
from llm_router.discovery.local_servers import server_root

_MOST = 50
_OPTIONS = {
    "base_url": "--base-url",
    "model_name": "--model",
    "connection_type": "--type",
    "server": "--server",
    "provider": "--provider",
    "pool": "--pool",
    "priority": "--priority",
}
"""Options of `llm-router connections` by field; `--set` is for the other fields."""
_OF_A_SERVER = (
    "base_url", "model_name", "connection_type", "server", "provider", "organization_id",
    "api_version", "deployment", "region", "extra_body",
)  # fmt: skip
"""Fields that a connection to another server must not take over from the stored one."""
_IN_THE_STORE = ("id", "name", "priority")
"""Fields that an edit leaves as they are stored."""


@dataclass(frozen=True, slots=True)
class UnusedConnection:
    """A connection that was found, without secrets; `command` stores it, and names no secret."""

    connection: Connection
    source: str
    command: str

    def __str__(self) -> str:
        c = self.connection
        shown = ", ".join(filter(None, (c.model_name, c.base_url)))
        about = f"{c.name} ({shown})" if shown else c.name
        return (
            f"{about} from {self.source} is not used, because other connections are stored; to use "
            f"it: {self.command}"
        )


async def find_unused(store: ConnectionStore, found: DiscoveryResult) -> list[UnusedConnection]:
    """Returns the connections found that calls do not use, because others are stored.

    Compares at most the first 50, so that it takes as long whatever is stored. Raises StoreError if
    the store cannot be read.
    """
    compared = replace(found, connections=found.configured[:_MOST])
    if not compared.connections:
        return []
    in_use = await store.find(WORKER, Query(is_active=True, limit=1))
    if not in_use.total:
        return []
    alike: dict[str, Connection] = {}
    for c in compared.connections:
        part = server_root(c.base_url) if c.base_url else c.model_name or c.name
        for query in (Query(name=c.name, limit=_MOST), Query(text=part, limit=_MOST)):
            alike |= {s.id: s for s in (await store.find(SYSTEM, query)).items}
    return list_unused(compared, tuple(alike.values()))


def list_unused(found: DiscoveryResult, stored: Sequence[Connection]) -> list[UnusedConnection]:
    """Returns the active connections found that are not stored in the same way.

    `stored`: those of the same names and servers, also if they are switched off. The command edits
    a stored connection that has the same name, or the same server and model with another key; else
    it adds one.
    """
    wanted = [c.without_secrets() for c in found.configured if c.is_active]
    stored = [s.without_secrets() for s in stored]
    unused = [c for c in wanted if not any(_is_same(c, s) for s in stored)]
    # The commands run without an owner, and so add to and edit the connections without one.
    names = {s.name for s in stored if not s.owner}
    editable = [s for s in stored if not s.owner and not any(_is_same(c, s) for c in wanted)]
    # All names are compared first, so that no connection takes the place that another one names.
    by_name = {s.name: s for s in editable}
    edits = {c.name: by_name[c.name] for c in unused if c.name in by_name}
    rest = [s for s in editable if s.name not in edits]
    listed = []
    for c in unused:
        old = edits.get(c.name) or next((s for s in rest if _place(s) == _place(c)), None)
        if old in rest:
            rest.remove(old)
        where = found.key_sources.get(c.name, ASK)
        if old:
            is_unique = sum(s.name == old.name for s in stored) == 1
            words = ["edit", old.name if is_unique else old.id, *_edits(old, c, where)]
        else:
            name = _free_name(c.name, names)
            names.add(name)
            words = ["add", name, *_options(to_row(c), c, where)]
        command = shlex.join(["llm-router", "connections", *words])
        listed.append(UnusedConnection(c, found.sources[c.name], command))
    return listed


def _place(c: Connection) -> tuple[str, str, str]:
    return (server_root(c.base_url) if c.base_url else c.provider, c.model_name, c.deployment)


def _is_same(found: Connection, stored: Connection) -> bool:
    """Returns whether both have the same server, model and key; of a short key nothing is known."""
    keys = found.api_key_last4, stored.api_key_last4
    return _place(found) == _place(stored) and (keys[0] == keys[1] or "" in keys)


def _edits(old: Connection, new: Connection, where: str) -> Iterator[str]:
    names = [n for n in to_row(new) if n not in _IN_THE_STORE]
    if _place(old) != _place(new):
        names += [n for n in _OF_A_SERVER if n not in names]
    changed = {n: getattr(new, n) for n in names if getattr(new, n) != getattr(old, n)}
    if not old.is_active:
        changed["is_active"] = True
    yield from _options(changed, new, where)
    if new.api_key_last4 is None and old.api_key_last4 is not None:
        yield from ("--key", "none")  # the stored key belongs to another server


def _options(fields: Mapping[str, Any], c: Connection, where: str) -> Iterator[str]:
    for name in (*_OPTIONS, *(n for n in fields if n not in _OPTIONS)):
        if name in fields and name not in {"id", "name"}:
            value = fields[name]
            option = _OPTIONS.get(name)
            yield from (option, str(value)) if option else ("--set", f"{name}={_as_json(value)}")
    if c.api_key_last4 is not None:
        yield from ("--key", where)
    for name in c.header_names:
        yield from ("--header", f"{name}={ASK}")


def _as_json(value: Any) -> str:
    """Returns a value as `--set` reads it: text as it is, unless it would be read as JSON."""
    if not isinstance(value, str):
        return json.dumps(value, default=dict)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)


def _free_name(name: str, taken: set[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name} {number}", number + 1
    return free
