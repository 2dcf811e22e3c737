"""How fast Waldo's logs are read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time

import stores
import waldo
from stores import BATCH_PAYLOAD, SMALL_PAYLOAD


def payloads(directory: Path, seconds: float) -> float:
    """Bytes per second of the hot tail as `bytes`."""
    return _hot(directory, seconds, waldo.Chunk.payloads)


def views(directory: Path, seconds: float) -> float:
    """Bytes per second of the hot tail as views."""
    return _hot(directory, seconds, waldo.Chunk.views)


def arrow(directory: Path, seconds: float) -> float:
    """Bytes per second of the hot tail as Arrow record batches. Needs `pyarrow`."""
    return _hot(directory, seconds, import_module("pyarrow").record_batch)


def _hot(directory: Path, seconds: float, take: Callable[[waldo.Chunk], object]) -> float:
    with stores.hot(directory) as log:
        count = 0
        start = perf_counter()
        while (elapsed := perf_counter() - start) < seconds:
            for chunk in log.query(waldo.Trim):
                take(chunk)
                count += len(chunk)
        return count * BATCH_PAYLOAD / elapsed


@dataclass(frozen=True)
class Fanout:
    """How streams followed a writer."""

    # Logs per second that every stream returned.
    rate: float
    # From when the last log was due until every stream had returned it.
    delay: float
    # Processor seconds per second.
    load: float


def fanout(directory: Path, streams: int, rate: int, seconds: float) -> Fanout:
    """Streams of one event loop that follow a writer of the same loop, of `rate` logs a second."""

    async def measure() -> Fanout:
        batch = [os.urandom(SMALL_PAYLOAD)] * (rate // 100)
        total = round(seconds * 100) * len(batch)
        async with stores.small(directory) as log:
            readers = [
                asyncio.create_task(_read(stream, total))
                for stream in [log.stream(waldo.Tip) for _ in range(streams)]
            ]
            start = perf_counter()
            cpu = process_time()
            for tick in range(total // len(batch)):
                log.submit(batch)
                due = start + (tick + 1) / 100
                await asyncio.sleep(max(due - perf_counter(), 0))
            await asyncio.gather(*readers)
            elapsed = perf_counter() - start
            load = (process_time() - cpu) / elapsed
        return Fanout(total / elapsed, elapsed - seconds, load)

    return asyncio.run(measure())


async def _read(stream: waldo.Stream, count: int) -> None:
    async for chunk in stream:
        count -= len(chunk)
        if count <= 0:
            return
