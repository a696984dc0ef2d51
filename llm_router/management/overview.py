"""Sums up whether any model answers, in the words of programs that know a single vLLM. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llm_router.catalog import servers as catalog
from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError
from llm_router.management.backend import BUILT_IN
from llm_router.management.server_pages import ServerPage

OverviewStatus = Literal["healthy", "degraded", "unhealthy"]
_ON_GPUS = frozenset({"vllm", "sglang", "tgi"})
"""Servers that as a rule run on GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of the model servers behind some connections.

    `queue_size`: requests of all clients that wait at the servers that publish this; None: none
    does.
    """

    status: OverviewStatus
    gpu_available: bool = False
    model_loaded: bool = False
    upstream_healthy: bool = False
    queue_size: int | None = None
    models: Sequence[str] = ()


def sum_up(pages: Sequence[ServerPage]) -> Overview:
    """Returns the overview of these connections; those for chat count, but not the built-in rules.

    A connection is alive if it passed its checks, or was not checked yet and its server gave its
    page. Without one that is alive the status is `unhealthy`; with one whose checks fail, or
    without a model, `degraded`.
    """
    pages = [page for page in pages if _counts(page.connection)]
    alive = [page.connection for page in pages if _is_alive(page)]
    waiting = [page.queue.waiting for page in pages if page.queue]
    models = sorted({connection.model_name for connection in alive if connection.model_name})
    is_failing = any(page.connection.status == "error" for page in pages)
    return Overview(
        status=_status(is_alive=bool(alive), is_whole=bool(models) and not is_failing),
        gpu_available=any(map(_is_on_gpus, alive)),
        model_loaded=bool(models),
        upstream_healthy=bool(alive),
        queue_size=sum(waiting) if waiting else None,
        models=models,
    )


def _status(*, is_alive: bool, is_whole: bool) -> OverviewStatus:
    if not is_alive:
        return "unhealthy"
    return "healthy" if is_whole else "degraded"


def _counts(connection: Connection) -> bool:
    return connection.serves == "chat" and connection.provider != BUILT_IN


def _is_alive(page: ServerPage) -> bool:
    match page.connection.status:
        case "active" | "resting":
            return True
        case "untested" | "testing":
            return page.text is not None
        case _:
            return False


def _is_on_gpus(connection: Connection) -> bool:
    if connection.provider != catalog.PROVIDER:
        return False
    try:
        return catalog.find_server(connection).name in _ON_GPUS
    except ConfigurationError:
        return False
