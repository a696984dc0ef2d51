"""What a reply costs: the connection's own prices, else the list prices in `prices.toml`."""

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Any

from llm_router.catalog.servers import find_server
from llm_router.connections.record import Connection
from llm_router.failures import Failure, FailureClass
from llm_router.types import Usage

_MILLION = 1_000_000
_CHARACTERS_PER_TOKEN = 4
"""Of English, by the rule of thumb that vendors give."""
_UNPAID = frozenset(
    {
        FailureClass.UNREACHABLE, FailureClass.OVERLOADED, FailureClass.RATE_LIMITED,
        FailureClass.OUT_OF_CREDIT, FailureClass.REJECTED_KEY, FailureClass.MODEL_MISSING,
        FailureClass.TOO_LONG, FailureClass.BAD_REQUEST, FailureClass.BUG,
    }
)  # fmt: skip
"""Turned away without a word, for which no server charges."""
NO_USAGE = Usage()
_SELLERS = {"gemini": "google", "deepseek_beta": "deepseek"}
"""Rows of the catalog that the price list knows under another name."""
_DATED = re.compile(r"([-@]\d{8}|-\d{4}-\d{2}-\d{2}|-\d{4}|-latest)$")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. `cached`: for what the seller still had of the prompt."""

    input: float
    cached: float
    output: float
    above: int | None = None
    long: "Price | None" = None
    """The price of a whole request whose prompt has more than `above` tokens."""

    def cost(self, usage: Usage) -> float:
        """US dollars. `cached_tokens` are part of `prompt_tokens`, as servers count them."""
        if self.long and self.above is not None and usage.prompt_tokens > self.above:
            return self.long.cost(usage)
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        fresh = usage.prompt_tokens - cached
        spent = fresh * self.input + cached * self.cached + usage.completion_tokens * self.output
        return spent / _MILLION


_FREE = Price(0.0, 0.0, 0.0)


def cost(usage: Usage, connection: Connection) -> float:
    """In the currency of the connection's prices, or in US dollars by the list; 0: not known."""
    price = price_of(connection)
    return price.cost(usage) if price else 0.0


def estimate_usage(prompt_characters: int, characters: int) -> Usage:
    """Tokens where the server did not count them, as of an attempt that was cut off."""
    asked, said = (-(-n // _CHARACTERS_PER_TOKEN) for n in (prompt_characters, characters))
    return Usage(prompt_tokens=asked, completion_tokens=said)


def billable_usage(
    counted: Usage | None, failure: Failure | None, prompt_characters: int, characters: int
) -> Usage:
    """The tokens of one attempt: as the server counted them, else NO_USAGE where it turned the
    attempt away, else estimated from the characters of the prompt and of the answer.
    """
    if counted:
        return counted
    if failure and failure.kind in _UNPAID and not characters:
        return NO_USAGE
    return estimate_usage(prompt_characters, characters)


def price_of(connection: Connection) -> Price | None:
    """None where the connection names none and its model is not on the list, as of a machine of
    one's own. A price it does name holds for prompts of any length; 0 is free.

    A model is found by its name, then by that name without its date, as in
    "gpt-4.1-mini-2025-04-14".
    """
    listed, of_input, of_output = _listed(connection), connection.price_in, connection.price_out
    if of_input is None and of_output is None:
        return listed
    usual = listed or _FREE
    return Price(
        input=usual.input if of_input is None else of_input,
        cached=usual.cached if of_input is None else of_input,
        output=usual.output if of_output is None else of_output,
    )


def _listed(connection: Connection) -> Price | None:
    models = _list()[1].get(_seller(connection), {})
    return next(
        (models[name] for name in _spellings(connection.model_name) if name in models), None
    )


def list_date() -> date:
    """The day on which the list prices were read."""
    return _list()[0]


def _seller(connection: Connection) -> str:
    """Who sends the bill: the type the user chose, else the server that is named or addressed."""
    if connection.connection_type in _list()[1]:
        return connection.connection_type
    name = connection.server or find_server(connection).name
    return _SELLERS.get(name, name)


def _spellings(model: str) -> Iterator[str]:
    model = model.removeprefix("models/")  # as Google writes them
    yield model
    yield _DATED.sub("", model)


@functools.cache
def _list() -> tuple[date, Mapping[str, Mapping[str, Price]]]:
    text = resources.files("llm_router.catalog").joinpath("prices.toml").read_text(encoding="utf-8")
    read = tomllib.loads(text)
    day: date = read.pop("checked")
    return day, {
        seller: {model: _price(row) for model, row in section["models"].items()}
        for seller, section in read.items()
    }


def _price(row: Mapping[str, Any]) -> Price:
    long = row.get("long")
    return Price(
        input=row["in"],
        cached=row.get("cached", row["in"]),
        output=row["out"],
        above=long["above"] if long else None,
        long=_price(long) if long else None,
    )
