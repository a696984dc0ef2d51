"""The contract of clouds, for the fake and for EC2; and answers of EC2 that no fake gives."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from llm_router.clock import SystemClock
from llm_router.fleet.cloud import Cloud, CloudError, LaunchRefusedError, Notice
from llm_router.fleet.decisions import Deactivate, FleetConnection, Seen, decide
from llm_router.fleet.ec2 import Ec2Cloud, launch_request, open_ec2
from llm_router.fleet.ec2_answers import (
    FLEET_TAG,
    LAUNCH_TAG,
    NOTICE_TAG,
    read_instance,
    read_request,
    write_notice,
)
from llm_router.fleet.spec import FleetSpec
from llm_router.testing.cloud import FakeCloud
from tests.contracts.ec2_server import CREDENTIALS, REGION, client, emptied


class Stage(Protocol):
    """A cloud, and the ways in which it treats its instances."""

    @property
    def cloud(self) -> Cloud: ...
    @property
    def template(self) -> str: ...
    async def take_back(self, instance_id: str) -> None: ...
    async def give_notice(self, instance_id: str, notice: Notice) -> None: ...
    def without_capacity(self, spec: FleetSpec) -> FleetSpec: ...
    def away(self) -> Cloud: ...


class FakeStage:
    def __init__(self) -> None:
        self.cloud = FakeCloud(SystemClock(), starts_after=0)
        self.template = "lt-1"

    async def take_back(self, instance_id: str) -> None:
        self.cloud.take_back(instance_id)

    async def give_notice(self, instance_id: str, notice: Notice) -> None:
        self.cloud.give_notice(instance_id, notice)

    def without_capacity(self, spec: FleetSpec) -> FleetSpec:
        self.cloud.refusal = "InsufficientInstanceCapacity"
        return spec

    def away(self) -> Cloud:
        self.cloud.is_away = True
        return self.cloud


@dataclass
class Ec2Stage:
    cloud: Ec2Cloud
    template: str
    unreachable: Ec2Cloud

    async def take_back(self, instance_id: str) -> None:
        await client(self.cloud).terminate_instances(InstanceIds=[instance_id])

    async def give_notice(self, instance_id: str, notice: Notice) -> None:
        await self.cloud.tag(instance_id, NOTICE_TAG, write_notice(notice))

    def without_capacity(self, spec: FleetSpec) -> FleetSpec:
        return FleetSpec(name=spec.name, template="lt-0123456789abcdef0", max_hourly=1.0)

    def away(self) -> Cloud:
        return self.unreachable


@pytest.fixture(scope="module", autouse=True)
def _credentials() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
async def ec2(moto: str, unused_url: str) -> AsyncIterator[Ec2Stage]:
    async with (
        emptied(moto) as server,
        open_ec2(region=REGION, endpoint=server.url) as cloud,
        open_ec2(region=REGION, endpoint=unused_url) as unreachable,
    ):
        yield Ec2Stage(cloud, server.template, unreachable)


@pytest.fixture(params=["fake", "ec2"])
def stage(request: pytest.FixtureRequest) -> Stage:
    found: Stage = FakeStage() if request.param == "fake" else request.getfixturevalue("ec2")
    return found


def spec(stage: Stage, name: str = "llama", **fields: Any) -> FleetSpec:
    return FleetSpec(**{"name": name, "template": stage.template, "max_hourly": 2.0, **fields})


async def test_an_instance_is_found_by_its_fleet_and_shows_what_it_is(stage: Stage) -> None:
    await stage.cloud.launch(spec(stage), 7)
    [one] = await stage.cloud.instances("llama")
    assert (one.launch, one.template, one.notice) == (7, stage.template, None)
    assert one.state in {"pending", "running"}
    assert one.address
    assert one.instance_type
    assert one.zone
    assert one.launched_at > 1_000_000
    assert one.price is not None


async def test_a_launch_of_the_same_number_starts_nothing_twice(stage: Stage) -> None:
    for _ in range(2):
        await stage.cloud.launch(spec(stage), 7)
    assert len(await stage.cloud.instances("llama")) == 1
    await stage.cloud.launch(spec(stage), 8)
    assert {one.launch for one in await stage.cloud.instances("llama")} == {7, 8}


async def test_fleets_do_not_see_each_other(stage: Stage) -> None:
    await stage.cloud.launch(spec(stage), 7)
    await stage.cloud.launch(spec(stage, "qwen"), 7)
    assert len(await stage.cloud.instances("llama")) == 1
    assert len(await stage.cloud.instances("qwen")) == 1
    assert await stage.cloud.instances("lla") == []


async def test_an_instance_that_is_ended_is_gone_and_may_be_ended_again(stage: Stage) -> None:
    await stage.cloud.launch(spec(stage), 7)
    [one] = await stage.cloud.instances("llama")
    for _ in range(2):
        await stage.cloud.terminate(one.id)
    assert [i.state for i in await stage.cloud.instances("llama")] == ["gone"]
    await stage.cloud.terminate("i-0123456789abcdef0")


async def test_an_instance_that_the_cloud_takes_back_is_gone_with_a_reason(stage: Stage) -> None:
    await stage.cloud.launch(spec(stage), 7)
    [one] = await stage.cloud.instances("llama")
    await stage.take_back(one.id)
    [gone] = await stage.cloud.instances("llama")
    assert gone.state == "gone"
    assert gone.gone_reason


@pytest.mark.parametrize(
    "notice", [Notice("rebalance"), Notice("interruption", 1_800_000_000.0)], ids=lambda n: n.kind
)
async def test_a_notice_is_seen_at_its_instance(stage: Stage, notice: Notice) -> None:
    for number in (7, 8):
        await stage.cloud.launch(spec(stage), number)
    first, second = await stage.cloud.instances("llama")
    await stage.give_notice(first.id, notice)
    notices = {one.id: one.notice for one in await stage.cloud.instances("llama")}
    assert notices == {first.id: notice, second.id: None}


async def test_a_launch_that_is_refused_says_why_and_starts_nothing(stage: Stage) -> None:
    with pytest.raises(LaunchRefusedError, match=r"Capacity|LaunchTemplate"):
        await stage.cloud.launch(stage.without_capacity(spec(stage)), 7)
    assert await stage.cloud.instances("llama") == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda cloud, wanted: cloud.launch(wanted, 7),
        lambda cloud, wanted: cloud.instances(wanted.name),
        lambda cloud, _: cloud.terminate("i-1"),
    ],
    ids=["launch", "instances", "terminate"],
)
async def test_a_cloud_that_does_not_answer_is_an_error(
    stage: Stage, ask: Callable[[Cloud, FleetSpec], Any]
) -> None:
    with pytest.raises(CloudError):
        await ask(stage.away(), spec(stage))


# ── Requests to EC2 and its answers ──────────────────────────────────────────────────────────────

WISHES = FleetSpec(
    name="llama",
    template="gpu",
    size=2,
    max_hourly=3.0,
    instance_types=("g6.xlarge", "g5.xlarge"),
    subnets=("subnet-a", "subnet-b"),
)


def test_a_launch_is_the_same_request_each_time_and_offers_every_type_in_every_zone() -> None:
    request = launch_request(WISHES, 7)
    assert request == launch_request(WISHES, 7)
    assert request["ClientToken"] == "patchbay-llama-7" != launch_request(WISHES, 8)["ClientToken"]
    [config] = request["LaunchTemplateConfigs"]
    assert config["LaunchTemplateSpecification"] == {
        "LaunchTemplateName": "gpu",
        "Version": "$Default",
    }
    assert len(config["Overrides"]) == 4
    assert {override["MaxPrice"] for override in config["Overrides"]} == {"1.5000"}


def answer(**fields: Any) -> dict[str, Any]:
    tags = [{"Key": FLEET_TAG, "Value": "llama"}, {"Key": LAUNCH_TAG, "Value": "7"}]
    return {"InstanceId": "i-1", "State": {"Name": "running"}, "Tags": tags, **fields}


def spot_request(code: str, message: str = "") -> dict[str, Any]:
    at = datetime(2026, 11, 30, 14, 0, 0, tzinfo=UTC)
    status = {"Code": code, "Message": message, "UpdateTime": at}
    return {"SpotInstanceRequestId": "sir-1", "Status": status}


def test_a_spot_request_that_is_marked_is_a_two_minute_notice() -> None:
    _, marked = read_request(spot_request("marked-for-termination"))
    notice = read_instance(answer(), marked, {}).notice
    until = datetime(2026, 11, 30, 14, 2, 0, tzinfo=UTC).timestamp()
    assert notice == Notice("interruption", until)
    _, fulfilled = read_request(spot_request("fulfilled"))
    assert read_instance(answer(), fulfilled, {}).notice is None


def test_the_reason_of_an_end_is_what_ec2_says() -> None:
    code = "instance-terminated-no-capacity"
    _, request = read_request(spot_request(code, "Your Spot instance was terminated: no capacity"))
    reason = {"Message": "Server.SpotInstanceTermination: Spot instance termination"}
    gone = answer(State={"Name": "shutting-down"}, StateReason=reason)
    assert read_instance(gone, request, {}).gone_reason == (
        "Server.SpotInstanceTermination: Spot instance termination; Your Spot instance was"
        " terminated: no capacity"
    )


@pytest.mark.parametrize("state", ["shutting-down", "terminated", "stopping", "stopped", "odd"])
def test_an_instance_in_any_other_state_than_the_two_of_life_is_gone(state: str) -> None:
    assert read_instance(answer(State={"Name": state}), None, {}).state == "gone"


def test_tags_that_persons_have_changed_are_no_error() -> None:
    tags = [{"Key": LAUNCH_TAG, "Value": "first"}, {"Key": NOTICE_TAG, "Value": "soon"}]
    one = read_instance(answer(Tags=tags), None, {})
    assert (one.launch, one.template, one.notice) == (0, "", None)


@pytest.mark.parametrize("time", ["", "soon", "-1", "9" * 240, "1e9", "nan"])
def test_a_notice_whose_time_makes_no_sense_is_one_without_a_time(time: str) -> None:
    tags = [{"Key": NOTICE_TAG, "Value": f"interruption {time}"}]
    one = read_instance(answer(Tags=tags), None, {})
    assert one.notice == Notice("interruption")
    connection = FleetConnection(
        id="c", name="llama-1", instance=one.id, template="", is_active=True, is_drained=False
    )
    spec = FleetSpec(name="llama", template="lt-1", size=1, max_hourly=1.0)
    seen = Seen(now=0.0, wanted=1, instances=[one], connections=[connection])
    [out, *_] = decide(spec, seen)
    assert isinstance(out, Deactivate)
    assert "two-minute notice" in out.reason


async def test_a_region_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(CloudError, match="--region"):
        async with open_ec2():
            pass
