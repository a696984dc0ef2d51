"""Translates errors of the network into UpstreamError, with their cause and, if known, the cure."""

import re

import httpx2

from llm_router.errors import BrokenStreamError, UnreachableError

_NETWORK_ERRORS = (httpx2.ConnectError, httpx2.ProxyError, httpx2.DecodingError)
"""Errors whose text describes nothing but the network."""
_BAD_HTTP = re.compile(
    r"multiple Transfer-Encoding headers|Only Transfer-Encoding: chunked|"
    r"conflicting Content-Length|bad Content-Length|illegal (status|header) line"
)
"""The faults of an answer that is no HTTP; what follows these words may be anyone's."""
_PROXY_ERRORS = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_OWN_AUTHORITY = (
    "if an authority of your own signed its certificate, SSL_CERT_FILE must name the file of"
    " that authority"
)
_CURES = (
    (_words(r"CERTIFICATE_VERIFY_FAILED"), _OWN_AUTHORITY),
    (
        _words(r"WRONG.VERSION.NUMBER|RECORD.LAYER.FAILURE"),
        "the server speaks no TLS there; should base_url begin with http://?",
    ),
    (
        _words(r"name or service|name resolution|nodename|getaddrinfo|no address"),
        "no name server knows the host in base_url: is it spelt right, and is the network up?",
    ),
)


def unreachable(url: httpx2.URL, error: Exception, proxy_variable: str = "") -> UnreachableError:
    """Names the cause; `proxy_variable` is the one that names the proxy in between, if any."""
    reason = _reason(error)
    cure = next((cure for words, cure in _CURES if words.search(reason)), "")
    where = ""
    if proxy_variable:
        where = f", through the proxy in {proxy_variable}"
        if isinstance(error, _PROXY_ERRORS):
            cure = cure or f"check the proxy in {proxy_variable}; NO_PROXY exempts a server from it"
    return UnreachableError(f"no answer from {url.netloc.decode()} ({reason}){where}", cure=cure)


def broken(error: Exception) -> BrokenStreamError:
    return BrokenStreamError(f"the answer broke off ({_reason(error)})")


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    if isinstance(error, httpx2.RemoteProtocolError) and (fault := _BAD_HTTP.search(str(error))):
        return f"{kind}: {fault[0]}"
    return f"{kind}: {error}" if isinstance(error, _NETWORK_ERRORS) and str(error) else kind
