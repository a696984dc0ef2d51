"""Tests what answers a call that tries something out: it travels sealed, and fits LiveKit."""

import pytest

from agent.dispatch import MAX_LENGTH, Dispatch
from agent.trial_call import Said, dispatch_for, named, open_trial, trial_of
from llm_router.errors import ConfigurationError, SealError
from llm_router.voice.assistant import parse_assistant
from tests.contracts.stores import VAULT

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
    metadata = dispatch_for(trial, "room", VAULT).to_metadata()
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
    dispatch = dispatch_for(trial_of(SHOP, said=said), "room", VAULT)
    assert len(dispatch.to_metadata()) <= MAX_LENGTH
    opened = open_trial(dispatch.trial, "room", VAULT).said
    assert opened == said[-len(opened) :]
    assert opened


def test_instructions_that_do_not_fit_are_refused_with_what_to_do() -> None:
    long = SHOP.model_copy(update={"instructions": "a" * 60_000})
    with pytest.raises(ConfigurationError, match="publish it and call it"):
        dispatch_for(trial_of(long), "room", VAULT)


def test_connections_are_found_by_their_ids() -> None:
    names = {"c1": "desk", "c2": "spare"}
    assert named(None, names) is None
    assert named(trial_of(SHOP), names) is None
    assert named(trial_of(SHOP, connections=("c2", "gone")), names) == frozenset({"spare"})
