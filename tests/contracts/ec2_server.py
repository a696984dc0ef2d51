"""Empties the EC2 of the tests, and gives it a launch template."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from llm_router.fleet.ec2 import Ec2Cloud, open_ec2

REGION = "eu-central-1"
CREDENTIALS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
_IMAGE = "ami-12c6146b"  # one of moto's own


@dataclass(frozen=True)
class Ec2Server:
    """EC2 at `url`, with the launch template `template`."""

    url: str
    template: str


@asynccontextmanager
async def emptied(url: str) -> AsyncIterator[Ec2Server]:
    """Takes everything out of EC2 but one launch template."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        (await http.post(f"{url}/moto-api/reset")).raise_for_status()
    async with open_ec2(region=REGION, endpoint=url) as cloud:
        made = await client(cloud).create_launch_template(
            LaunchTemplateName="llama",
            LaunchTemplateData={"ImageId": _IMAGE, "InstanceType": "g4dn.xlarge"},
        )
    yield Ec2Server(url, made["LaunchTemplate"]["LaunchTemplateId"])


def client(cloud: Ec2Cloud) -> Any:
    return cloud._client
