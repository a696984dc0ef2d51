"""The API of programs that know one backend: the first connection that is asked, as if it were the
only one. The same routes answer at the root, where such programs look for them.
"""

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from llm_router.catalog import servers as catalog
from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.connections.record import MAX_LENGTHS, Connection, Status
from llm_router.connections.store import Query
from llm_router.errors import ConfigurationError, NotFoundError
from llm_router.gateway.deps import Asking, Served, Services
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import Given
from llm_router.management import probe as checkup
from llm_router.management.model_loads import Told
from llm_router.providers.base import ModelManager, Provider

BackendKind = Literal["local", "ollama", "vllm", "instructlab", "openai"]


class ModelToLoad(Given):
    """A name that the server knows, or for a local backend also a path."""

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={"examples": [{"model_name_or_path": "qwen3:4b"}]},
    )
    model_name_or_path: str = Field(min_length=1, max_length=MAX_LENGTHS["model_name"])


class LoadingShown(BaseModel):
    """A model on its way, or the last one that was."""

    model_config = ConfigDict(from_attributes=True)
    connection_id: str
    model: str
    state: Literal["loading", "ready", "failed"]
    progress: float | None = Field(description="From 0 to 1, where the server says.")
    detail: str


class BackendConfig(Given):
    """Generation settings, for what a request does not say itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"temperature": 0.4, "extra": {"top_k": 20}}]}
    )
    temperature: float | None = Field(default=None, ge=0, le=2, strict=True)
    top_p: float | None = Field(default=None, ge=0, le=1, strict=True)
    max_tokens: int | None = Field(default=None, ge=1, le=10**9, strict=True)
    extra: dict[str, JsonValue] = Field(
        default={},
        max_length=50,
        description="Other fields of a request, as the server knows them.",
    )


class BackendShown(BaseModel):
    """The connection that is asked first; `status` none: there is none."""

    connection_id: str | None = None
    connection: str | None = None
    backend_type: BackendKind | None = None
    backend_url: str = ""
    active_model: str = ""
    status: Status | Literal["loading", "none"]
    status_reason: str = ""
    loading: LoadingShown | None = None
    config: BackendConfig | None = None


_BUILT_IN = "offline"
_KINDS: Mapping[str, BackendKind] = {
    "transformers": "local",
    "ollama": "ollama",
    "vllm": "vllm",
    "instructlab": "instructlab",
}
"""As LLM_BACKEND_TYPE has it, by provider or by row of the catalog; all others are `openai`."""


async def status(asking: Asking, served: Served) -> BackendShown:
    """Which connection is asked first, at which server, for which model, and how it does."""
    connection = await _first(served, asking)
    latest = served.loader.latest
    seen = latest if latest and connection and latest.connection_id == connection.id else None
    if connection is None:
        return BackendShown(status="none")
    return BackendShown(
        connection_id=connection.id,
        connection=connection.name,
        backend_type=_kind(connection),
        backend_url=connection.base_url,
        active_model=connection.model_name,
        status="loading" if seen and seen.state == "loading" else connection.status,
        status_reason=connection.status_reason,
        loading=LoadingShown.model_validate(seen) if seen else None,
        config=BackendConfig(
            temperature=connection.temperature,
            top_p=connection.top_p,
            max_tokens=connection.max_tokens,
            extra=dict(connection.extra_body),
        ),
    )


async def load(asking: Asking, served: Served, wanted: ModelToLoad) -> LoadingShown:
    """Have the first connection's server load another model, and ask that from then on.

    It goes on in the background; `GET .../models/status` says how far it is. A model that Ollama
    does not have is pulled first. While it is loaded, calls go on with the one there was.
    """
    connection = await _editable(served, asking)
    model = wanted.model_name_or_path
    secret, guard = await served.opener.open(asking, connection.id, "load", action="edit")

    async def work(tell: Told) -> None:
        provider = await checkup.open_provider(secret, served.clock, guard, model=model)
        try:
            await _make_ready(provider, model, tell, is_listed=secret.provider == catalog.PROVIDER)
        finally:
            await provider.aclose()
        await served.store.change(asking, connection.id, {"model_name": model})

    return LoadingShown.model_validate(served.loader.start(connection.id, model, work))


async def configure(asking: Asking, served: Served, wanted: BackendConfig) -> BackendConfig:
    """Put new values in the generation settings named, and leave the rest.

    null takes one away. `extra` goes into each request as it is: `top_k`, `repetition_penalty`...
    """
    connection = await _editable(served, asking)
    changes: dict[str, Any] = {
        name: getattr(wanted, name) for name in wanted.model_fields_set - {"extra"}
    }
    if "extra" in wanted.model_fields_set:
        extra = {**connection.extra_body, **wanted.extra}
        changes["extra_body"] = {name: value for name, value in extra.items() if value is not None}
    changed = await served.store.change(asking, connection.id, changes)
    return BackendConfig(
        temperature=changed.temperature,
        top_p=changed.top_p,
        max_tokens=changed.max_tokens,
        extra=dict(changed.extra_body),
    )


def _routes(prefix: str, *, shown: bool) -> APIRouter:
    routes = APIRouter(prefix=prefix, tags=["backend"], include_in_schema=shown)
    add = routes.add_api_route
    add("/models/status", status, methods=["GET"], operation_id="showBackend")
    add(
        "/load", load, methods=["POST"], status_code=202, operation_id="loadModel",
        responses=problems(404, 409, 500),
    )  # fmt: skip
    add(
        "/config", configure, methods=["PATCH"], operation_id="configureBackend",
        responses=problems(404),
    )  # fmt: skip
    return routes


router = _routes("/backend", shown=True)
bare = _routes("", shown=False)
"""For the root of the server."""


async def _first(served: Services, actor: Actor) -> Connection | None:
    """What a call is answered by while all is well: the first in the user's own order."""
    page = await served.store.find(actor, Query(is_active=True, use_in_livekit=True, limit=None))
    return next((c for c in page.items if c.provider != _BUILT_IN), None)


async def _editable(served: Services, actor: Actor) -> Connection:
    rules.require(actor, "edit")
    connection = await _first(served, actor)
    if connection is None:
        raise NotFoundError("no connection is active; add one at POST /api/connections")
    rules.require(actor, "edit", connection)
    return connection


def _kind(connection: Connection) -> BackendKind:
    is_row = connection.provider == catalog.PROVIDER
    name = catalog.find_server(connection).name if is_row else connection.provider
    return _KINDS.get(name, "openai")


async def _make_ready(provider: Provider, model: str, tell: Told, *, is_listed: bool) -> None:
    """Raises UpstreamError where the server cannot, ConfigurationError where it has no such model.

    `is_listed`: what the server can serve, it lists.
    """
    tell("looking for it", None)
    if isinstance(provider, ModelManager):
        if not _lists(await provider.models(), model):
            async for step in provider.pull(model):
                share = (step.completed or 0) / step.total if step.total else None
                tell(step.status, share)
    elif is_listed and (offered := await provider.models()) and not _lists(offered, model):
        shown = ", ".join(offered[:20])
        raise ConfigurationError(f"the server does not serve {model!r}; it serves: {shown}")
    tell("loading it", None)
    await provider.warm()
    await provider.probe()


def _lists(offered: Any, model: str) -> bool:
    return model in offered or f"{model}:latest" in offered
