"""Tests on each database which names are no assistant's."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from agent.calls_out import _fault_of_assistant
from llm_router.connections.access import SYSTEM
from llm_router.errors import ConfigurationError
from llm_router.gateway.deps import Services
from llm_router.management.assistant_names import unknown_assistants
from llm_router.store.assistants import Assistants
from llm_router.store.database import Database
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from tests.contracts.stores import VAULT


@pytest.fixture
def assistants(database: Database) -> Assistants:
    return Assistants(database, VAULT)


def in_file() -> Mapping[str, AssistantRecord]:
    return {"sales": parse_assistant({"name": "sales"})}


def spoilt() -> Mapping[str, AssistantRecord]:
    raise ConfigurationError("the file is spoilt")


async def test_an_assistant_is_known_that_is_stored_or_in_the_file(assistants: Assistants) -> None:
    await assistants.add(SYSTEM, parse_assistant({"name": "desk"}))
    names = ["", "default", "desk", "sales", "gone"]
    assert await unknown_assistants(names, assistants, in_file) == {"gone"}
    assert await unknown_assistants(["desk"], assistants, spoilt) == set()
    with pytest.raises(ConfigurationError):
        await unknown_assistants(names, assistants, spoilt)


async def test_a_planned_call_learns_why_its_assistant_cannot_speak(
    assistants: Assistants,
) -> None:
    async def fault(name: str) -> str:
        services = SimpleNamespace(assistants=assistants, assistants_in_file=read_file)
        return await _fault_of_assistant(cast("Services", services), name)

    read_file = in_file
    assert await fault("sales") == ""
    assert "there is no assistant 'gone' any more" in await fault("gone")
    read_file = spoilt
    assert (await fault(""), await fault("sales")) == ("", "the file is spoilt")
