"""Decides who may do what with assistants, and what a change makes of one. No I/O."""

from collections.abc import Mapping
from typing import Any

from llm_router.connections.access import Actor, may_act, may_serve_calls
from llm_router.errors import ConfigurationError, ForbiddenError
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_secrets import plain, split_secrets, unmasked


def require_reader(actor: Actor) -> None:
    """Raises ForbiddenError unless the actor may read assistants: their instructions may be
    confidential.
    """
    if not may_act(actor, "use") or actor.pools is not None:
        raise _refusal(actor, "read")


def require_editor(actor: Actor) -> None:
    """Raises ForbiddenError unless the actor may change assistants, which answer live callers."""
    if not may_act(actor, "add") or not may_serve_calls(actor) or actor.pools is not None:
        raise _refusal(actor, "change")


def changed(stored: AssistantRecord, changes: Mapping[str, Any]) -> AssistantRecord:
    """Returns the record with new values for the fields named; None: back to the setting's value.

    A mask stands for the stored secret. Raises ConfigurationError.
    """
    if "name" in changes and changes["name"] != stored.name:
        raise ConfigurationError(
            f"assistant {stored.name!r}: its name cannot be changed; create another from it"
        )
    values = {**plain(stored), **changes}
    given = {name: value for name, value in values.items() if value is not None}
    return unmasked(parse_assistant(given), stored)


def whole(record: AssistantRecord) -> dict[str, Any]:
    """Returns the changes that make another version equal to `record`: every field but its name."""
    unset = dict.fromkeys(AssistantRecord.model_fields)
    return {name: value for name, value in {**unset, **plain(record)}.items() if name != "name"}


def without_masks(new: AssistantRecord) -> AssistantRecord:
    """Returns the record of a new assistant. Raises ConfigurationError where it has a mask."""
    return unmasked(new, AssistantRecord(name=new.name))


def differences(before: AssistantRecord, after: AssistantRecord) -> dict[str, tuple[Any, Any]]:
    """Returns each field that differs, with both values as JSON; of a secret it shows a mask."""
    old, new = (split_secrets(one)[0].model_dump(mode="json") for one in (before, after))
    return {
        name: (old[name], new[name])
        for name in new
        if getattr(before, name) != getattr(after, name)
    }


def _refusal(actor: Actor, action: str) -> ForbiddenError:
    why = f"its role is {actor.role}"
    if actor.pools is not None:
        why = "its API key is limited to some pools"
    elif action == "change" and may_act(actor, "add"):
        why = "its API key may not serve calls"
    return ForbiddenError(f"{actor.name} may not {action} assistants: {why}; ask an admin")
