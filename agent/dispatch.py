"""Reads and writes the metadata of an agent's dispatch: what the server says of the call.

Only servers with LiveKit's keys write it, and only the agent can read it: participants cannot.
"""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_LENGTH = 4096
"""Characters of metadata that are read; LiveKit itself takes 64 KiB."""


class Dispatch(BaseModel):
    """The server's description of one call.

    Fields that a newer server adds are ignored, so that an older worker takes its calls.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    caller: str = Field(default="", max_length=256)
    """Hash of the caller's address, or empty."""
    assistant: str = Field(default="", max_length=128)
    """Name of the assistant that answers; empty for the default one."""
    epoch: int = Field(default=1, ge=1)
    """Number of this agent among the agents of the call: 2 replaces the first one."""
    lost_at: float = Field(default=0.0, ge=0)
    """Time (s since 1970) of the last sign of life of the agent before; 0 if there was none, or it
    left on purpose."""
    deaths: tuple[float, ...] = Field(default=(), max_length=8)
    """Times (s since 1970) at which earlier agents of the call have died lately."""
    planned: bool = False
    """Whether the agent before leaves on purpose, at a moment when neither side speaks."""

    def to_metadata(self) -> str:
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_metadata(cls, text: str) -> "Dispatch":
        """Reads metadata. Anything else, as other programs dispatch with, is that of no field."""
        try:
            return cls.model_validate_json(text) if len(text) <= MAX_LENGTH else cls()
        except ValidationError:
            return cls()
