"""Reads and writes the metadata of an agent's dispatch: what the server says of the call.

Only servers with LiveKit's keys write it, and only the agent can read it: participants cannot.
"""

import hmac

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_router.voice.calls import Keep
from llm_router.voice.page_context import PageContext
from llm_router.voice.site import Mode

MAX_LENGTH = 60_000
"""Characters of metadata that are read; LiveKit itself takes 64 KiB."""


def hash_caller(address: str, secret: str) -> str:
    """Returns the hash by which calls from one address or number are found."""
    return hmac.digest(secret.encode(), address.encode(), "sha256").hex()[:16]


class SiteTerms(BaseModel):
    """The limits that the site from which a visitor has called sets for the call.

    None, or 0: no limit of the site's own.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    site: str = Field(max_length=64)
    """Name of the site."""
    modes: frozenset[Mode] = frozenset({"text", "voice"})
    max_seconds: int = Field(default=0, ge=0)
    max_cost: float = Field(default=0.0, ge=0)
    """In the currency of the connections' prices."""
    keep: Keep | None = None
    keep_days: int | None = None


class Outgoing(BaseModel):
    """The part of a dispatch that only calls to a number have.

    `variables` fill the names in its instructions and greeting, `voicemail` is left on a machine.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    variables: dict[str, str] = Field(default_factory=dict, max_length=20)
    voicemail: str = Field(default="", max_length=1_000)
    detect_machine: bool = True
    """Whether the agent first listens who, or what, has answered."""
    max_seconds: float = Field(default=0.0, ge=0)
    """Seconds after which the line is cut, counted from the answer; 0: it is not."""


class Dispatch(BaseModel):
    """The server's description of one call.

    Fields that a newer server adds are ignored, so that an older worker takes its calls.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    caller: str = Field(default="", max_length=256)
    """Hash of the caller's address, as `hash_caller` makes it, or empty."""
    assistant: str = Field(default="", max_length=128)
    """Name of the assistant that answers; empty for the default one."""
    epoch: int = Field(default=1, ge=1)
    """Number of this agent among the agents of the call: 2 replaces the first one."""
    lost_at: float = Field(default=0.0, ge=0)
    """Time (s since 1970) of the last sign of life of the agent before; 0 if there was none, or it
    left on purpose."""
    deaths: tuple[float, ...] = Field(default=(), max_length=8)
    """Times (s since 1970) at which earlier agents of the call have died lately."""
    terms: SiteTerms | None = None
    """Limits of the visitor's site; None: they have called from no site of others."""
    planned: bool = False
    """Whether the agent before leaves on purpose, at a moment when neither side speaks."""
    outgoing: Outgoing | None = None
    """The call is one that we place; None: somebody calls us."""
    context: PageContext | None = None
    """The page's account of itself or of the visitor."""
    trial: str = ""
    """Description of what answers a call that tries something out, sealed (`agent.trial_call`)."""
    returned: bool = False
    """Whether a person has answered since the agent before, and has given the caller back."""

    def next(self) -> "Dispatch":
        """Describes the agent after this one, of the same call."""
        return self.model_copy(update={"epoch": self.epoch + 1})

    def first(self) -> "Dispatch":
        """Describes the first agent of a new call under the same limits."""
        return Dispatch.model_validate(
            self.model_dump(exclude={"epoch", "lost_at", "deaths", "planned", "returned"})
        )

    def to_metadata(self) -> str:
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_metadata(cls, text: str) -> "Dispatch":
        """Reads metadata. Anything else, as other programs dispatch with, is that of no field."""
        try:
            return cls.model_validate_json(text) if len(text) <= MAX_LENGTH else cls()
        except ValidationError:
            return cls()
