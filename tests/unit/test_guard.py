"""Tests the guard on addresses as written and as resolved."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from llm_router.classification import classify
from llm_router.errors import AddressRefusedError, UnreachableError
from llm_router.failures import FailureClass
from llm_router.net.guard import AddressGuard, Resolver

EDITOR = AddressGuard()
ADMIN = AddressGuard(allow_private=True)

INSIDE = [
    "http://127.0.0.1:11434/v1",
    "http://localhost:8000",
    "http://LOCALHOST.:8000",
    "http://api.localhost",
    "http://printer.local",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://metadata/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://172.16.5.4/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://192.0.2.1/",
    # The same in other notations.
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://017700000001/",
    "http://127.1/",
    "http://127.0.1/",
    "http://10.1/",
    "http://0/",
    "http://0x0/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://4294967297/",  # 2**32 + 1, which some parsers wrap around to 127.0.0.1
    "http://127.0.0.1./",
    "http://127.0.0.1。/",
    "http://metadata.google.internal./",
    "http://127。0。0。1/",  # full stops of another script
    # IPv6, and IPv4 inside it.
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::FFFF:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::ffff:0:0]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[::1%25lo]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    # User names before the host, and ports of other services.
    "http://api.openai.com@127.0.0.1/",
    "http://user:sk-secret@api.openai.com/v1",
    "http://1.1.1.1&@127.0.0.1/",
    "http://127.0.0.1#@api.openai.com/",
    "http://127.0.0.1?@api.openai.com/",
    "http://127%2e0%2e0%2e1/",
    "http://127.0.0.1%00.example.com/",
    "https://api.openai.com:25/",
    "https://api.openai.com:22/",
]
NEITHER = [
    "",
    "api.openai.com/v1",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x",
    "ftp://example.com/",
    "http://",
    "http:///v1",
    "http://[::1",
    "http://a:99999999/",
    "http://127.0.0.1\t/",
    "http://example.com\\@127.0.0.1/",
    "http://127.1.1.1:80\\@8.8.8.8/",
    "http:/\\127.0.0.1/",
    "http:127.0.0.1",
    "//127.0.0.1/",
    "http://127.0.0.1:11434:80/",
    "http://127.0.0.1 /",
    "http://example.com\r\nHost: a/",
    "http://１２７.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://0177.0.0.1/",
    "http://0300.0250.0.1/",
    "http://١٢٧.٠.٠.١/",
    "http://ⓛocalhost/",
]
OUTSIDE = [
    "https://api.openai.com/v1",
    "https://api.openai.com./v1",
    "HTTPS://API.OPENAI.COM:443/v1",
    "http://8.8.8.8:8000",
    "http://[2606:4700::1111]/",
    "http://[2002:808:808::1]/",  # 6to4 of 8.8.8.8
    "http://[64:ff9b::808:808]/",
    "http://134744072/",  # 8.8.8.8
    "https://my-resource.openai.azure.com/openai",
    "https://bücher.example/v1",
    "https://xn--bcher-kva.example/v1",
    "http://under_score.example:8080",
    "http://api.openai.com#@127.0.0.1/",
]


@pytest.mark.parametrize("url", INSIDE)
def test_a_private_address_is_refused_to_an_editor_and_allowed_to_an_admin(url: str) -> None:
    with pytest.raises(AddressRefusedError) as caught:
        EDITOR.check_url(url)
    assert "sk-secret" not in str(caught.value)
    ADMIN.check_url(url)


@pytest.mark.parametrize("url", NEITHER)
def test_an_invalid_address_is_refused_to_all(url: str) -> None:
    for guard in (EDITOR, ADMIN):
        with pytest.raises(AddressRefusedError):
            guard.check_url(url)


@pytest.mark.parametrize("url", OUTSIDE)
def test_a_public_address_is_allowed_to_all(url: str) -> None:
    EDITOR.check_url(url)
    ADMIN.check_url(url)


def test_check_url_returns_host_and_port() -> None:
    assert EDITOR.check_url("https://API.openai.com./v1") == ("api.openai.com", 443)
    assert EDITOR.check_url("http://8.8.8.8:8000/v1") == ("8.8.8.8", 8000)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("ollama.lan", "http://ollama.lan:11434"),
        ("OLLAMA.lan", "http://ollama.lan.:11434"),
        ("*.corp.internal", "http://llm.corp.internal"),
        ("10.20.0.0/16", "http://10.20.3.4"),
        ("10.20.0.1/16", "http://10.20.3.4"),
        ("fd12::/16", "http://[fd12::5]:8000"),
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("127.0.0.1", "http://2130706433:11434"),
    ],
)
def test_an_address_the_operator_allowed_is_allowed_to_an_editor(allowed: str, url: str) -> None:
    with pytest.raises(AddressRefusedError):
        EDITOR.check_url(url)
    AddressGuard(allowed=(allowed,)).check_url(url)


@pytest.mark.parametrize(
    "url",
    ["http://corp.internal", "http://evilcorp.internal", "http://10.21.0.1", "http://[::1]"],
)
def test_an_allowed_address_allows_no_other(url: str) -> None:
    guard = AddressGuard(allowed=("*.corp.internal", "10.20.0.0/16"))
    with pytest.raises(AddressRefusedError):
        guard.check_url(url)


def test_a_refusal_gives_the_reason_and_the_remedy() -> None:
    with pytest.raises(AddressRefusedError) as caught:
        EDITOR.check_url("http://2852039166/")
    assert str(caught.value) == (
        "2852039166 (169.254.169.254) is a cloud's metadata service; an administrator can allow it"
    )


def test_to_the_router_a_refused_address_is_an_unreachable_server() -> None:
    assert issubclass(AddressRefusedError, UnreachableError)
    assert classify(AddressRefusedError("no")).kind is FailureClass.UNREACHABLE


# --- resolved names ---------------------------------------------------------------------------


def looking(guard: AddressGuard, resolve: Resolver) -> AddressGuard:
    return replace(guard, resolve=resolve)


def leads_to(*addresses: str) -> "Names":
    return Names(addresses)


class Names:
    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses, self.asked = addresses, list[str]()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.addresses


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%lo"], ["0.0.0.0"]],
)
async def test_a_name_that_resolves_to_a_private_address_is_refused(
    addresses: Sequence[str],
) -> None:
    with pytest.raises(AddressRefusedError, match=r"rebind\.example"):
        await looking(EDITOR, leads_to(*addresses)).addresses("rebind.example")
    assert list(await looking(ADMIN, leads_to(*addresses)).addresses("rebind.example")) == addresses


async def test_a_name_that_resolves_to_public_addresses_returns_them() -> None:
    found = await looking(EDITOR, leads_to("8.8.8.8", "2606:4700::1111")).addresses("api.example")
    assert list(found) == ["8.8.8.8", "2606:4700::1111"]


async def test_an_allowed_name_may_resolve_to_any_address() -> None:
    guard = AddressGuard(allowed=("ollama.lan",))
    assert list(await looking(guard, leads_to("10.0.0.7")).addresses("Ollama.LAN.")) == ["10.0.0.7"]


async def test_an_unusual_notation_is_never_passed_to_the_resolver() -> None:
    names = leads_to("8.8.8.8")
    assert await looking(ADMIN, names).addresses("0x7f.1") == ["127.0.0.1"]
    assert names.asked == []


async def test_a_name_without_an_address_is_an_oserror() -> None:
    with pytest.raises(OSError, match="has no address"):
        await looking(EDITOR, leads_to()).addresses("api.example")


async def test_saving_an_address_checks_the_addresses_it_resolves_to() -> None:
    with pytest.raises(AddressRefusedError):
        await looking(EDITOR, leads_to("10.0.0.1")).check("https://rebind.example/v1")
    await looking(EDITOR, leads_to("8.8.8.8")).check("https://api.example/v1")


async def test_an_address_whose_server_is_down_can_be_saved() -> None:
    await looking(EDITOR, leads_to()).check("https://api.example/v1")


async def test_a_query_to_a_silent_name_server_can_be_cancelled() -> None:
    asked = asyncio.Event()

    async def silent(_host: str) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        return []

    waiting = asyncio.create_task(looking(EDITOR, silent).addresses("api.example"))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
