"""Connection: the record a user manages; what it says of a server that can answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from llm_router.errors import ConfigurationError
from llm_router.types import Capabilities

Continuation = Literal["flags", "trailing", "prefix", "partial", "words"]
"""How a server goes on with words it did not say itself.

`flags`: vLLM's `continue_final_message`; `trailing`: a last assistant message is continued;
`prefix`, `partial`: the same with that mark on the message; `words`: it is asked to, in words.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One server and model. Immutable; a change is a new record.

    Raises ConfigurationError for a record that cannot work, naming the connection and the field.
    """

    name: str
    base_url: str = ""
    model_name: str = ""
    api_key: str | None = field(default=None, repr=False)
    provider: str = "openai_compatible"
    """The module in `llm_router/providers` that speaks the wire."""
    server: str = ""
    """The row of `providers/catalog.py`; empty: found from the address."""
    priority: int = 0
    """Lower goes first."""
    weight: float = 1.0
    pool: str = "default"
    tags: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 60.0
    """Seconds a whole reply may take."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    context_length: int | None = None
    supports_tools: bool = True
    supports_images: bool = False
    supports_json: bool = True
    continuation: Continuation | None = None
    """None: as the catalog says of the server."""
    hedge: Literal["allowed", "never"] = "allowed"
    """`never`: it is asked only when those before it have failed."""
    use_in_livekit: bool = True
    use_in_mcp: bool = True
    use_in_automation: bool = True
    price_in: float = 0.0
    price_out: float = 0.0
    is_active: bool = True

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ConfigurationError("a connection needs a name")
        if self.base_url:
            parts = urlsplit(self.base_url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ConfigurationError(
                    f"connection {self.name!r}: base_url must look like http://host:port/v1"
                )
        if self.timeout <= 0:
            raise ConfigurationError(f"connection {self.name!r}: timeout must be above 0 s")
        if self.weight < 0:
            raise ConfigurationError(f"connection {self.name!r}: weight must not be negative")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            tools=self.supports_tools,
            images=self.supports_images,
            json=self.supports_json,
            context_length=self.context_length,
        )
