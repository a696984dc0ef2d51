"""RouterState: the objects that all replies of one router share."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_router.clock import Clock
from llm_router.options import RouterOptions
from llm_router.routing.budget import Budget
from llm_router.routing.draining import Draining
from llm_router.routing.events import Observer
from llm_router.routing.phrases import Phrases
from llm_router.routing.pool import Pool


@dataclass(slots=True, kw_only=True)
class RouterState:
    """The parts of a Router that each of its replies works with."""

    pool: Pool
    options: RouterOptions
    clock: Clock
    phrases: Phrases
    observers: Sequence[Observer]
    budget: Budget
    draining: Draining
    apologies: int = 0
    """Apologies spoken so far; successive ones take different phrases."""
