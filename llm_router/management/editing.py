"""Creates and changes stored connections, one by one, from files and from presets.

Each connection is vetted before it is stored.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_router.catalog.presets import PRESETS, preset_connections
from llm_router.connections import rules
from llm_router.connections.access import Actor, may_act
from llm_router.connections.changes import Plan, make_plan
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore, Query
from llm_router.discovery.formats import Format, parse, to_row
from llm_router.errors import ConfigurationError, ConflictError, NotFoundError, SealError
from llm_router.management.probe import PROBE_PROMPT, PROBE_TOKENS, ProbeResult, probe
from llm_router.management.vetting import AddressRules, recognise, vet

_DESTINATION_FIELDS = frozenset({"base_url", "provider", "server"})
"""Fields that decide which server is called; a change of one is vetted."""


class ConnectionEditor:
    """Creates and changes stored connections for an actor.

    `environ` holds variables that an admin may have a key taken from; `identify_within` is the
    time (s) that the server of a new connection has to say what it is, 0 for never. Every method
    raises what the store and `vet` raise; nothing is stored then.
    """

    def __init__(
        self,
        store: ConnectionStore,
        addresses: AddressRules,
        *,
        environ: Mapping[str, str],
        identify_within: float,
    ) -> None:
        self._store = store
        self._addresses = addresses
        self._environ = environ
        self._identify_within = identify_within

    async def create(self, actor: Actor, connection: Connection) -> Connection:
        """Stores a new connection, with what its server says about itself; see `recognise`."""
        rules.require(actor, "add")
        guard = self._addresses.for_actor(actor)
        await vet(guard, connection)
        recognised = await recognise(connection, guard, self._identify_within)
        (stored,) = await self._store.add(actor, [recognised])
        return stored

    async def try_out(self, actor: Actor, connection: Connection) -> ProbeResult:
        """Asks a connection that is not stored the usual question; nothing is stored.

        Raises what `create` and `probe` raise.
        """
        rules.require(actor, "add")
        guard = self._addresses.for_actor(actor)
        await vet(guard, connection)
        return await probe(
            connection,
            PROBE_PROMPT,
            max_tokens=PROBE_TOKENS,
            identify_within=self._identify_within,
            guard=guard,
        )

    async def update(
        self,
        actor: Actor,
        connection_id: str,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> Connection:
        """Changes the fields named. With `version`, raises StaleError if it is not the latest."""
        if _DESTINATION_FIELDS & set(changes):
            stored = await self._store.get(actor, connection_id)
            rules.require(actor, "edit", stored)
            await vet(self._addresses.for_actor(actor), replace(stored, **changes))
        return await self._store.change(actor, connection_id, changes, version=version)

    async def import_file(
        self, actor: Actor, text: str, file_format: Format, source: str
    ) -> tuple[Sequence[Connection], Sequence[str]]:
        """Stores all connections of a file, or none. Errors name the file as `source`.

        Returns them, and a warning for each field that was left out.
        """
        rules.require(actor, "add")
        warnings: list[str] = []
        environ = self._environ_for(actor)
        # In a thread: a large file takes a second, in which other requests are answered.
        new = await asyncio.to_thread(parse, text, file_format, source, environ, warnings.append)
        await vet(self._addresses.for_actor(actor), *new)
        return await self._store.add(actor, new), warnings

    async def apply_file(
        self,
        actor: Actor,
        text: str,
        source: str,
        *,
        prune: bool = False,
        dry_run: bool = False,
        expected_plan: str | None = None,
    ) -> Plan:
        """Makes the actor's connections those of a file, all at once; `dry_run` only plans it.

        `prune` removes what the file lacks. Raises ConflictError if `expected_plan` is not the
        digest of the plan, and SealError if a stored secret cannot be opened.
        """
        rules.require(actor, "add")
        wanted = await asyncio.to_thread(
            parse, text, "connections", source, self._environ_for(actor)
        )
        page = await self._store.find(actor, Query(limit=None), secrets=True)
        for reason in page.unreadable.values():
            raise SealError(reason)
        editable = {c.id for c in page.items if may_act(actor, "edit", c)}
        plan = await asyncio.to_thread(
            make_plan, page.items, wanted, actor.owner, prune=prune, editable=editable
        )
        for change in plan.changed:  # a plan that only shows must not admit more than one that does
            rules.require(actor, "edit", change.stored)
        if expected_plan is not None and expected_plan != plan.digest():
            raise ConflictError(
                "the connections were changed after this plan was made, so nothing was applied;"
                " make the plan again and check it"
            )
        changed = [replace(change.stored, **change.values) for change in plan.changed]
        await vet(self._addresses.for_actor(actor), *plan.added, *changed)
        if not dry_run:
            await self._store.apply(actor, plan.steps())
        return plan

    async def apply_preset(
        self, actor: Actor, name: str, keys: Mapping[str, str]
    ) -> Sequence[Connection]:
        """Stores all connections of a preset, or none. `keys`: by the name of the connection.

        Raises NotFoundError for an unknown preset, and ConfigurationError for a missing key.
        """
        rules.require(actor, "add")
        if name not in PRESETS:
            raise NotFoundError(f"there is no preset {name!r}; known: {', '.join(PRESETS)}")
        if unknown := sorted(set(keys) - set(PRESETS[name].keys)):
            raise ConfigurationError(
                f"keys: the preset {name} has no connection {unknown[0][:50]!r}"
            )
        new = preset_connections(name, self._environ_for(actor), keys)
        await vet(self._addresses.for_actor(actor), *new)
        return await self._store.add(actor, new)

    async def export(self, actor: Actor) -> Sequence[Mapping[str, Any]]:
        """Returns all connections that the actor sees as rows of a file, without secrets."""
        page = await self._store.find(actor, Query(limit=None))
        return [to_row(connection) for connection in page.items]

    def _environ_for(self, actor: Actor) -> Mapping[str, str]:
        """Returns the variables for an admin alone: others could have them sent anywhere."""
        return self._environ if may_act(actor, "transfer") else {}
