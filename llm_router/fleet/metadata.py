"""Reads an instance's own notices from EC2's metadata service (IMDSv2), for `fleet watch`."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import httpx2

from llm_router.clock import Clock
from llm_router.fleet.cloud import CloudError, Notice
from llm_router.periodic import OutageLog

METADATA = "http://169.254.169.254"
EVERY = 5.0
"""Seconds between two questions, as AWS recommends."""
_TOKEN_LASTS = 21_600
"""Seconds, the most that the service gives."""
_WITHIN = 5.0  # s
_MAX_ANSWER = 10_000
"""Characters; an answer has a few hundred."""
_UNAUTHORIZED, _MISSING = 401, 404


class InstanceMetadata:
    """A client of the metadata service of the instance that this process runs on.

    Its methods raise CloudError where the service does not answer, as elsewhere than on EC2.
    """

    def __init__(self, client: httpx2.AsyncClient, endpoint: str = METADATA) -> None:
        self._client = client
        self._endpoint = endpoint.rstrip("/")
        self._token = ""

    async def instance_id(self) -> str:
        return await self._get("/latest/meta-data/instance-id") or ""

    async def region(self) -> str:
        return await self._get("/latest/meta-data/placement/region") or ""

    async def notice(self) -> Notice | None:
        """Returns what the cloud has announced about this instance, the more urgent first."""
        action = await self._get("/latest/meta-data/spot/instance-action")
        if action is not None:
            return Notice("interruption", _time(_parsed(action).get("time")))
        hint = await self._get("/latest/meta-data/events/recommendations/rebalance")
        return None if hint is None else Notice("rebalance")

    async def _get(self, path: str) -> str | None:
        """Returns the text at a path, None where there is none."""
        answer = await self._read(path)
        if answer.status_code == _UNAUTHORIZED:  # the token has run out
            self._token = ""
            answer = await self._read(path)
        if answer.status_code == _MISSING:
            return None
        if answer.is_error:
            raise CloudError(f"the metadata service answers {answer.status_code} for {path}")
        return answer.text[:_MAX_ANSWER].strip()

    async def _read(self, path: str) -> httpx2.Response:
        if not self._token:
            lasts = {"x-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_LASTS)}
            self._token = (await self._request("PUT", "/latest/api/token", lasts)).text.strip()
        return await self._request("GET", path, {"x-aws-ec2-metadata-token": self._token})

    async def _request(self, method: str, path: str, headers: Mapping[str, str]) -> httpx2.Response:
        try:
            return await self._client.request(
                method, f"{self._endpoint}{path}", headers=headers, timeout=_WITHIN
            )
        except httpx2.HTTPError as error:
            raise CloudError(
                f"the metadata service does not answer ({type(error).__name__}); run this on the"
                " instance itself"
            ) from error


async def report_notices(
    metadata: InstanceMetadata, report: Callable[[Notice], Awaitable[None]], clock: Clock
) -> None:
    """Reports each notice once, within seconds, until the one of an interruption is reported.

    A service or a cloud that does not answer is asked again. Raises CloudError where the service
    does not answer the first time.
    """
    reported = None
    notice = await metadata.notice()
    outage = OutageLog("notices are not passed on until it answers", "notices are passed on again")
    while True:
        try:
            if notice and (reported is None or notice.kind != reported.kind):
                await report(notice)
                reported = notice
                if notice.kind == "interruption":
                    return
            await clock.sleep(EVERY)
            notice = await metadata.notice()
        except CloudError as error:
            outage.failed(error)
            await clock.sleep(EVERY)
        else:
            outage.succeeded()


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _time(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
