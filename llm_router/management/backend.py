"""Shows, loads and configures the first connection, for programs that know a single backend."""

from collections.abc import Mapping
from typing import Any

from llm_router.catalog import servers as catalog
from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import ConfigurationError, NotFoundError
from llm_router.management.model_loads import ModelLoad, ModelLoader, Progress
from llm_router.management.opening import ConnectionOpener
from llm_router.management.probe import open_provider
from llm_router.providers.base import ModelManager, Provider

BUILT_IN = "offline"
"""The provider that answers by rules; it is never the backend."""


class Backend:
    """The connection that calls ask first while all is well, as if it were the only one.

    Every method raises what the store raises; `load` and `configure` raise NotFoundError if no
    connection is active.
    """

    def __init__(self, opener: ConnectionOpener, loader: ModelLoader) -> None:
        self._opener = opener
        self._store = opener.store
        self._loader = loader

    async def find(self, actor: Actor) -> Connection | None:
        """Returns the first active connection for chat in the user's own order, or None."""
        query = Query(is_active=True, use_in_livekit=True, limit=None)
        page = await self._store.find(actor, query)
        chat = (c for c in page.items if c.serves == "chat")
        return next((c for c in chat if c.provider != BUILT_IN), None)

    def load_of(self, connection: Connection) -> ModelLoad | None:
        """Returns the latest load of a model at this connection, or None."""
        return self._loader.latest_of(connection.id)

    async def load(self, actor: Actor, model: str) -> ModelLoad:
        """Starts to load `model` at the backend's server; once ready, the connection asks for it.

        A model that an Ollama does not have is pulled first. Raises ConflictError while another
        model is being loaded for this owner or this connection, and BusyError.
        """
        backend = await self._editable(actor)
        connection, guard = await self._opener.open(actor, backend.id, "load", action="edit")

        async def work(progress: Progress) -> None:
            provider = await open_provider(connection, self._opener.clock, guard, model=model)
            is_listed = connection.provider == catalog.PROVIDER
            try:
                await _make_ready(provider, model, progress, is_listed=is_listed)
            finally:
                await provider.aclose()
            await self._store.change(actor, connection.id, {"model_name": model})

        return self._loader.start(actor.owner or actor.name, connection.id, model, work)

    async def configure(
        self, actor: Actor, settings: Mapping[str, Any], extra: Mapping[str, Any] | None = None
    ) -> Connection:
        """Changes the generation settings named; None clears one.

        `extra` is merged into `extra_body`, from which the entries that are None are removed.
        """
        connection = await self._editable(actor)
        changes = dict(settings)
        if extra is not None:
            merged = {**connection.extra_body, **extra}
            changes["extra_body"] = {k: value for k, value in merged.items() if value is not None}
        return await self._store.change(actor, connection.id, changes)

    async def _editable(self, actor: Actor) -> Connection:
        rules.require(actor, "edit")
        connection = await self.find(actor)
        if connection is None:
            raise NotFoundError("no connection is active; add one at POST /api/connections")
        rules.require(actor, "edit", connection)
        return connection


async def _make_ready(
    provider: Provider, model: str, progress: Progress, *, is_listed: bool
) -> None:
    """Loads `model` into the server.

    `is_listed`: the server lists every model that it can serve. Raises UpstreamError if the server
    fails, and ConfigurationError if it has no such model.
    """
    progress("looking for it", None)
    if isinstance(provider, ModelManager):
        if not _has_model(await provider.models(), model):
            async for step in provider.pull(model):
                share = (step.completed or 0) / step.total if step.total else None
                progress(step.status, share)
    elif is_listed and (offered := await provider.models()) and not _has_model(offered, model):
        names = ", ".join(offered[:20])
        raise ConfigurationError(f"the server does not serve {model!r}; it serves: {names}")
    progress("loading it", None)
    await provider.warm()
    await provider.probe()


def _has_model(offered: Any, model: str) -> bool:
    return model in offered or f"{model}:latest" in offered
