"""Tests what answers a call that tries something out: it travels sealed, and fits LiveKit."""

import pytest

from agent.dispatch import Dispatch
from agent.trial_call import Said, TrialCall, dispatch_for, named, open_trial, trial_of
from agent.trial_call_routes import connections_for
from llm_router.connections.access import Actor
from llm_router.errors import ConfigurationError, NotFoundError, SealError
from llm_router.voice.assistant import parse_assistant
from tests.contracts.stores import VAULT
from tests.unit.test_chat_models import ANN, endpoints

LONG = "shorten the instructions"
SECRET = "Bearer a-token-of-the-shop"
SHOP = parse_assistant(
    {
        "name": "shop",
        "instructions": "Sell tea.",
        "http_tools": [
            {
                "name": "stock",
                "description": "Says what is there.",
                "url": "https://shop.example/stock",
                "headers": {"Authorization": SECRET},
            }
        ],
    }
)


def test_a_trial_is_opened_in_its_room_alone_with_the_secrets_of_its_tools() -> None:
    trial = trial_of(SHOP, connections=("c1",), options={"temperature": 0.1}, account="key-1")
    metadata = dispatch_for(trial, "room", VAULT, too_long=LONG).to_metadata()
    assert SECRET not in metadata
    assert "Sell tea" not in metadata
    dispatch = Dispatch.from_metadata(metadata)
    opened = open_trial(dispatch.trial, "room", VAULT)
    assert opened == trial
    assert opened.record == SHOP
    assert dispatch.assistant == "shop"
    with pytest.raises(SealError):
        open_trial(dispatch.trial, "another room", VAULT)


def test_of_a_long_conversation_the_latest_words_go_along() -> None:
    said = tuple(Said(role="user", text=f"{number} {'a' * 1_000}") for number in range(150))
    dispatch = dispatch_for(trial_of(SHOP, said=said), "room", VAULT, too_long=LONG)
    times = (1_790_000_000.123456,) * 8
    later = {"caller": "a" * 256, "epoch": 999, "lost_at": times[0], "deaths": times}
    last = dispatch.model_copy(update={**later, "planned": True, "returned": True})
    assert Dispatch.from_metadata(last.to_metadata()) == last
    opened = open_trial(dispatch.trial, "room", VAULT).said
    assert opened == said[-len(opened) :]
    assert len(opened) > 20


def test_of_two_messages_that_are_too_long_together_the_last_goes_along() -> None:
    said = (Said(role="user", text="a" * 50_000), Said(role="assistant", text="No."))
    dispatch = dispatch_for(trial_of(SHOP, said=said), "room", VAULT, too_long=LONG)
    assert open_trial(dispatch.trial, "room", VAULT).said == said[-1:]


def test_instructions_that_do_not_fit_are_refused_with_what_to_do() -> None:
    long = SHOP.model_copy(update={"instructions": "a" * 60_000})
    with pytest.raises(ConfigurationError, match=LONG):
        dispatch_for(trial_of(long), "room", VAULT, too_long=LONG)


def test_a_trial_of_another_version_says_so() -> None:
    odd = TrialCall(assistant={"name": "shop", "of_next_year": True})
    sealed = VAULT.seal(odd.model_dump_json(), bound_to="trial_calls:room:dispatch")
    with pytest.raises(ConfigurationError, match="update worker and HTTP process together"):
        open_trial(sealed, "room", VAULT)


def test_the_connections_of_a_spoken_chat_are_those_for_calls_that_its_key_may_use() -> None:
    shared = {"visibility": "everyone", "is_approved_for_calls": True}
    every = endpoints(
        {"name": "desk", "pool": "fast", **shared},
        {"name": "own", "owner": "bob", "visibility": "private", "is_approved_for_calls": True},
        {"name": "slow", "pool": "slow", **shared},
        {"name": "programs", **shared, "use_in_livekit": False},
        {"name": "asked for", **shared, "is_approved_for_calls": False},
    )
    assert connections_for(Actor("root", "admin"), "auto", every) is None
    assert connections_for(Actor("root", "admin"), "desk", every) == ("id0",)
    # Others' private ones are not theirs.
    assert connections_for(ANN, "auto", every) == ("id0", "id2")
    fast = Actor("root", "admin", pools=frozenset({"fast"}))
    assert connections_for(fast, "auto", every) == ("id0",)
    with pytest.raises(NotFoundError):
        connections_for(fast, "slow", every)
    with pytest.raises(NotFoundError, match="approved for calls"):
        connections_for(Actor("root", "admin"), "auto", every[3:])
    # Also where they happen to be all, one that is added later is none of the key's.
    both = Actor("root", "admin", pools=frozenset({"fast", "slow", every[1].connection.pool}))
    assert connections_for(both, "auto", every) == ("id0", "id1", "id2")


def test_connections_are_found_by_their_ids() -> None:
    names = {"c1": "desk", "c2": "spare"}
    assert named(None, names) is None
    assert named(trial_of(SHOP), names) is None
    assert named(trial_of(SHOP, connections=("c2", "gone")), names) == frozenset({"spare"})
