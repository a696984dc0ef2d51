"""Tests of what the environment says of proxies and certificates, and of what it cannot break."""

import os
import ssl
from importlib.util import find_spec
from pathlib import Path

import pytest

from llm_router.errors import UnreachableError
from llm_router.net.environment import bypasses_proxy, find_proxy, tls_context
from tests.contracts.tls import certified

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"http_proxy": PROXY}, PROXY),
        ({"HTTP_PROXY": PROXY}, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"all_proxy": PROXY}, PROXY),
        ({"http_proxy": PROXY, "HTTP_PROXY": "http://other"}, PROXY),
        ({"HTTP_PROXY": PROXY, "ALL_PROXY": "http://other"}, PROXY),
        ({"HTTP_PROXY": "proxy:3128"}, PROXY),
        ({"HTTP_PROXY": "  http://proxy:3128 "}, PROXY),
        ({"HTTP_PROXY": '"http://proxy:3128"'}, PROXY),
        ({"HTTP_PROXY": "HTTP://proxy:3128"}, PROXY),
        ({"HTTP_PROXY": "http://user:p%40ss@proxy:3128/"}, f"{PROXY}/"),
        ({"HTTP_PROXY": "https://proxy:3129"}, "https://proxy:3129"),
        ({"HTTP_PROXY": "http://[::1]:3128"}, "http://[::1]:3128"),
        ({"HTTPS_PROXY": PROXY}, None),
        ({"HTTP_PROXY": ""}, None),
        ({"HTTP_PROXY": "   "}, None),
        ({"http_proxy": "", "HTTP_PROXY": ""}, None),
        ({"FTP_PROXY": PROXY, "TRAVIS_APT_PROXY": PROXY}, None),
        ({}, None),
    ],
)
def test_the_proxy_of_an_address(environ: dict[str, str], address: str | None) -> None:
    choice = find_proxy("http", "host.example", 80, environ)
    assert (str(choice.proxy.url) if choice else None) == address


def test_the_password_of_a_proxy_is_passed_on_as_it_is_meant() -> None:
    choice = find_proxy("http", "h", 80, {"HTTP_PROXY": "http://user:p%40ss@proxy:3128"})
    assert choice
    assert choice.proxy.auth == ("user", "p@ss")


@pytest.mark.parametrize(
    "value",
    [
        *("socks4://proxy:1080", "socks4a://proxy:1080", "ftp://proxy", "quic://proxy:1"),
        *("http://proxy:port", "http://proxy:99999", "proxy:0", "http://", "http://:3128"),
        *("http://[::1", "http://secret:word@", "://proxy", "http://pro xy:80"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(value: str) -> None:
    with pytest.raises(UnreachableError, match="HTTP_PROXY") as caught:
        find_proxy("http", "host.example", 80, {"HTTP_PROXY": value})
    assert "HTTP_PROXY" in caught.value.cure
    assert "word" not in str(caught.value)
    # It harms nobody else.
    assert find_proxy("https", "host.example", 443, {"HTTP_PROXY": value}) is None
    exempted = {"HTTP_PROXY": value, "NO_PROXY": "host.example"}
    assert find_proxy("http", "host.example", 80, exempted) is None


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks", "SOCKS5"])
def test_a_socks_proxy_works_or_names_the_extra(scheme: str) -> None:
    environ = {"ALL_PROXY": f"{scheme}://user:word@proxy:1080"}
    if find_spec("socksio"):
        choice = find_proxy("https", "host.example", 443, environ)
        assert choice
        assert choice.proxy.url.scheme in {"socks5", "socks5h"}
        return
    with pytest.raises(UnreachableError, match="ALL_PROXY") as caught:
        find_proxy("https", "host.example", 443, environ)
    assert "pip install './llm_router[socks]'" in caught.value.cure
    assert "word" not in f"{caught.value} {caught.value.cure}"


@pytest.mark.parametrize(
    ("no_proxy", "host", "exempt"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost,127.0.0.1,::1,[::1]", "127.0.0.1", True),
        ("localhost, 127.0.0.1", "127.0.0.1", True),
        ("localhost 127.0.0.1", "127.0.0.1", True),
        ("localhost;127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]:8000", "::1", True),
        ("[::1]:9000", "::1", False),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("fd00::/8", "fd12::5", True),
        ("[fd00::]/8", "fd12::5", True),
        ("fd00::/8", "2001:db8::1", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.1/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "ten.example", False),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("192.168.*", "192.168.1.7", True),
        ("example.com", "example.com", True),
        ("example.com", "api.example.com", True),
        ("example.com", "notexample.com", False),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("EXAMPLE.com", "api.Example.COM", True),
        ("example.com.", "example.com", True),
        ("example.com:8000", "example.com", True),
        ("example.com:9000", "example.com", False),
        ("http://example.com", "example.com", True),
        ('"example.com"', "example.com", True),
        ("*", "anything", True),
        ("a,*,b", "anything", True),
        ("<local>", "box", True),
        ("<local>", "box.example", False),
        ("", "host", False),
        (",, ,", "host", False),
        ("[", "host", False),
        ("[::1", "host", False),
        ("://", "host", False),
        ("/", "host", False),
        (".", "host", False),
        ("%zz,\x00,::::,host", "host", True),
    ],
)
def test_what_is_exempt_from_proxies(no_proxy: str, host: str, exempt: bool) -> None:
    assert bypasses_proxy(host, 8000, no_proxy) is exempt
    environ = {"HTTP_PROXY": "socks4://useless", "no_proxy": no_proxy}
    if exempt:
        assert find_proxy("http", host, 8000, environ) is None


@pytest.mark.parametrize(
    ("variable", "content"),
    [
        ("SSL_CERT_FILE", None),
        ("SSL_CERT_FILE", ""),
        ("SSL_CERT_FILE", "not PEM"),
        ("SSL_CERT_FILE", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"),
        ("SSL_CERT_FILE", "a folder"),
        ("SSL_CERT_DIR", None),
        ("SSL_CERT_DIR", "a file"),
    ],
)
def test_certificates_that_cannot_be_read_are_named_by_their_variable(
    variable: str, content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "authorities"
    if content == "a folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    with pytest.raises(UnreachableError, match=variable) as caught:
        tls_context({variable: str(path)})
    assert str(path) in str(caught.value)
    assert variable in caught.value.cure


def test_certificates_are_read_from_a_file_from_folders_and_from_the_system(tmp_path: Path) -> None:
    certified(tmp_path, "localhost")
    own = tls_context({"SSL_CERT_FILE": str(tmp_path / "both.pem")})
    assert own.cert_store_stats()["x509"] == 1
    folders = os.pathsep.join([str(tmp_path / "missing"), str(tmp_path)])
    for environ in ({}, {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, {"SSL_CERT_DIR": folders}):
        assert tls_context(environ).verify_mode is ssl.CERT_REQUIRED


def test_certificates_are_read_again_once_they_can_be(tmp_path: Path) -> None:
    environ = {"SSL_CERT_FILE": str(tmp_path / "both.pem")}
    with pytest.raises(UnreachableError):
        tls_context(environ)
    certified(tmp_path, "localhost")
    assert tls_context(environ) is tls_context(environ)
