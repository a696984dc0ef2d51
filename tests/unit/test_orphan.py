"""A call's process ends with its worker, before it can store words that were not received."""

import asyncio
import socket
import sys

import pytest

CALL = """
import asyncio, socket, sys
from agent.survival.orphan import ending_with

async def last():
    print("last words", flush=True)
    if sys.argv[2] == "hangs":
        await asyncio.Event().wait()
    raise RuntimeError

async def call():
    connection = socket.socket(fileno=int(sys.argv[1]))
    reader, _ = await asyncio.open_connection(sock=connection)
    with ending_with(connection, last, lambda: print("stopped", flush=True)):
        print("waits", flush=True)
        print((await reader.readexactly(4)).decode(), flush=True)
        await reader.read()
        print("noticed by others", flush=True)

asyncio.run(call())
"""


@pytest.mark.parametrize("writing", ["fails", "hangs"])
async def test_a_call_s_process_ends_after_its_last_words_before_anything_else_knows(
    writing: str,
) -> None:
    worker, other = socket.socketpair()
    number = other.fileno()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CALL, str(number), writing),
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[number],
    )
    other.close()
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"waits\n"
        worker.send(b"ping")
        assert await process.stdout.readline() == b"ping\n"
        worker.close()
        async with asyncio.timeout(20):
            assert await process.stdout.read() == b"last words\nstopped\n"
            assert await process.wait() == 1
    finally:
        worker.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
