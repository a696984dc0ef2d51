"""Resolves the model that a request names: a connection, a pool, a model name, or `auto`. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from llm_router.connections.access import Actor, may_act, serves
from llm_router.connections.record import Connection, Serves
from llm_router.gateway.completions.problems import unknown_model, unknown_provider
from llm_router.gateway.schemas.chat import ModelRead
from llm_router.routing.endpoint import Endpoint
from llm_router.sync.names import given_name
from llm_router.types import ChatRequest, Integration

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Choice:
    """The endpoints that a model stands for, by name; `pool` if it stands for one."""

    endpoints: Sequence[Endpoint]
    pool: str | None = None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(endpoint.name for endpoint in self.endpoints)

    @property
    def longest_timeout(self) -> float:
        """Seconds that the most patient of the connections may take for a reply."""
        return max(endpoint.connection.timeout for endpoint in self.endpoints)


def usable_by(
    actor: Actor,
    endpoints: Iterable[Endpoint],
    integration: Integration | None = None,
    *,
    kind: Serves | None = "chat",
) -> list[Endpoint]:
    """Returns the endpoints that may answer a program's requests for this actor.

    They are flagged for the `integration`; None: for the one of the actor's API key. They serve
    requests of that `kind`; None: any. Built-in rules are none of them: a program asks for a model.
    """
    return [
        endpoint
        for endpoint in endpoints
        if serves(endpoint.connection, integration or actor.integration)
        and not endpoint.provider.last_resort
        and kind in {None, endpoint.connection.serves}
        and may_act(actor, "use", endpoint.connection)
    ]


def narrowed(
    request: ChatRequest,
    choice: Choice,
    actor: Actor,
    total: float,
    integration: Integration | None = None,
) -> ChatRequest:
    """Returns the request for the endpoints of a choice alone, counted for the actor's API key.

    `choice` is one of those that `usable_by` returned for the same `integration`. `total`: seconds
    that a reply has, unless one of the connections is more patient.
    """
    return replace(
        request,
        among=choice.names,
        pool=choice.pool,
        integration=integration or actor.integration,
        api_key_id=actor.key_id,
        total_deadline=max(total, choice.longest_timeout),
    )


def is_of_provider(connection: Connection, provider: str) -> bool:
    """Returns whether a connection is meant by a provider's name; an empty one means all.

    The name is that of the connection, its id, or the first words of its name: of a provider with
    several models, each is a connection that begins with the provider's name.
    """
    name = given_name(connection)
    return provider in {"", name, connection.id} or name.startswith(f"{provider} ")


def of_provider(provider: str, usable: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Returns the endpoints of a provider. Raises ChatProblem (404) if there is none."""
    found = [one for one in usable if is_of_provider(one.connection, provider)]
    if provider and not found:
        raise unknown_provider(provider, [given_name(one.connection) for one in usable])
    return found


def choose(model: str, usable: Sequence[Endpoint]) -> Choice:
    """Returns the endpoints that `model` stands for.

    A name of several things stands for the connection, else the pool, else the model. Raises
    ChatProblem (404), which lists the names there are.
    """
    if model == AUTO and usable:
        return Choice(usable)
    if found := [e for e in usable if model in {e.connection.id, given_name(e.connection)}]:
        return Choice(found)
    if found := [e for e in usable if model == e.connection.pool]:
        return Choice(found, pool=model)
    if found := [e for e in usable if model in _models(e.connection)]:
        return Choice(found)
    raise unknown_model(model, [one.id for one in listed(usable)])


def listed(usable: Sequence[Endpoint]) -> list[ModelRead]:
    """Returns every name that `choose` accepts but for ids of connections, each once."""
    if not usable:
        return []
    named = {AUTO: _model(AUTO, "auto", usable)}
    for kind, names_of in _KINDS.items():
        found = defaultdict[str, list[Endpoint]](list)
        for endpoint in usable:
            for name in names_of(endpoint.connection):
                found[name].append(endpoint)
        for name, endpoints in found.items():
            named.setdefault(name, _model(name, kind, endpoints))
    return [model for name, model in named.items() if name]


def _models(connection: Connection) -> Sequence[str]:
    return (connection.model_name, *connection.aliases)


_KINDS: Mapping[str, Callable[[Connection], Sequence[str]]] = {
    "connection": lambda connection: [given_name(connection)],
    "pool": lambda connection: [connection.pool],
    "model": _models,
}


def _model(name: str, kind: str, endpoints: Iterable[Endpoint]) -> ModelRead:
    """Returns the model as the API shows it, as old as the first connection behind it."""
    stored = [e.connection.created_at for e in endpoints if e.connection.created_at]
    created = int(min(stored).timestamp()) if stored else 0
    return ModelRead(id=name, created=created, owned_by=f"patchbay:{kind}")
