"""Parses recordings of real servers (`tests/wire`) as they arrived, and split differently."""

from collections.abc import Callable, Sequence

import pytest

from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.providers.base import PROVIDERS
from tests.live.exchanges import EXCHANGES
from tests.live.kinds import KINDS, SERVERS
from tests.live.receptionist import MODEL, answer
from tests.wire.recording import list_recordings, load_recording, replay_server

Cut = Callable[[Sequence[bytes]], Sequence[bytes]]


def as_recorded(pieces: Sequence[bytes]) -> Sequence[bytes]:
    return pieces


def all_at_once(pieces: Sequence[bytes]) -> Sequence[bytes]:
    return [b"".join(pieces)]


def byte_by_byte(pieces: Sequence[bytes]) -> Sequence[bytes]:
    return [bytes([byte]) for byte in b"".join(pieces)]


@pytest.mark.parametrize("cut", [as_recorded, all_at_once, byte_by_byte])
@pytest.mark.parametrize(("kind_name", "exchange_name"), list_recordings())
async def test_a_recorded_reply_is_parsed_like_the_live_one(
    kind_name: str, exchange_name: str, cut: Cut
) -> None:
    kind, exchange = KINDS[kind_name], EXCHANGES[exchange_name]
    async with replay_server(load_recording(kind_name, exchange_name).cut(cut)) as url:
        connection = Connection(
            name="recorded",
            provider=kind.provider,
            server=kind.server,
            base_url=url,
            model_name=MODEL,
        )
        provider = PROVIDERS.load(kind.provider)(connection, SystemClock())
        try:
            found = await answer(provider, exchange.request)
        finally:
            await provider.aclose()
    assert found.matches(exchange.expected(kind)), found
    assert exchange.kill_after in found.text


def test_every_kind_of_server_has_every_recording() -> None:
    wanted = {
        (kind.name, exchange.name)
        for kind in SERVERS
        for exchange in EXCHANGES.values()
        if exchange.is_for(kind)
    }
    assert wanted == {*list_recordings()}
