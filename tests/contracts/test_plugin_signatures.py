"""Every plugin's `create` has the parameters that its folder promises to callers.

mypy cannot see this: a plugin is imported by its name.
"""

from inspect import signature
from typing import Any

import pytest

from agent import stt, tools, tts
from agent.speech.engine import NameModel
from agent.speech.process.models import KINDS, LoadModel
from agent.speech.stt import CreateSTT, NameMissing
from agent.speech.tts import CreateTTS
from agent.tools.base import CreateTools
from llm_router.assembly import POLICIES
from llm_router.plugins import Plugins
from llm_router.providers.base import PROVIDERS, CreateProvider
from llm_router.routing.policies.base import CreatePolicy

FOLDERS: list[tuple[Plugins[Any], type]] = [
    (PROVIDERS, CreateProvider),
    (POLICIES, CreatePolicy),
    (stt.ENGINES, CreateSTT),
    (stt.MODELS, NameModel),
    (stt.LANGUAGES, NameMissing),
    (tts.MODELS, NameModel),
    (tts.ENGINES, CreateTTS),
    (KINDS, LoadModel),
    (tools.TOOLS, CreateTools),
]


@pytest.mark.parametrize(
    ("plugins", "name", "protocol"),
    [
        pytest.param(plugins, name, protocol, id=f"{plugins.package}.{name}.{protocol.__name__}")
        for plugins, protocol in FOLDERS
        for name in plugins.names()
    ],
)
def test_create_takes_what_its_callers_give(
    plugins: Plugins[Any], name: str, protocol: type
) -> None:
    promised = [*signature(protocol.__call__).parameters.values()][1:]  # without self
    written = signature(plugins.load(name)).parameters.values()
    assert [(p.name, p.default) for p in written] == [(p.name, p.default) for p in promised]
