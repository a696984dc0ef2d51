"""Messages of callers: stored before they are promised, once, and sent to webhooks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent import tools
from agent.toolbox.effects import Effects
from agent.toolbox.errors import ToolError
from agent.tools.base import ToolContext
from llm_router.clock import SystemClock
from llm_router.connections.access import SYSTEM
from llm_router.errors import ForbiddenError, NotFoundError, StoreError
from llm_router.store.audit import read
from llm_router.store.call_retention import CallRetention
from llm_router.store.database import Database
from llm_router.store.messages import Messages
from llm_router.store.webhooks import Webhooks
from llm_router.testing import ManualClock
from llm_router.voice.messages import Message
from llm_router.voice.redaction import CARD
from tests.contracts.gateway import CLOSED, Gateway, problem
from tests.contracts.stores import ANNA, VAULT

AT = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
WORDS = {"message": "Call me back.", "name": "Ann", "contact": "ann@example.org"}


def message(message_id: str = "m1", **changes: Any) -> Message:
    fields: dict[str, Any] = {
        "id": message_id,
        "text": "Call me back.",
        "created_at": AT,
        **changes,
    }
    return Message(**fields)


@pytest.fixture
def messages(database: Database) -> Messages:
    return Messages(database, ManualClock())


async def test_a_message_is_stored_once_and_read_by_administrators(messages: Messages) -> None:
    first = message(name="Ann", contact="7", room="call-1", assistant="shop")
    for each in (first, first, message("m2", created_at=AT.replace(hour=10))):
        await messages.take(each)
    items, total = await messages.find(SYSTEM, limit=10)
    assert [item.id for item in items] == ["m2", "m1"]
    assert (items[1], total) == (first, 2)
    with pytest.raises(ForbiddenError, match="messages of callers"):
        await messages.find(ANNA)


async def test_a_message_is_removed_and_its_words_are_nowhere_else(
    messages: Messages, database: Database
) -> None:
    await messages.take(message())
    with pytest.raises(ForbiddenError):
        await messages.remove(ANNA, "m1")
    await messages.remove(SYSTEM, "m1")
    with pytest.raises(NotFoundError):
        await messages.remove(SYSTEM, "m1")
    assert await messages.find(SYSTEM) == ([], 0)
    async with database.reading() as db:
        (entry,) = await read(db, None, 10, 0)
    assert (entry.action, entry.kind, entry.target) == ("remove", "message", "m1")
    assert "Call me back" not in str(entry)


async def test_what_no_database_takes_is_taken_out_and_what_is_long_is_cut(
    messages: Messages,
) -> None:
    await messages.take(message(text="a\0b\ud800" + "c" * 10_000, name="n" * 999))
    ((stored,), _) = await messages.find(SYSTEM)
    assert stored.text.startswith("a\ufffdb?ccc")
    assert (len(stored.text), len(stored.name)) == (4_000, 200)


@pytest.mark.parametrize("redacts", [True, False])
async def test_a_message_is_stored_without_a_cards_number_and_with_its_telephone_number(
    database: Database, redacts: bool
) -> None:
    number = "4111 1111 1111 1111"
    contact = "+49 170 000000012"  # a valid check digit, as every tenth number has
    box = Messages(database, redacts_cards=redacts)
    await box.take(message(text=f"Charge {number}.", name=f"Ann, {number}", contact=contact))
    await box.take(message("m2", contact=number, created_at=AT.replace(hour=10)))
    (second, first), _ = await box.find(SYSTEM)
    stored = CARD if redacts else number
    assert (first.text, first.contact) == (f"Charge {stored}.", contact)
    assert (first.name, second.contact) == (f"Ann, {stored}", stored)


async def test_messages_are_deleted_after_their_time(database: Database) -> None:
    await Messages(database).take(message())  # in 2026
    for keep, left in ((None, 1), (timedelta(days=36_500), 1), (timedelta(), 0)):
        work = CallRetention(database, SystemClock(), None, keep)
        await work._step()
        await work.aclose()
        assert (await Messages(database).find(SYSTEM))[1] == left


async def test_webhooks_of_everything_get_each_message_once(
    messages: Messages, database: Database
) -> None:
    hooks = Webhooks(database, VAULT)
    subscribed, _ = await hooks.add(SYSTEM, "desk", CLOSED, ["message.taken"])
    other, _ = await hooks.add(SYSTEM, "pager", CLOSED, ["connection.deactivated"])
    annas, _ = await hooks.add(SYSTEM, "anna's", CLOSED, ["message.taken"], owner="anna")
    for _ in range(2):
        await messages.take(message(contact="7"))
    (delivery,), _ = await hooks.deliveries(SYSTEM, subscribed.id)
    assert delivery.payload["type"] == "message.taken"
    data = delivery.payload["data"]
    assert (data["message_id"], data["contact"], data["text"]) == ("m1", "7", "Call me back.")
    for hook in (other, annas):
        assert (await hooks.deliveries(SYSTEM, hook.id))[1] == 0


# ── The tool ─────────────────────────────────────────────────────────────────────────────────────


class Box:
    """Takes messages, unless it fails."""

    def __init__(self, *failures: Exception) -> None:
        self.taken: list[Message] = []
        self.failures = [*failures]

    async def take(self, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(message)


def taking(box: Box | None) -> Any:
    context = ToolContext(
        room="call-1",
        assistant="shop",
        messages=box,
        effects=Effects("RM_1"),
        clock=ManualClock(),
    )
    return tools.load(["message"], context)


async def test_a_message_is_acknowledged_when_it_is_stored() -> None:
    box = Box()
    (take_message,) = taking(box)
    assert await take_message.run(WORDS) == "The message is stored."
    assert "not repeated" in await take_message.run(WORDS)
    (taken,) = box.taken
    assert (taken.text, taken.name, taken.contact) == ("Call me back.", "Ann", "ann@example.org")
    assert (taken.room, taken.assistant) == ("call-1", "shop")


@pytest.mark.parametrize("failure", [StoreError("down"), TimeoutError()])
async def test_a_message_that_is_not_stored_is_not_acknowledged_and_may_be_tried_again(
    failure: Exception,
) -> None:
    box = Box(failure)
    (take_message,) = taking(box)
    with pytest.raises(ToolError, match="could not be stored"):
        await take_message.run(WORDS)
    assert await take_message.run(WORDS) == "The message is stored."


def test_without_a_store_no_message_is_offered_to_be_taken() -> None:
    assert not taking(None)


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────


async def test_messages_are_listed_and_deleted_over_http(gateway: Gateway) -> None:
    await gateway.services.messages.take(message(name="Ann"))
    listed = (await gateway.call("admin", "GET", "/messages")).json()
    assert (listed["total"], listed["items"][0]["name"]) == (1, "Ann")
    assert listed["items"][0]["created_at"] == "2026-05-04T09:30:00Z"
    assert (await gateway.call("admin", "DELETE", "/messages/m1")).status_code == 204
    problem(await gateway.call("admin", "DELETE", "/messages/m1"), 404)
