"""Records the bytes that a real server sends in every exchange, in tests/wire/<server>/.

    python tests/wire/record.py llama_cpp

Builds the server first if it is missing. An answer is checked before it is saved.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.engines import version
from deploy.setup import report_failures
from tests.live.engines import Engine, running
from tests.live.exchanges import EXCHANGES, Exchange
from tests.live.kinds import KINDS, SERVERS, Kind
from tests.live.receptionist import answer
from tests.wire.recording import Recording, recording_proxy


async def record(kind: Kind) -> bool:
    """Records every exchange of a server; returns whether all answers were as expected.

    An unexpected answer is not saved.
    """
    as_expected = True
    for slow in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            async with running(kind, Path(folder), slow=slow) as engine:
                for name, exchange in EXCHANGES.items():
                    if bool(exchange.kill_after) is not slow or not exchange.is_for(kind):
                        continue
                    recording = await _record(engine, exchange)
                    if recording:
                        print(f"saved: {recording.save(kind.name, name)}")
                    as_expected &= recording is not None
    return as_expected


async def _record(engine: Engine, exchange: Exchange) -> Recording | None:
    recording = Recording(f"{engine.kind.name} {version(engine.kind.engine)}")
    async with (
        recording_proxy(engine.base_url, recording.start_answer) as url,
        engine.provider(base_url=url, **exchange.fields) as provider,
    ):
        found = await answer(
            provider, exchange.request, after=exchange.kill_after, then=engine.kill
        )
    if found.matches(exchange.expected(engine.kind)):
        return recording
    print(f"NOT AS EXPECTED: {exchange.name}: {found}")
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("server", nargs="+", choices=[kind.name for kind in SERVERS])
    chosen = [KINDS[name] for name in parser.parse_args().server]
    return report_failures(lambda: asyncio.run(_record_all(chosen)))


async def _record_all(kinds: Sequence[Kind]) -> int:
    as_expected = [await record(kind) for kind in kinds]
    return 0 if all(as_expected) else 1


if __name__ == "__main__":
    sys.exit(main())
