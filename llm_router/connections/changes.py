"""What must be done so that what is stored is what a file says. Plain decisions, no I/O."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
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
    """One that is stored, and the fields for which the file has another value."""

    stored: Connection
    values: Mapping[str, Any] = field(repr=False)

    def for_display(self) -> dict[str, tuple[Any, Any]]:
        """Field -> before and after; of secrets, only that they change."""
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
        """In an order that lets a new one have the name of one that goes. Whatever was edited since
        the plan was made is stale.
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
        """Tells this plan from any other, so that what is done is what was shown."""
        said = {
            "added": [c.name for c in self.added],
            "changed": [[c.stored.id, c.stored.version, sorted(c.values)] for c in self.changed],
            "removed": [[c.id, c.version] for c in self.removed],
        }
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def make_plan(
    stored: Sequence[Connection], wanted: Sequence[Connection], owner: str, *, prune: bool = False
) -> Plan:
    """From all that are `stored`, with their secrets, to those of a file.

    One with an `id` is the one of that id, else the one of that name which `owner` has. What the
    file leaves out has its default; a key and headers that it leaves out stay as they are. `prune`:
    what `owner` has besides is removed.
    """
    by_id = {c.id: c for c in stored}
    by_name = {c.name: c for c in stored if c.owner == owner}
    added, changed, unchanged = list[Connection](), list[PlannedChange](), list[Connection]()
    named: set[str] = set()
    for connection in wanted:
        place = by_id.get(connection.id) if connection.id else by_name.get(connection.name)
        if place is None:
            added.append(connection)
            continue
        named.add(place.id)
        values = dict(_differences(place, connection))
        if values:
            changed.append(PlannedChange(place, values))
        else:
            unchanged.append(place)
    left = [c for c in stored if prune and c.owner == owner and c.id not in named]
    return Plan(
        added=tuple(added),
        changed=tuple(changed),
        unchanged=tuple(unchanged),
        removed=tuple(left),
    )


def _differences(stored: Connection, wanted: Connection) -> Iterator[tuple[str, Any]]:
    for name in _COMPARED:
        if getattr(stored, name) != getattr(wanted, name):
            yield name, getattr(wanted, name)
    if wanted.api_key is not None and wanted.api_key != stored.api_key:
        yield "api_key", wanted.api_key
    if wanted.headers and wanted.headers != stored.headers:
        yield "headers", wanted.headers
