"""How fast Waldo appends."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from pathlib import Path
from time import perf_counter

import stores
import waldo
from stores import BATCH_COUNT, BATCH_PAYLOAD, MIB, SMALL_PAYLOAD


def batches(directory: Path, size: int, *, durable: bool, depth: int) -> float:
    """Bytes per second of batches, `depth` of them under way; `append_many` where that is 1.

    Half a gigabyte is appended before, so that files are there.
    """
    payloads = [os.urandom(BATCH_PAYLOAD) for _ in range(BATCH_COUNT)]
    batch_size = BATCH_COUNT * BATCH_PAYLOAD
    with stores.bulk(directory, durable=durable, depth=depth) as log:
        for _ in range(512 * MIB // batch_size):
            log.append_many(payloads)
        stores.wait_until_prepared(log)
        start = perf_counter()
        if depth == 1:
            for _ in range(size // batch_size):
                log.append_many(payloads)
        else:
            _pipelined(log, payloads, size // batch_size, depth)
        return size / (perf_counter() - start)


def _pipelined(log: waldo.Waldo, payloads: list[bytes], count: int, depth: int) -> None:
    under_way: deque[waldo.Ticket[range]] = deque()
    for _ in range(count):
        if len(under_way) == depth:
            under_way.popleft().wait()
        under_way.append(log.submit(payloads))
    for ticket in under_way:
        ticket.wait()


def singles(directory: Path, seconds: float) -> float:
    """Durable single appends per second, one after the other."""
    payload = os.urandom(SMALL_PAYLOAD)
    with stores.small(directory) as log:
        log.append(payload)
        stores.wait_until_prepared(log)
        count = 0
        start = perf_counter()
        while (elapsed := perf_counter() - start) < seconds:
            log.append(payload)
            count += 1
        return count / elapsed


def concurrent(directory: Path, seconds: float, tasks: int) -> float:
    """Durable single logs per second, by tasks of one event loop that each wait for their own."""

    async def measure() -> float:
        payload = os.urandom(SMALL_PAYLOAD)
        count = 0
        async with stores.small(directory) as log:
            await log.submit([payload])
            await asyncio.to_thread(stores.wait_until_prepared, log)
            start = perf_counter()

            async def producer() -> None:
                nonlocal count
                while perf_counter() < start + seconds:
                    await log.submit([payload])
                    count += 1

            await asyncio.gather(*(producer() for _ in range(tasks)))
            return count / (perf_counter() - start)

    return asyncio.run(measure())
