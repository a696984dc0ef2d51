"""Rents spot instances of Amazon EC2: fleets of type `instant`, found again by their tags.

It needs the extra `fleet` (aiobotocore), whose usual places hold the credentials. Rights:
ec2:CreateFleet, RunInstances, CreateTags, TerminateInstances, DescribeInstances,
DescribeSpotInstanceRequests, DescribeSpotPriceHistory, and iam:PassRole for the template's role.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from llm_router.clock import Clock, SystemClock
from llm_router.connections.rules import to_one_line
from llm_router.fleet.cloud import CloudError, Instance, LaunchRefusedError
from llm_router.fleet.ec2_answers import (
    FLEET_TAG,
    LAUNCH_TAG,
    TEMPLATE_TAG,
    SpotRequest,
    latest_prices,
    read_instance,
    read_request,
)
from llm_router.fleet.spec import FleetSpec

_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 20}  # s
_PRICES_FOR = 300.0
"""Seconds for which a spot price is taken to be the current one."""
_NO_ANSWER = frozenset(
    {"InternalError", "InternalFailure", "RequestLimitExceeded", "ServiceUnavailable",
     "Throttling", "ThrottlingException", "Unavailable", "RequestExpired"}
)  # fmt: skip
"""Error codes after which a launch may have been carried out, or may be asked for again."""
_UNKNOWN_INSTANCE = "InvalidInstanceID.NotFound"


@asynccontextmanager
async def open_ec2(
    *, region: str | None = None, endpoint: str | None = None, clock: Clock | None = None
) -> AsyncIterator["Ec2Cloud"]:
    """Opens EC2 in a region, by default that of the environment; `endpoint`: another address.

    Raises CloudError where there is no region.
    """
    config = Config(retries={"total_max_attempts": 3, "mode": "standard"}, **_TIMEOUTS)
    try:
        async with get_session().create_client(
            "ec2", region_name=region, endpoint_url=endpoint, config=config
        ) as client:
            yield Ec2Cloud(client, clock)
    except BotoCoreError as error:
        reason = to_one_line(str(error)).rstrip(".")
        raise CloudError(f"EC2: {reason}; name a region with --region") from error


class Ec2Cloud:
    """A `fleet.cloud.Cloud` over a client of aiobotocore, which its owner closes."""

    def __init__(self, client: Any, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or SystemClock()
        self._prices: Mapping[tuple[str, str], float] = {}
        self._prices_at: float | None = None
        self._priced: frozenset[str] = frozenset()

    async def launch(self, spec: FleetSpec, number: int) -> None:
        # EC2 forgets client tokens after a while; tags are there as long as the instance is.
        if await self._describe({FLEET_TAG: spec.name, LAUNCH_TAG: str(number)}):
            return
        try:
            answer = await self._client.create_fleet(**launch_request(spec, number))
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _NO_ANSWER:
                raise CloudError(_reason(error)) from error
            raise LaunchRefusedError(_reason(error)) from error
        except BotoCoreError as error:
            raise CloudError(_reason(error)) from error
        if not answer.get("Instances"):
            errors = [
                f"{e.get('ErrorCode')}: {e.get('ErrorMessage')}" for e in answer.get("Errors", [])
            ]
            raise LaunchRefusedError(to_one_line("; ".join(errors) or "no instance was started"))

    async def instances(self, fleet: str) -> Sequence[Instance]:
        described = await self._describe({FLEET_TAG: fleet})
        ids = [r for one in described if (r := one.get("SpotInstanceRequestId"))]
        requests = await self._requests(ids)
        types = {one["InstanceType"] for one in described if "InstanceType" in one}
        prices = await self._current_prices(types)
        return [
            read_instance(one, requests.get(one.get("SpotInstanceRequestId", "")), prices)
            for one in described
        ]

    async def terminate(self, instance_id: str) -> None:
        try:
            await self._client.terminate_instances(InstanceIds=[instance_id])
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != _UNKNOWN_INSTANCE:
                raise CloudError(_reason(error)) from error
        except BotoCoreError as error:
            raise CloudError(_reason(error)) from error

    async def tag(self, instance_id: str, name: str, value: str) -> None:
        """Sets a tag of an instance."""
        tags = [{"Key": name, "Value": value}]
        try:
            await self._client.create_tags(Resources=[instance_id], Tags=tags)
        except (ClientError, BotoCoreError) as error:
            raise CloudError(_reason(error)) from error

    async def _describe(self, tags: Mapping[str, str]) -> list[Mapping[str, Any]]:
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        pages = await self._pages("describe_instances", Filters=filters)
        reservations = [one for page in pages for one in page["Reservations"]]
        return [instance for one in reservations for instance in one["Instances"]]

    async def _requests(self, ids: Sequence[str]) -> Mapping[str, SpotRequest]:
        if not ids:
            return {}
        # By a filter: an id that is not there any more is an error otherwise.
        filters = [{"Name": "spot-instance-request-id", "Values": [*ids]}]
        pages = await self._pages("describe_spot_instance_requests", Filters=filters)
        return dict(read_request(one) for page in pages for one in page["SpotInstanceRequests"])

    async def _current_prices(self, types: set[str]) -> Mapping[tuple[str, str], float]:
        now = self._clock.wall()
        is_fresh = self._prices_at is not None and now - self._prices_at < _PRICES_FOR
        if types and not (is_fresh and types <= self._priced):
            pages = await self._pages(
                "describe_spot_price_history",
                InstanceTypes=sorted(types),
                ProductDescriptions=["Linux/UNIX"],
                StartTime=datetime.fromtimestamp(now, UTC),
            )
            self._prices = latest_prices(one for page in pages for one in page["SpotPriceHistory"])
            self._priced = frozenset(types)
            self._prices_at = now
        return self._prices

    async def _pages(self, operation: str, **arguments: Any) -> list[Mapping[str, Any]]:
        try:
            paginator = self._client.get_paginator(operation)
            return [page async for page in paginator.paginate(**arguments)]
        except (ClientError, BotoCoreError) as error:
            raise CloudError(_reason(error)) from error


def launch_request(spec: FleetSpec, number: int) -> dict[str, Any]:
    """Returns the arguments of CreateFleet for one instance; the same for the same launch."""
    by = "LaunchTemplateId" if spec.template.startswith("lt-") else "LaunchTemplateName"
    template = {by: spec.template, "Version": spec.template_version}
    price = {"MaxPrice": f"{spec.max_price:.4f}"}
    types = [{"InstanceType": one} for one in spec.instance_types] or [{}]
    subnets = [{"SubnetId": one} for one in spec.subnets] or [{}]
    overrides = [{**one, **subnet, **price} for one in types for subnet in subnets]
    tags = {
        FLEET_TAG: spec.name,
        LAUNCH_TAG: str(number),
        TEMPLATE_TAG: spec.template,
        "Name": f"patchbay fleet {spec.name}",
    }
    return {
        "ClientToken": f"patchbay-{spec.name}-{number}",
        "Type": "instant",  # EC2 chooses the pool; how many there are is decided here
        "LaunchTemplateConfigs": [
            {"LaunchTemplateSpecification": template, "Overrides": overrides}
        ],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": 1,
            "SpotTargetCapacity": 1,
            "OnDemandTargetCapacity": 0,
            "DefaultTargetCapacityType": "spot",
        },
        "SpotOptions": {
            "AllocationStrategy": "price-capacity-optimized",
            "InstanceInterruptionBehavior": "terminate",
        },
        "TagSpecifications": [
            {
                "ResourceType": "instance",
                "Tags": [{"Key": name, "Value": value} for name, value in tags.items()],
            }
        ],
    }


def _reason(error: Exception) -> str:
    return f"EC2: {to_one_line(str(error), 300)}"
