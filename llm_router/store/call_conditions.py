"""Finds calls: the conditions of their filters, in SQL."""

from sqlalchemy import ColumnElement, select

from llm_router.store.call_tables import call_items, calls
from llm_router.store.tables import usage
from llm_router.store.usage_figures import NO_FAILURE
from llm_router.voice.calls import AttemptFilters, CallFilters, storable_text

_C = calls.c
_I = call_items.c
_U = usage.c
_EQUAL = ("state", "assistant", "room", "caller", "kind", "worker", "reason")
_EQUAL_OF_ATTEMPT = ("connection_id", "pool", "role")
"""Filters that compare a column of the same name."""


def conditions(filters: CallFilters) -> list[ColumnElement[bool]]:
    """Returns what a call must fulfil to match the filters."""
    found = [_C[name] == value for name in _EQUAL if (value := getattr(filters, name))]
    if filters.started_from:
        found.append(_C.started_at >= filters.started_from)
    if filters.started_to:
        found.append(_C.started_at < filters.started_to)
    if filters.beat_before:
        found.append(_C.last_beat < filters.beat_before)
    if filters.updated_from:
        found.append(_C.updated_at >= filters.updated_from)
    if filters.text:
        text = storable_text(filters.text).casefold()
        holds = _I.search.contains(text, autoescape=True)
        found.append(select(_I.number).where(_I.call_id == _C.id, holds).exists())
    if filters.attempts != AttemptFilters():
        found.append(_had_attempt(filters.attempts))
    return found


def _had_attempt(filters: AttemptFilters) -> ColumnElement[bool]:
    """Returns the condition that some attempt of the call meets the filters.

    The index of calls answers it without reading the log, but for the silence avoided, which few
    attempts have.
    """
    names = {name: getattr(filters, name) for name in _EQUAL_OF_ATTEMPT}
    wanted = [_U[name] == value for name, value in names.items() if value]
    if filters.outcome == "failed":
        wanted.append(_U.outcome.not_in(NO_FAILURE))
    elif filters.outcome:
        wanted.append(_U.outcome == filters.outcome)
    if filters.avoided_silence:
        wanted += [_U.role != "first", _U.silence_avoided > 0]
    return select(_U.session_id).where(_U.session_id == _C.room, *wanted).exists()
