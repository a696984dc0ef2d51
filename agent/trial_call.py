"""Describes calls in which something is tried out: what answers comes with the call.

It travels in the metadata of the agent's dispatch, sealed with the master key that HTTP process and
worker share, so that LiveKit's server reads neither instructions nor the secrets of tools.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.dispatch import MAX_LENGTH, Dispatch
from llm_router.errors import ConfigurationError
from llm_router.store.crypto import Vault
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_secrets import plain

_PLACE = "trial_calls:{room}:dispatch"
_ROOM_TO_GROW = 1_000
"""Characters for what the metadata of later agents says besides: the caller, who has died when."""


class Said(BaseModel):
    """Something that was said before the call."""

    model_config = ConfigDict(frozen=True)
    role: Literal["user", "assistant"]
    text: str


class TrialCall(BaseModel):
    """Describes what answers a call that tries something out.

    `connections` are the ids of those that may be asked; None: those of the assistant's pool.
    `options` go along with every request, such as a temperature. `said` comes before the call's
    first words. `account` is the API key that its cost is counted for.
    """

    model_config = ConfigDict(frozen=True)
    assistant: dict[str, Any]
    connections: tuple[str, ...] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    said: tuple[Said, ...] = ()
    account: str = ""

    @property
    def record(self) -> AssistantRecord:
        return parse_assistant(self.assistant)


def trial_of(record: AssistantRecord, **more: Any) -> TrialCall:
    """Makes the trial of a record, with its secrets."""
    return TrialCall(assistant=plain(record), **more)


def dispatch_for(trial: TrialCall, room: str, vault: Vault, *, too_long: str) -> Dispatch:
    """Returns the dispatch of the call's agent; the oldest words are left out where it is long.

    Raises ConfigurationError, which says `too_long`, if it is so without them.
    """
    said, name = trial.said, trial.record.name
    while True:
        text = trial.model_copy(update={"said": said}).model_dump_json()
        sealed = vault.seal(text, bound_to=_PLACE.format(room=room))
        dispatch = Dispatch(assistant=name, trial=sealed)
        if len(dispatch.to_metadata()) <= MAX_LENGTH - _ROOM_TO_GROW:
            return dispatch
        if not said:
            raise ConfigurationError(too_long)
        said = said[max(1, len(said) // 4) :]


def open_trial(sealed: str, room: str, vault: Vault) -> TrialCall:
    """Reads what `dispatch_for` has sealed. Raises SealError and ConfigurationError."""
    text = vault.open(sealed, bound_to=_PLACE.format(room=room))
    try:
        trial = TrialCall.model_validate_json(text)
        parse_assistant(trial.assistant)
    except (ValidationError, ConfigurationError):
        raise ConfigurationError(
            "the trial is one of another version: update worker and HTTP process together"
        ) from None
    return trial


def named(trial: TrialCall | None, ids: Mapping[str, str]) -> frozenset[str] | None:
    """Returns the names of the trial's connections, of names by id; None: any may be asked."""
    if trial is None or trial.connections is None:
        return None
    return frozenset(ids[each] for each in trial.connections if each in ids)
