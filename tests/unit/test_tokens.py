"""Tests the token route's parts: what a token grants, and what a visitor may choose."""

import asyncio
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api
from livekit.protocol.agent import Job, JobState, JobStatus
from livekit.protocol.agent_dispatch import AgentDispatch, AgentDispatchState

from agent.dispatches import is_serving, is_taken
from agent.livekit_server import LiveKitServer, LiveKitUnavailableError
from agent.tokens import TokenOptions, display_name, mint_token
from agent.visitor_gate import offered
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import RateLimit, client_key

KEY, SECRET = "key", "a-secret-of-more-than-thirty-two-characters"
NOW = 1_800_000_000.9


def token(ttl: int = 600, now: float = NOW) -> str:
    return mint_token(
        api_key=KEY,
        api_secret=SECRET,
        identity="visitor-1",
        name="Ada",
        room="web-1",
        ttl=ttl,
        now=now,
    )


def claims(text: str) -> api.access_token.Claims:
    # The signature is verified; the times are not, so that the tests do not depend on today's date.
    jwt.decode(
        text,
        SECRET,
        algorithms=["HS256"],
        issuer=KEY,
        options={"verify_exp": False, "verify_nbf": False},
    )
    return api.TokenVerifier(KEY, SECRET).verify(text, verify_signature=False)


def test_a_token_names_visitor_and_room_and_calls_no_agent() -> None:
    granted = claims(token())
    assert (granted.identity, granted.name) == ("visitor-1", "Ada")
    assert granted.video
    assert granted.video.room == "web-1"
    assert granted.room_config is None


def test_a_token_grants_talking_in_one_room_and_nothing_else() -> None:
    granted = claims(token())
    assert granted.video == api.VideoGrants(
        room_join=True,
        room="web-1",
        can_publish=True,
        can_publish_sources=["microphone"],
        can_publish_data=True,
        can_subscribe=True,
        can_update_own_metadata=False,
        hidden=False,
    )
    assert granted.sip is None or not (granted.sip.admin or granted.sip.call)
    assert not granted.metadata
    assert not granted.attributes


def test_a_token_is_valid_from_now_until_it_expires() -> None:
    raw = jwt.decode(token(ttl=60), options={"verify_signature": False})
    assert (raw["nbf"], raw["exp"]) == (1_800_000_000, 1_800_000_060)


def test_the_same_arguments_make_the_same_token() -> None:
    assert token() == token()


def test_a_name_is_one_short_line() -> None:
    assert display_name("  Ada\n\tLovelace\x00 ") == "Ada Lovelace"
    assert display_name("x" * 500) == "x" * 64
    assert display_name(None) == ""
    assert display_name("Zoë \u202eevil") == "Zoë evil"


@given(st.text())
def test_every_name_can_be_printed(requested: str) -> None:
    name = display_name(requested)
    assert name.isprintable()
    assert len(name) <= 64
    assert display_name(name) == name


def test_an_ipv6_network_counts_as_one_client() -> None:
    assert client_key("2001:db8:1:2::1") == client_key("2001:db8:1:2:ffff::9")
    assert client_key("2001:db8:1:2::1") != client_key("2001:db8:1:3::1")


def test_ipv4_addresses_are_distinguished_in_either_notation() -> None:
    assert client_key("::ffff:192.0.2.1") == client_key("192.0.2.1")
    assert client_key("192.0.2.1") != client_key("192.0.2.2")


def test_a_client_without_an_address_has_a_key_too() -> None:
    assert client_key("local") == "local"


NOW = 1_800_000_000.0


def dispatch(
    *statuses: JobStatus,
    name: str = "desk",
    deleted_at: int = 0,
    age: float = 60,
    identity: str = "agent-1",
) -> AgentDispatch:
    """Returns a dispatch of `age` seconds, with a job for each status."""
    began = int((NOW - age) * 1e9)
    jobs = [
        Job(state=JobState(status=status, started_at=began, participant_identity=identity))
        for status in statuses
    ]
    state = AgentDispatchState(jobs=jobs, deleted_at=deleted_at, created_at=began)
    return AgentDispatch(agent_name=name, room="web-1", state=state)


@pytest.mark.parametrize(
    ("existing", "serves"),
    [
        (dispatch(age=1), True),
        (dispatch(JobStatus.JS_PENDING), True),
        (dispatch(JobStatus.JS_FAILED, JobStatus.JS_RUNNING), True),
        (dispatch(JobStatus.JS_RUNNING, identity="agent-2", age=1), True),
        (dispatch(JobStatus.JS_SUCCESS), False),
        (dispatch(JobStatus.JS_FAILED), False),
        (dispatch(JobStatus.JS_RUNNING, deleted_at=1), False),
        (dispatch(JobStatus.JS_RUNNING, name="other"), False),
        (dispatch(), False),
        (dispatch(JobStatus.JS_RUNNING, identity="agent-2"), False),
    ],
    ids=[
        "was just made",
        "its agent is in the room",
        "one of its agents is in the room",
        "its agent is on its way",
        "its agent has ended",
        "its agent has failed",
        "was deleted",
        "is another agent's",
        "never got an agent",
        "its agent has died",
    ],
)
def test_a_dispatch_serves_as_long_as_its_agent_is_in_the_room_or_on_its_way(
    existing: AgentDispatch, serves: bool
) -> None:
    assert is_serving(existing, "desk", {"agent-1", "visitor-1"}, NOW) is serves


@pytest.mark.parametrize(
    ("existing", "taken"),
    [
        (dispatch(), False),
        (dispatch(JobStatus.JS_PENDING), True),
        (dispatch(JobStatus.JS_RUNNING), True),
        (dispatch(JobStatus.JS_FAILED), False),
    ],
)
def test_a_dispatch_is_taken_while_a_worker_has_a_job_of_it(
    existing: AgentDispatch, taken: bool
) -> None:
    assert is_taken(existing) is taken


async def test_a_livekit_that_does_not_answer_times_out() -> None:
    hung_up = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with LiveKitServer(f"ws://127.0.0.1:{port}", KEY, SECRET, timeout=0.05) as livekit:
            with pytest.raises(LiveKitUnavailableError, match="Nothing answers"):
                await livekit.check()
            await hung_up.wait()


def test_a_problem_is_an_rfc_9457_document() -> None:
    answer = Problem(429, "rate-limited", "Wait.", {"Retry-After": "3"}).response("/token")
    assert answer.status_code == 429
    assert answer.media_type == "application/problem+json"
    assert answer.headers["retry-after"] == "3"
    assert json.loads(bytes(answer.body)) == {
        "type": "/problems/rate-limited",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Wait.",
    }


OPTIONS = TokenOptions(
    server_url="ws://x", api_key=KEY, api_secret=SECRET, ttl=600, rate_limit=RateLimit("10/minute")
)


def test_the_secret_does_not_show_in_the_options_repr() -> None:
    assert SECRET not in repr(OPTIONS)


def test_a_visitor_gets_only_an_assistant_that_the_site_offers() -> None:
    assert offered("shop", ()) == ""
    site = ("shop", "desk")
    wishes = {None: "shop", "": "shop", "desk": "desk", "admins": "shop"}
    assert {wish: offered(wish, site) for wish in wishes} == wishes
