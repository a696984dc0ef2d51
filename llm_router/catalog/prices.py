"""Computes the cost of a reply by the connection's own prices, else by those in `prices.toml`.

The list is a dated copy of genai-prices, not that library itself: importing it takes 0.2 s and
11 MB in the process of every call, and some of its prices change with the hour of the request.
"""

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from llm_router.catalog.servers import find_server
from llm_router.connections.record import Connection
from llm_router.failures import Failure, FailureClass
from llm_router.types import Usage

_MILLION = 1_000_000
_CHARACTERS_PER_TOKEN = 4
"""An average for English text, as vendors publish it."""
_UNPAID = frozenset(
    {
        FailureClass.UNREACHABLE, FailureClass.OVERLOADED, FailureClass.RATE_LIMITED,
        FailureClass.OUT_OF_CREDIT, FailureClass.REJECTED_KEY, FailureClass.MODEL_MISSING,
        FailureClass.WRONG_ADDRESS, FailureClass.TOO_LONG, FailureClass.BAD_REQUEST,
        FailureClass.BUG,
    }
)  # fmt: skip
"""Failures of a request that no server charges for if it sent no text."""
NO_USAGE = Usage()
_SELLERS = {"gemini": "google", "deepseek_beta": "deepseek"}
"""Servers of the catalog that have another name in the price list."""
_DATED = re.compile(r"([-@]\d{8}|-\d{4}-\d{2}-\d{2}|-\d{4}|-latest)$")


@dataclass(frozen=True, slots=True)
class Price:
    """Prices in US dollars per million tokens; `cached` is for prompt tokens from a cache."""

    input: float
    cached: float
    output: float
    above: int | None = None
    long: "Price | None" = None
    """The prices of a whole request whose prompt has more than `above` tokens."""

    def cost(self, usage: Usage) -> float:
        """Returns US dollars. `cached_tokens` are part of `prompt_tokens`, as servers count."""
        if self.long and self.above is not None and usage.prompt_tokens > self.above:
            return self.long.cost(usage)
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        fresh = usage.prompt_tokens - cached
        spent = fresh * self.input + cached * self.cached + usage.completion_tokens * self.output
        return spent / _MILLION


_FREE = Price(0.0, 0.0, 0.0)


def cost(usage: Usage, connection: Connection) -> float:
    """Returns the cost in the currency of the connection's prices, or in US dollars by the list.

    Returns 0 where no price is known.
    """
    price = price_of(connection)
    return price.cost(usage) if price else 0.0


def estimate_usage(prompt_characters: int, characters: int) -> Usage:
    """Estimates tokens from characters, for an attempt whose server has not counted them."""
    prompt, completion = (-(-n // _CHARACTERS_PER_TOKEN) for n in (prompt_characters, characters))
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def billable_usage(
    counted: Usage | None, failure: Failure | None, prompt_characters: int, characters: int
) -> Usage:
    """Returns the tokens to charge for one attempt.

    These are the server's own count if there is one, NO_USAGE if the server refused the request,
    else an estimate from the characters of the prompt and the reply.
    """
    if counted:
        return counted
    if failure and failure.kind in _UNPAID and not characters:
        return NO_USAGE
    return estimate_usage(prompt_characters, characters)


def price_of(connection: Connection) -> Price | None:
    """Returns the connection's own price, else the list price, else None.

    The connection's own price holds for prompts of any length; 0 is free. If it sets only one of
    input and output, the list decides the other. The list is searched for the model's name, then
    for that name without its date, as in "gpt-4.1-mini-2025-04-14".
    """
    listed = _listed(connection)
    price_in, price_out = connection.price_in, connection.price_out
    if price_in is None and price_out is None:
        return listed
    usual = listed or _FREE
    return Price(
        input=usual.input if price_in is None else price_in,
        cached=usual.cached if price_in is None else price_in,
        output=usual.output if price_out is None else price_out,
    )


def _listed(connection: Connection) -> Price | None:
    models = _list().get(_seller(connection), {})
    return next(
        (models[name] for name in _spellings(connection.model_name) if name in models), None
    )


def _seller(connection: Connection) -> str:
    """Returns the vendor that bills: the connection's type, else its server or address."""
    if connection.connection_type in _list():
        return connection.connection_type
    name = connection.server or find_server(connection).name
    return _SELLERS.get(name, name)


def _spellings(model: str) -> Iterator[str]:
    model = model.removeprefix("models/")  # as Google writes them
    yield model
    yield _DATED.sub("", model)


@functools.cache
def _list() -> Mapping[str, Mapping[str, Price]]:
    text = resources.files("llm_router.catalog").joinpath("prices.toml").read_text(encoding="utf-8")
    return {
        seller: {model: _price(row) for model, row in section["models"].items()}
        for seller, section in tomllib.loads(text).items()
        if seller != "checked"  # the day on which they were taken, for people
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
