"""Plans the steps that bring stored connections in line with a file. No I/O."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from llm_router.connections.record import SECRET_FIELDS, STORE_MANAGED_FIELDS, Connection
from llm_router.connections.store import Change, Removal, Step

_COMPARED = tuple(
    f.name
    for f in fields(Connection)
    if f.name not in {*STORE_MANAGED_FIELDS, *SECRET_FIELDS, "id"}
)


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A stored connection, and the fields for which the file has another value."""

    stored: Connection
    values: Mapping[str, Any] = field(repr=False)

    def for_display(self) -> dict[str, tuple[Any, Any]]:
        """Maps each field to its value before and after; of a secret it shows only the change."""
        return {
            name: ("set" if getattr(self.stored, name) else "none", "another")
            if name in SECRET_FIELDS
            else (getattr(self.stored, name), value)
            for name, value in self.values.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    added: tuple[Connection, ...] = ()
    changed: tuple[PlannedChange, ...] = ()
    unchanged: tuple[Connection, ...] = ()
    removed: tuple[Connection, ...] = ()

    def steps(self) -> list[Step]:
        """Lists the steps for `ConnectionStore.apply`, removals first.

        So an added connection can take the name of a removed one. A connection that was edited
        after the plan was made causes StaleError.
        """
        return [
            *(Removal(id=c.id, version=c.version) for c in self.removed),
            *(
                Change(id=c.stored.id, changes=c.values, version=c.stored.version)
                for c in self.changed
            ),
            *self.added,
        ]

    def digest(self) -> str:
        """Returns a hash that identifies this plan, so that the plan shown is the plan applied."""
        content = {
            "added": [c.name for c in self.added],
            "changed": [[c.stored.id, c.stored.version, sorted(c.values)] for c in self.changed],
            "removed": [[c.id, c.version] for c in self.removed],
        }
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def make_plan(
    stored: Sequence[Connection],
    wanted: Sequence[Connection],
    owner: str,
    *,
    prune: bool = False,
    editable: Collection[str] | None = None,
) -> Plan:
    """Compares the stored connections, with their secrets, to the `wanted` ones of a file.

    A wanted connection with an `id` matches the stored one of that id, else the stored one of that
    name and `owner`. A field missing from the file has its default; a missing key or missing
    headers stay unchanged. With `prune`, all other connections of `owner` are removed. Of a
    connection whose id is not in `editable` (None: all are), a given secret counts as changed: a
    plan must not confirm a guess at it.
    """
    by_id = {c.id: c for c in stored}
    by_name = {c.name: c for c in stored if c.owner == owner}
    added, changed, unchanged = list[Connection](), list[PlannedChange](), list[Connection]()
    matched: set[str] = set()
    for connection in wanted:
        match = by_id.get(connection.id) if connection.id else by_name.get(connection.name)
        if match is None:
            added.append(connection)
            continue
        matched.add(match.id)
        own = editable is None or match.id in editable
        values = dict(_differences(match if own else match.without_secrets(), connection))
        if values:
            changed.append(PlannedChange(match, values))
        else:
            unchanged.append(match)
    removed = [c for c in stored if prune and c.owner == owner and c.id not in matched]
    return Plan(
        added=tuple(added),
        changed=tuple(changed),
        unchanged=tuple(unchanged),
        removed=tuple(removed),
    )


def _differences(stored: Connection, wanted: Connection) -> Iterator[tuple[str, Any]]:
    for name in _COMPARED:
        if getattr(stored, name) != getattr(wanted, name):
            yield name, getattr(wanted, name)
    if wanted.api_key is not None and wanted.api_key != stored.api_key:
        yield "api_key", wanted.api_key
    if wanted.headers and wanted.headers != stored.headers:
        yield "headers", wanted.headers
