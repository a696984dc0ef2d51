"""Defines presets as JSON."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from llm_router.gateway.schemas.base import StrictModel


class PresetRead(BaseModel):
    name: str
    title: str
    description: str
    connections: Sequence[str] = Field(description="Their names, in the order they are asked.")
    keys: Mapping[str, str] = Field(
        description="The connections that need a key, and the variable it is taken from."
    )


class PresetApply(StrictModel):
    """Keys by the name of the connection.

    For an admin, a key that is left out is taken from the environment of the HTTP process.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"keys": {"openai": "sk-...", "groq": "gsk_..."}}]}
    )
    keys: dict[str, SecretStr] = Field(default={}, max_length=20)
