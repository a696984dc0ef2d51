"""Tries an instance before callers depend on it: its list of models, and one word of a reply."""

import asyncio
from dataclasses import replace

from llm_router.clock import Clock
from llm_router.connections.record import Connection
from llm_router.errors import UpstreamError
from llm_router.fleet.cloud import Instance
from llm_router.fleet.records import fields_for, new_connection
from llm_router.fleet.spec import FleetSpec
from llm_router.management.checker import OpenProvider
from llm_router.management.probe import check_provider

_LIST_WITHIN, _WORD_WITHIN = 5.0, 60.0
"""Seconds; the first word of a server may include the compilation of its kernels."""
_ANY_MODEL = "any"


class NotReadyError(Exception):
    """Raised for an instance that callers cannot use yet; the message says why."""


async def try_instance(
    spec: FleetSpec, instance: Instance, clock: Clock, open_provider: OpenProvider
) -> str:
    """Returns the model that an instance has said a word with, within 65 s.

    That is the fleet's model, or the only one that the server lists. Raises NotReadyError.
    """
    connection = new_connection(
        spec.name, fields_for(spec, instance, spec.model_name or _ANY_MODEL)
    )
    model = await _model(spec, connection, clock, open_provider)
    provider = await open_provider(replace(connection, model_name=model), clock, None)
    try:
        failure = await check_provider(
            provider, _WORD_WITHIN, for_a_word=True, secrets=connection.secrets
        )
    finally:
        await provider.aclose()
    if failure:
        raise NotReadyError(str(failure))
    return model


async def _model(
    spec: FleetSpec, connection: Connection, clock: Clock, open_provider: OpenProvider
) -> str:
    provider = await open_provider(connection, clock, None)
    try:
        async with asyncio.timeout(_LIST_WITHIN):
            models = [*await provider.models()]
    except (UpstreamError, TimeoutError) as error:
        raise NotReadyError(f"no list of models: {type(error).__name__}") from error
    finally:
        await provider.aclose()
    if spec.model_name in models:
        return spec.model_name
    if spec.model_name or len(models) != 1:
        listed = ", ".join(models[:5]) or "none"
        wanted = spec.model_name or "one model"
        raise NotReadyError(f"it serves {listed}, and the fleet wants {wanted}")
    return models[0]
