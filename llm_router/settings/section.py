"""The base of every section of settings."""

import os
import re
from collections.abc import Mapping
from typing import Any

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from llm_router.loopback import reach_variable

_QUOTED = re.compile(r"""\s*(["'])(.*)\1\s*""", re.DOTALL)


def _unquoted(value: Any) -> Any:
    quoted = _QUOTED.fullmatch(value) if isinstance(value, str) else None
    return quoted[2] if quoted else value


class Section(BaseSettings):
    """Settings that belong together: each field is the variable of its name in capitals.

    An empty value means "not set", and quotes around a value are dropped.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _unquote(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Drops the quotes around values, which `docker --env-file` keeps; in a container, turns
        addresses of the machine into those that the container reaches.
        """
        bare = ((name, _unquoted(value)) for name, value in values.items())
        return {
            name: reach_variable(name, value, os.environ) if isinstance(value, str) else value
            for name, value in bare
            if value != ""
        }
