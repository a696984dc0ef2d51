"""Tests what the model of a request stands for, and who may use it."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.gateway.completions.models import choose, listed, usable_by
from llm_router.gateway.completions.problems import ChatProblem
from llm_router.options import BreakerOptions
from llm_router.routing.endpoint import Endpoint
from llm_router.sync.names import disambiguate
from llm_router.testing import ScriptedProvider

ANN = Actor("ann", "editor", owner="ann", team="red")
ADMIN = Actor("admin", "admin")


def endpoints(*records: dict[str, Any]) -> list[Endpoint]:
    connections = disambiguate(
        Connection(**{"id": f"id{i}", "owner": "ann", "model_name": "m", **record})
        for i, record in enumerate(records)
    )
    return [Endpoint(c, ScriptedProvider([[]]), BreakerOptions()) for c in connections]


def chosen(model: str, *records: dict[str, Any], actor: Actor = ANN) -> set[str]:
    usable = usable_by(actor, endpoints(*records))
    return {endpoint.connection.id for endpoint in choose(model, usable).endpoints}


SEVERAL: tuple[dict[str, Any], ...] = (
    {"name": "desk", "pool": "fast", "model_name": "qwen"},
    {"name": "qwen", "pool": "slow", "model_name": "llama"},
    {"name": "attic", "pool": "slow", "model_name": "llama"},
)


@pytest.mark.parametrize(
    ("model", "ids"),
    [
        ("auto", {"id0", "id1", "id2"}),
        ("desk", {"id0"}),
        ("id2", {"id2"}),
        ("slow", {"id1", "id2"}),
        ("llama", {"id1", "id2"}),
        ("qwen", {"id1"}),  # a connection comes before a model of the same name
    ],
)
def test_a_model_is_a_connection_a_pool_a_model_name_or_any(model: str, ids: set[str]) -> None:
    assert chosen(model, *SEVERAL) == ids


def test_a_pool_is_asked_as_a_pool() -> None:
    assert choose("slow", endpoints(*SEVERAL)).pool == "slow"
    assert choose("llama", endpoints(*SEVERAL)).pool is None


@pytest.mark.parametrize(
    "record",
    [{"owner": "bob"}, {"use_in_automation": False}, {"owner": "bob", "visibility": "team"}],
)
def test_what_a_key_may_not_use_does_not_exist_for_it(record: dict[str, Any]) -> None:
    mine = {"name": "mine", "model_name": "m"}
    for model in ("theirs", "id1", "secret-model", "hidden"):
        with pytest.raises(ChatProblem) as caught:
            chosen(model, mine, {"name": "theirs", "pool": "hidden", "model_name": "secret-model",
                                 **record})  # fmt: skip
        assert caught.value.status == 404
        assert caught.value.detail.endswith("there is: auto, mine, default, m")


def test_a_viewer_may_use_nothing_and_a_shared_connection_serves_everybody() -> None:
    shared = {"name": "hers", "owner": "bob", "visibility": "everyone"}
    assert chosen("auto", shared) == {"id0"}
    assert not usable_by(Actor("eve", "viewer", owner="bob"), endpoints(shared))


def test_a_name_that_others_use_as_well_still_finds_ones_own() -> None:
    both = ({"name": "desk"}, {"name": "desk", "owner": "bob"})
    assert chosen("desk", *both) == {"id0"}
    assert chosen("desk", *both, actor=ADMIN) == {"id0", "id1"}
    assert [model.id for model in listed(usable_by(ANN, endpoints(*both)))] == [
        "auto", "desk", "default", "m",
    ]  # fmt: skip


def test_built_in_rules_are_no_model() -> None:
    [rules] = endpoints({"name": "rules"})
    cast(ScriptedProvider, rules.provider).last_resort = True
    assert usable_by(ANN, [rules]) == []
    assert listed([]) == []
    with pytest.raises(ChatProblem, match="visible to everyone"):
        choose("auto", [])


def test_models_say_what_they_are_and_how_old() -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    models = listed(endpoints({"name": "desk", "created_at": at}, {"name": "old"}))
    assert {model.id: model.owned_by for model in models} == {
        "auto": "patchbay:auto",
        "desk": "patchbay:connection",
        "old": "patchbay:connection",
        "default": "patchbay:pool",
        "m": "patchbay:model",
    }
    assert models[1].created == int(at.timestamp())


def test_the_error_for_an_unknown_model_stays_short() -> None:
    many = endpoints(*({"name": f"c{i}"} for i in range(200)))
    with pytest.raises(ChatProblem) as caught:
        choose("x" * 300, many)
    assert len(caught.value.detail) < 500
    assert "and 183 more" in caught.value.detail
