"""Puts together what a person sees of a fleet: its instances, their cost, and their use. No I/O."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_router.fleet.cloud import Instance
from llm_router.fleet.decisions import FleetConnection
from llm_router.store.usage_figures import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStatus:
    """One row of a fleet: an instance that lives, or a connection without one.

    `price`: an hour. `state`: `starting`, `serving`, `draining`, `switched off` or `gone`.
    """

    connection: str
    instance: str
    template: str
    state: str
    instance_type: str = ""
    zone: str = ""
    price: float | None = None
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class TemplateUse:
    """Use of the connections of one launch template: sums of `store.analytics.Figures`."""

    connections: int = 0
    requests: int = 0
    attempts: int = 0
    failed: int = 0
    resumes: int = 0
    tokens_out: int = 0


def list_instances(
    instances: Sequence[Instance],
    connections: Sequence[FleetConnection],
    reasons: Mapping[str, str],
) -> list[InstanceStatus]:
    """Lists the living instances, then the connections that wait for one.

    `reasons`: why connections, by id, are as they are.
    """
    by_instance = {c.instance: c for c in connections}
    living = [i for i in instances if i.state != "gone"]
    rows = [_living(i, by_instance.get(i.id), reasons) for i in living]
    used = {i.id for i in living}
    rows += [
        InstanceStatus(
            connection=c.name,
            instance=c.instance,
            template=c.template,
            state="gone",
            reason=reasons.get(c.id, ""),
        )
        for c in connections
        if c.instance not in used
    ]
    return sorted(rows, key=lambda row: (row.state == "gone", row.connection, row.instance))


def use_by_template(
    connections: Sequence[FleetConnection], figures: Mapping[str, Figures]
) -> dict[str, TemplateUse]:
    """Adds up the use of connections, by id, for each launch template."""
    uses = defaultdict[str, TemplateUse](TemplateUse)
    for connection in connections:
        use = uses[connection.template]
        use.connections += 1
        if one := figures.get(connection.id):
            use.requests += one.requests
            use.attempts += one.attempts
            use.failed += one.failed
            use.resumes += one.resumes
            use.tokens_out += one.tokens_out
    return dict(uses)


def _living(
    instance: Instance, connection: FleetConnection | None, reasons: Mapping[str, str]
) -> InstanceStatus:
    state = "starting"
    if connection:
        state = "serving" if connection.is_active else "switched off"
        state = "draining" if connection.is_active and connection.is_drained else state
    notice = f"notice: {instance.notice.kind}" if instance.notice else ""
    return InstanceStatus(
        connection=connection.name if connection else "",
        instance=instance.id,
        template=instance.template,
        state=state,
        instance_type=instance.instance_type,
        zone=instance.zone,
        price=instance.price,
        reason=notice or (reasons.get(connection.id, "") if connection else ""),
    )
