"""Writes and reads the few SIP messages of a call to ourselves (RFC 3261, RFC 2617). Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_MESSAGE = 65_535
CODECS: Mapping[int, str] = {0: "PCMU", 8: "PCMA", 9: "G722"}
"""Codecs by their number in RTP (RFC 3551)."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response."""

    first_line: str
    headers: Sequence[tuple[str, str]]
    """Names in small letters, and values, in order."""
    body: str = ""

    def header(self, name: str) -> str:
        return next((value for known, value in self.headers if known == name), "")

    @property
    def status(self) -> int:
        """Status of a response; 0 for a request."""
        found = re.match(r"SIP/2\.0 (\d{3})", self.first_line)
        return int(found[1]) if found else 0

    @property
    def reason(self) -> str:
        return self.first_line.partition(" ")[2].partition(" ")[2][:100]

    @property
    def method(self) -> str:
        """Method of a request, or of the request that a response answers."""
        if self.status:
            return self.header("cseq").rpartition(" ")[2]
        return self.first_line.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Sound:
    """Where the other side takes sound, and how: from its SDP."""

    host: str
    port: int
    codec: int


def parse_message(data: bytes) -> Message | None:
    """Reads a datagram; None: it is no SIP."""
    head, _, body = data[:MAX_MESSAGE].decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    if "SIP/2.0" not in first:
        return None
    pairs = (line.partition(":") for line in lines)
    return Message(first, [(name.strip().lower(), value.strip()) for name, _, value in pairs], body)


def write_message(first_line: str, headers: Sequence[tuple[str, str]], body: str = "") -> bytes:
    lines = [first_line, *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def write_offer(host: str, port: int, codecs: Sequence[str]) -> str:
    """Returns the SDP that offers to send and take sound, the preferred codec first."""
    numbers = [number for name in codecs for number, known in CODECS.items() if known == name]
    lines = [
        "v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0",
        f"m=audio {port} RTP/AVP {' '.join(map(str, numbers))} 101",
        *(f"a=rtpmap:{number} {CODECS[number]}/8000" for number in numbers),
        "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=ptime:20", "a=sendrecv",
    ]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


def parse_answer(sdp: str) -> Sound | None:
    """Reads where and how sound is taken; None: nowhere, or with no codec of ours."""
    host = re.search(r"(?m)^c=IN IP[46] (\S+)", sdp)
    media = re.search(r"(?m)^m=audio (\d{1,5}) \S+ ([\d ]+)", sdp)
    if not host or not media:
        return None
    codecs = [int(number) for number in media[2].split() if int(number) in CODECS]
    return Sound(host[1], int(media[1]), codecs[0]) if codecs and int(media[1]) else None


def write_credentials(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """Answers a challenge: the value of Authorization or Proxy-Authorization (MD5, no qop)."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    known = _md5(f"{user}:{realm}:{password}")
    answer = _md5(f"{known}:{nonce}:{_md5(f'{method}:{uri}')}")
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}",'
        f' response="{answer}", algorithm=MD5'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
