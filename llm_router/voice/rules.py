"""Decides who may do what with assistants, and what a change makes of one. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm_router.connections.access import Actor, Visibility, may_act, may_serve_calls, owns
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """The owner of an assistant, its team, and the actors who see it: as with connections."""

    owner: str = ""
    team: str = ""
    visibility: Visibility = "private"


def can_see(actor: Actor, ownership: Ownership) -> bool:
    """Returns whether the actor may know that the assistant exists.

    `store.assistants` has the same rule as an SQL condition. A worker with neither owner nor team
    serves every call.
    """
    if actor.role == "admin" or (actor.role == "worker" and not actor.owner and not actor.team):
        return True
    return ownership.visibility == "everyone" or owns(actor, ownership)


def own_new(actor: Actor, wanted: Ownership) -> Ownership:
    """Returns the ownership of a new assistant. Raises ForbiddenError."""
    is_admin = may_act(actor, "transfer")
    if not is_admin and wanted.team not in {"", actor.team}:
        raise ForbiddenError(
            f"{actor.name} may only add assistants to its own team; leave team out, or ask an admin"
        )
    owner = wanted.owner if is_admin and wanted.owner else actor.owner
    return replace(wanted, owner=owner)


def own_changed(
    actor: Actor, name: str, stored: Ownership, changes: Mapping[str, Any]
) -> Ownership:
    """Returns the ownership after an edit. Raises ForbiddenError unless the actor may change it.

    An owner is changed by admins alone, and so is a team that is not the actor's.
    """
    if actor.role != "admin" and not owns(actor, stored):
        raise ForbiddenError(
            f"{actor.name} may not change assistant {name!r}: it is not its own or its team's; ask"
            " an admin"
        )
    new = replace(stored, **changes)
    is_moved = new.owner != stored.owner or new.team not in {stored.team, "", actor.team}
    if is_moved and not may_act(actor, "transfer"):
        raise ForbiddenError(
            f"{actor.name} may not transfer assistant {name!r}: its role is {actor.role}; ask an"
            " admin"
        )
    return new


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
