"""Turns instances into connections, and stored connections back into what a fleet knows. No I/O."""

from collections.abc import Mapping
from typing import Any

from llm_router.connections.record import Connection
from llm_router.fleet.cloud import Instance, address_of
from llm_router.fleet.decisions import FleetConnection
from llm_router.fleet.spec import FleetSpec

_INSTANCE, _TEMPLATE = "instance:", "template:"


def fleet_tag(fleet: str) -> str:
    """Returns the tag that the connections of a fleet have."""
    return f"fleet:{fleet}"


def fields_for(spec: FleetSpec, instance: Instance, model: str) -> dict[str, Any]:
    """Returns the fields of the connection for an instance that serves `model`."""
    address = address_of(spec, instance)
    host = f"[{address}]" if ":" in address else address
    where = " in ".join(filter(None, (instance.instance_type, instance.zone)))
    price = "unknown price" if instance.price is None else f"{instance.price:.4f} an hour"
    return {
        "description": f"{instance.id}, {where}, {price}; launch template {instance.template}",
        "tags": (
            fleet_tag(spec.name),
            f"{_INSTANCE}{instance.id}",
            f"{_TEMPLATE}{instance.template}",
        ),
        "base_url": f"{spec.scheme}://{host}:{spec.port}/v1",
        "server": spec.server,
        "model_name": model,
        "api_key": spec.api_key,
        "pool": spec.pool,
        "priority": spec.priority,
        "visibility": spec.visibility,
        "weight": 1.0,
        "is_active": True,
        "connection_type": "aws_spot",
        "price_in": 0.0,  # instances are paid by the hour
        "price_out": 0.0,
    }


def read_connection(connection: Connection) -> FleetConnection:
    """Returns what a fleet knows of a stored connection that has its tag."""
    changed = connection.updated_at
    return FleetConnection(
        id=connection.id,
        name=connection.name,
        instance=_tagged(connection, _INSTANCE),
        template=_tagged(connection, _TEMPLATE),
        is_active=connection.is_active,
        is_drained=not connection.weight,
        status=connection.status,
        changed_at=changed.timestamp() if changed else 0.0,
    )


def fleet_of(connection: Connection) -> str:
    """Returns the name of the fleet that a connection belongs to; empty: to none."""
    return _tagged(connection, fleet_tag(""))


def new_connection(name: str, fields: Mapping[str, Any]) -> Connection:
    return Connection(name=name, **fields)


def _tagged(connection: Connection, prefix: str) -> str:
    return next((t.removeprefix(prefix) for t in connection.tags if t.startswith(prefix)), "")
