"""Defines FleetSpec, the wishes of the person who starts a fleet."""

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from llm_router.connections.access import Visibility
from llm_router.errors import ConfigurationError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MAX_SIZE = 100
_PORTS = range(1, 65_536)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """One fleet: instances of one launch template, each of which serves one model.

    `max_hourly`: the most that all instances together may cost an hour, in the cloud's currency.
    `model_name` empty: the only model that the server lists. Times in seconds. Raises
    ConfigurationError for values that cannot work.
    """

    name: str
    template: str
    """Id (`lt-...`) or name of the launch template."""
    template_version: str = "$Default"
    size: int = 1
    max_hourly: float
    instance_types: tuple[str, ...] = ()
    """Types to choose from, by price and spare capacity; empty: the template's."""
    subnets: tuple[str, ...] = ()
    """Networks, and thereby zones, to choose from; empty: the template's."""
    port: int = 8000
    scheme: Literal["http", "https"] = "http"
    address: Literal["private", "public"] = "private"
    """Which of an instance's addresses is called."""
    model_name: str = ""
    server: str = "vllm"
    """Row of `catalog/servers.py` that describes the model server."""
    pool: str = "default"
    priority: int = 0
    visibility: Visibility = "private"
    api_key: str | None = field(default=None, repr=False)
    start_within: float = 1_200.0
    """Time from launch to first word; a large model takes minutes to load."""
    broken_after: float = 300.0
    """Time for which an instance in use may fail its health checks before it is replaced."""
    drain_for: float = 120.0
    """Time that replies under way are given before an instance is ended on purpose."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"fleet {self.name[:50]!r}: a name has up to 40 small letters, digits and hyphens"
            )
        if not self.template:
            raise ConfigurationError(f"fleet {self.name}: name a launch template")
        if not 1 <= self.size <= MAX_SIZE:
            raise ConfigurationError(f"fleet {self.name}: size must be 1 to {MAX_SIZE}")
        if not 0 < self.max_hourly < float("inf"):
            raise ConfigurationError(
                f"fleet {self.name}: max_hourly must be an amount of money above 0"
            )
        if self.port not in _PORTS:
            raise ConfigurationError(f"fleet {self.name}: port must be 1 to 65535")

    def without_draining(self) -> "FleetSpec":
        """Returns the same, but with no time for replies under way at its end."""
        return replace(self, drain_for=0.0)

    @property
    def max_price(self) -> float:
        """The most that one instance may cost an hour: the cloud gives none that costs more."""
        return self.max_hourly / self.size
