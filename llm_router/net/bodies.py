"""Reads the bodies of HTTP responses, however large or compressed, in bounded steps.

A compressed megabyte can hold a gigabyte. Decoded at once, as HTTP libraries do, it stops every
call of the process for as long as that takes.
"""

import math
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import httpx2

from llm_router.clock import checkpoint

ASK_FOR_PLAIN = {"Accept-Encoding": "identity"}
"""Asks for a body that is not compressed: a compressor would also hold words back."""

_STEP = 1 << 16
"""The most bytes that are decoded before other work gets its turn."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_HEAD_SIZE = 2
"""Bytes that tell the format of a body."""
_GZIP = b"\x1f"
_READ = frozenset({"gzip", "x-gzip", "deflate"})
"""Encodings that are read although nothing asked for them: some proxies add them to any answer."""
_NOT_READ = frozenset(
    ("br", "zstd", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip")
)
"""The other names of https://www.iana.org/assignments/http-parameters. Whatever else stands in
the header, such as "none" or "utf-8", is no encoding, and the body is plain."""


async def body_pieces(
    response: httpx2.Response, limit: float = math.inf
) -> AsyncGenerator[bytes, None]:
    """Yields a body piece by piece, decoded.

    Raises httpx2.DecodingError for an encoding that was not asked for or cannot be decoded, and
    for a body of more than `limit` bytes, besides what the network raises.
    """
    size = 0
    async with aclosing(_decoded(response)) as pieces:
        async for piece in pieces:
            size += len(piece)
            if size > limit:
                raise httpx2.DecodingError(f"the answer has more than {limit:,.0f} bytes")
            yield piece


async def read_body(response: httpx2.Response, limit: int) -> bytes:
    """Returns the body, or a little more than `limit` bytes of a longer one without the rest.

    Raises like `body_pieces`.
    """
    body = bytearray()
    async with aclosing(_decoded(response)) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > limit:
                break
    return bytes(body)


def check_encoding(response: httpx2.Response) -> str:
    """Returns the encoding of a body; empty where it is plain.

    Raises httpx2.DecodingError for one that this module does not decode.
    """
    header = response.headers.get("content-encoding", "").lower()
    encodings = [name for each in header.split(",") if (name := each.strip()) in _READ | _NOT_READ]
    if not encodings:
        return ""
    if len(encodings) > 1 or encodings[0] in _NOT_READ:
        raise httpx2.DecodingError(
            f"the answer is compressed ({', '.join(encodings)[:40]}), which was not asked for"
        )
    return encodings[0]


def _decoded(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    return _decompressed(response) if check_encoding(response) else _raw(response)


def _raw(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Returns the pieces as the network brings them; `aiter_raw` hands each on once more."""
    return cast(AsyncGenerator[bytes, None], aiter(cast(httpx2.AsyncByteStream, response.stream)))


async def _decompressed(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Yields a compressed body, which may have several parts; what follows them is left out."""
    decoder = None
    start = b""
    async with aclosing(_raw(response)) as pieces:
        async for piece in pieces:
            rest, start = start + piece, b""
            if decoder is None:
                if len(rest) < _HEAD_SIZE:
                    start = rest
                    continue
                decoder = zlib.decompressobj(_format_of(rest))
            while rest:
                if decoder.eof and not rest.startswith(_GZIP):
                    break
                if decoder.eof:
                    decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
                try:
                    decoded = decoder.decompress(rest, _STEP)
                except zlib.error as error:
                    raise httpx2.DecodingError("the answer cannot be decompressed") from error
                rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                if decoded:
                    yield decoded
                if rest:
                    await checkpoint()


def _format_of(data: bytes) -> int:
    """Returns the format of compressed data: some servers write `deflate` without its header."""
    is_zlib = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:_HEAD_SIZE]) % 31 == 0
    is_gzip = data.startswith(_GZIP)
    return _GZIP_OR_ZLIB if is_zlib or is_gzip else -zlib.MAX_WBITS
