"""Each connection that is found but not used has the command that stores it."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.discovery.discover import DiscoveryOptions, DiscoveryResult, find_connections
from llm_router.discovery.environment import find_key_sources
from llm_router.discovery.unused import find_unused, list_unused
from llm_router.testing import InMemoryConnectionStore

KEY, OTHER_KEY = "sk-0123456789-wxyz", "sk-9876543210-abcd"
URL = "http://10.0.0.5:8000/v1"
OPENAI = {"OPENAI_BASE_URL": URL, "OPENAI_API_KEY": KEY, "DEFAULT_MODEL": "m"}
DESK = Connection(id="1", name="desk", base_url="http://10.0.0.9/v1", model_name="o")
STORED = replace(DESK, id="2", name="openai", base_url=URL, model_name="m", api_key=OTHER_KEY)


async def found(environ: dict[str, str]) -> DiscoveryResult:
    options = DiscoveryOptions(local=())
    return (await find_connections(Path("none.json"), environ, options)).without_secrets()


async def commands(environ: dict[str, str], *stored: Connection) -> list[str]:
    listed = list_unused(await found(environ), stored)
    assert not [one for one in listed if KEY in f"{one} {one!r}"]
    return [one.command.removeprefix("llm-router connections ") for one in listed]


async def test_a_name_that_is_not_stored_is_added() -> None:
    assert await commands(OPENAI, DESK) == [
        f"add openai --base-url {URL} --model m --key env:OPENAI_API_KEY"
    ]


async def test_a_name_that_is_stored_is_edited() -> None:
    elsewhere = replace(STORED, base_url="http://10.0.0.9/v1", model_name="old")
    assert await commands(OPENAI, elsewhere) == [
        f"edit openai --base-url {URL} --model m --key env:OPENAI_API_KEY"
    ]


@pytest.mark.parametrize("name", ["openai", "our own"])
async def test_of_the_same_server_only_the_new_key_is_stored(name: str) -> None:
    stored = replace(STORED, name=name)
    assert await commands(OPENAI, stored) == [f"edit {shlex.quote(name)} --key env:OPENAI_API_KEY"]
    same = replace(stored, api_key=KEY, base_url=URL.removesuffix("/v1"))
    assert await commands(OPENAI, same) == []


async def test_a_stored_key_is_not_sent_to_another_server() -> None:
    environ = {"OPENAI_BASE_URL": "http://10.0.0.6/v1", "DEFAULT_MODEL": "m"}
    assert await commands(environ, STORED) == [
        "edit openai --base-url http://10.0.0.6/v1 --key none"
    ]


async def test_fields_of_the_stored_server_are_not_taken_over() -> None:
    ollama = replace(STORED, provider="ollama", server="ollama", connection_type="local")
    (command,) = await commands(OPENAI, replace(ollama, base_url="http://10.0.0.9:11434"))
    options = "--type remote --server '' --provider openai_compatible --key env:OPENAI_API_KEY"
    assert command == f"edit openai --base-url {URL} {options}"


async def test_a_connection_that_is_switched_off_is_switched_on() -> None:
    assert await commands(OPENAI, DESK, replace(STORED, is_active=False)) == [
        "edit openai --set is_active=true --key env:OPENAI_API_KEY"
    ]
    assert await commands(OPENAI, DESK, replace(STORED, api_key=KEY, is_active=False)) == []


async def test_a_connection_of_another_owner_is_not_edited() -> None:
    (command,) = await commands(OPENAI, replace(STORED, owner="anna"))
    assert command.startswith("add openai ")


async def test_a_name_that_several_owners_have_is_edited_by_its_id() -> None:
    (command,) = await commands(OPENAI, STORED, replace(STORED, id="3", owner="anna"))
    assert command == "edit 2 --key env:OPENAI_API_KEY"


async def test_a_name_that_is_taken_by_another_found_connection_gets_a_number() -> None:
    environ = OPENAI | {"OPENAI_BASE_URL": f"{URL};http://10.0.0.6/v1", "OPENAI_API_KEY": ""}
    taken = replace(STORED, base_url="http://10.0.0.6/v1", api_key=None)
    (command,) = await commands(environ, taken)
    assert command == f"add 'openai 2' --base-url {URL} --model m"


async def test_other_fields_are_set_too() -> None:
    data = '[{"provider": "it\'s", "baseUrl": "http://a/v1", "apiKeyEnvVar": "MINE", "models":'
    data += ' [{"apiName": "7", "supportsTools": false}]}]'
    (command,) = await commands({"OPENAI_COMPATIBLE_DATA": data, "MINE": KEY}, DESK)
    assert shlex.split(command) == [
        "add", "it's 7", "--base-url", "http://a/v1", "--model", "7",
        "--set", "supports_tools=false", "--key", "env:MINE",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({"GROQ_API_KEY": KEY}, "env:GROQ_API_KEY"),
        ({"A": KEY, "Z_KEY": f'"{KEY}"', "Z_TOO": KEY}, "env:Z_KEY"),
        ({"MY_SECRET": f"Bearer {KEY}"}, "env:MY_SECRET"),
        ({"OPENAI_API_KEYS": f"{KEY};{OTHER_KEY}", "not-a-name": KEY}, "ask"),
    ],
)
def test_the_variable_that_holds_the_key_is_named(environ: dict[str, str], source: str) -> None:
    with_key, without = replace(DESK, api_key=KEY), replace(DESK, name="b")
    assert find_key_sources([with_key, without], environ) == {"desk": source}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([], []),
        ([replace(DESK, is_active=False)], []),
        ([replace(DESK, use_in_livekit=False)], []),
        ([DESK], ["openai"]),
    ],
)
async def test_what_is_found_is_used_until_a_connection_for_calls_is_stored(
    stored: Sequence[Connection], expected: list[str]
) -> None:
    store = InMemoryConnectionStore()
    await store.add(SYSTEM, stored)
    unused = await find_unused(store, await found(OPENAI))
    assert [one.connection.name for one in unused] == expected
