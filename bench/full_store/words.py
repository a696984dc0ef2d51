"""Writes what was said in the latest calls of a filled database, with the receipts of replies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bench.full_store.fill import ATTEMPTS_A_CALL, call_id
from llm_router.store.call_tables import call_items
from llm_router.store.database import Database

_QUESTIONS = ("What time do you open?", "Is the blue teapot in stock?", "I ordered it on Monday.")
_ANSWERS = ("We open at nine in the morning.", "Yes, we have seventeen.", "It is on its way.")
_AT = "%Y-%m-%d %H:%M:%S.%f"
_COLUMNS = tuple(column.name for column in call_items.columns)


async def fill_words(
    database: Database, numbers: range, samples: Sequence[Mapping[str, Any]], first: datetime
) -> None:
    """Writes the questions and answers of the calls of these numbers, which have none yet.

    `first`: when the first of them began; the times of the others do not matter here.
    """
    rows = (row for number in numbers for row in _rows(number, samples, first))
    async with database.writing() as db:
        if database.dialect == "sqlite":
            texts = [(*row[:-2], row[-2].strftime(_AT), row[-1]) for row in rows]
            blanks = ", ".join("?" * len(_COLUMNS))
            names = ", ".join(_COLUMNS)
            await db.exec_driver_sql(
                f"INSERT INTO {call_items.name} ({names}) VALUES ({blanks})", texts
            )
        else:
            driver: Any = (await db.get_raw_connection()).driver_connection
            await driver.copy_records_to_table(call_items.name, records=rows, columns=_COLUMNS)


def _rows(
    number: int, samples: Sequence[Mapping[str, Any]], first: datetime
) -> Iterator[tuple[Any, ...]]:
    for place in range(ATTEMPTS_A_CALL):
        sample = samples[(number * ATTEMPTS_A_CALL + place) % len(samples)]
        at = first + timedelta(seconds=place * 8)
        question = f"{_QUESTIONS[place % 3]} That is question {place + 1}."
        answer = f"{_ANSWERS[place % 3]} That was answer {place + 1}."
        for order, (role, text) in enumerate((("user", question), ("assistant", answer)), 1):
            receipt = make_receipt(sample) if role == "assistant" else {}
            yield (
                call_id(number), place * 2 + order, f"item-{place * 2 + order}", role, text, "[]",
                None, json.dumps(receipt), 1, at, text.casefold(),
            )  # fmt: skip


def make_receipt(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the receipt of a reply with this one attempt."""
    attempt = {
        "connection": sample["connection_name"],
        "connection_id": sample["connection_id"],
        "model": sample["model"],
        "role": sample["role"],
        "outcome": sample["outcome"],
        "started": 0.0,
        "first_word": sample["ttft"],
        "duration": sample["duration"],
        "delivered": sample["heard"],
    }
    return {
        "reply_id": sample["reply_id"],
        "connection": sample["connection_name"],
        "model": sample["model"],
        "first_word": sample["ttft"],
        "duration": sample["duration"],
        "tokens": sample["tokens_in"] + sample["tokens_out"],
        "cost": sample["cost"],
        "attempts": [attempt],
        "times": {
            "e2e_latency": 0.6 + (sample["ttft"] or 0.0),
            "end_of_turn_delay": 0.2,
            "transcription_delay": 0.1,
            "tts_node_ttfb": 0.1,
        },
    }
