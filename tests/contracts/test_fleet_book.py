"""The contract of fleet books: numbers of launches never return, and all processes see the same."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from llm_router.fleet.book import FleetBook
from llm_router.store.fleets import SqlFleetBook
from llm_router.testing.cloud import MemoryFleetBook
from tests.contracts.databases import Server, opened

NOW = 1_764_000_000.7


@pytest.fixture
async def book(server_or_none: Server | None) -> AsyncIterator[FleetBook]:
    if server_or_none is None:
        yield MemoryFleetBook()
        return
    async with opened(await server_or_none.new()) as database:
        yield SqlFleetBook(database)


async def test_a_fleet_that_never_was_has_no_wishes_and_no_launches(book: FleetBook) -> None:
    assert await book.wanted("llama") is None
    assert await book.last_launch("llama") == 0


async def test_the_last_wish_counts_for_its_fleet_alone(book: FleetBook) -> None:
    for size in (3, 0, 2):
        await book.want("llama", size)
    await book.want("qwen", 5)
    assert (await book.wanted("llama"), await book.wanted("qwen")) == (2, 5)


async def test_numbers_rise_and_are_later_than_those_of_an_earlier_database(
    book: FleetBook,
) -> None:
    numbers = [await book.begin_launch("llama", NOW) for _ in range(3)]
    assert numbers == [1_764_000_001, 1_764_000_002, 1_764_000_003]
    assert await book.last_launch("llama") == numbers[-1]
    assert await book.begin_launch("llama", NOW - 1_000) == 1_764_000_004  # a clock set back
    assert await book.begin_launch("llama", NOW + 1_000) == 1_764_001_001
    assert await book.begin_launch("qwen", NOW) == 1_764_000_001


async def test_controllers_that_begin_at_once_get_different_numbers(book: FleetBook) -> None:
    begun = await asyncio.gather(*(book.begin_launch("llama", NOW) for _ in range(10)))
    assert len({*begun}) == 10
