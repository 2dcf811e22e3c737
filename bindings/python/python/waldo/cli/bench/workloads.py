"""What is measured."""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import waldo
from waldo.cli.bench.results import Append, Commit, Fanout, Results
from waldo.cli.output import Bar, size

_BATCH_COUNT = 2048
_BATCH_PAYLOAD = 1024
_SMALL_PAYLOAD = 256
# Batches under way at a time.
_DEPTH = 3
_TASKS = (1, 16, 256)
_STREAMS = (1, 100, 1000)
# Logs of one append in the fan-out.
_FANOUT_BATCH = 100
# How often the bar moves, seconds.
_TICK = 0.1


@dataclass(frozen=True)
class Setting:
    """What all measurements share."""

    seconds: float
    durable: bool


def measure(directory: Path, scenarios: Sequence[str], setting: Setting) -> Results:
    """Measures each of the scenarios, in a store of its own."""
    results = Results()
    if "append" in scenarios:
        with _open(directory / "append", setting) as log:
            results.append = _append(log, setting.seconds)
    if "commit" in scenarios:
        with _open(directory / "commit", setting) as log:
            results.commit = [asyncio.run(_commit(log, tasks, setting.seconds)) for tasks in _TASKS]
    if "fanout" in scenarios:
        with _open(directory / "fanout", setting) as log:
            results.fanout = [
                asyncio.run(_fanout(log, streams, setting.seconds)) for streams in _STREAMS
            ]
    return results


def _open(directory: Path, setting: Setting) -> waldo.Waldo:
    return waldo.open(directory, create=True, file_o_dsync=setting.durable)


def _append(log: waldo.Waldo, seconds: float) -> Append:
    batch = [os.urandom(_BATCH_PAYLOAD) for _ in range(_BATCH_COUNT)]
    samples: list[tuple[float, float]] = []
    under_way: deque[waldo.Ticket[range]] = deque()
    batches = 0
    with Bar("append") as bar:
        start = last = perf_counter()
        batches_at_last = 0
        while (now := perf_counter()) < start + seconds or not batches:
            under_way.append(log.submit(batch))
            if len(under_way) == _DEPTH:
                under_way.popleft().wait()
                batches += 1
            if now - last >= _TICK:
                rate = (batches - batches_at_last) * _BATCH_COUNT * _BATCH_PAYLOAD / (now - last)
                samples.append((now - start, rate))
                bar.show((now - start) / seconds, f"{size(rate)}/s")
                last, batches_at_last = now, batches
        while under_way:
            under_way.popleft().wait()
            batches += 1
        elapsed = perf_counter() - start
    logs_per_second = batches * _BATCH_COUNT / elapsed
    return Append(logs_per_second * _BATCH_PAYLOAD, logs_per_second, samples)


async def _commit(log: waldo.Waldo, tasks: int, seconds: float) -> Commit:
    payload = os.urandom(_SMALL_PAYLOAD)
    latencies: list[float] = []
    start = perf_counter()
    end = start + seconds

    async def producer() -> None:
        now = perf_counter()
        while now < end:
            await log.submit([payload])
            latencies.append(-now + (now := perf_counter()))

    with Bar(f"commit, {tasks:4} tasks") as bar:
        watch = asyncio.create_task(_show(bar, seconds, lambda: f"{len(latencies):,} commits"))
        await asyncio.gather(*(producer() for _ in range(tasks)))
        elapsed = perf_counter() - start
        watch.cancel()
    latencies.sort()
    return Commit(
        tasks,
        len(latencies) / elapsed,
        _percentile(latencies, 0.5) * 1e6,
        _percentile(latencies, 0.99) * 1e6,
        latencies[-1] * 1e6,
    )


async def _fanout(log: waldo.Waldo, streams: int, seconds: float) -> Fanout:
    batch = [os.urandom(_SMALL_PAYLOAD)] * _FANOUT_BATCH
    deliveries = _Deliveries()
    opened = [log.stream(waldo.Tip) for _ in range(streams)]
    readers = [asyncio.create_task(deliveries.count_from(stream)) for stream in opened]
    appended = 0
    start = perf_counter()
    with Bar(f"fan-out, {streams:4} streams") as bar:
        watch = asyncio.create_task(_show(bar, seconds, lambda: f"{appended:,} logs"))
        while perf_counter() < start + seconds or not appended:
            appended += len(await log.submit(batch))
            # Not far ahead of the readers.
            await deliveries.reach(streams * (appended - _DEPTH * _FANOUT_BATCH))
        await deliveries.reach(streams * appended)
        elapsed = perf_counter() - start
        watch.cancel()
    for stream in opened:
        stream.close()
    await asyncio.gather(*readers)
    return Fanout(streams, appended / elapsed, deliveries.count / elapsed)


class _Deliveries:
    """Counts the logs that all streams together have returned."""

    def __init__(self) -> None:
        self.count = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    async def count_from(self, stream: waldo.Stream) -> None:
        """Counts what a stream returns, until it is closed."""
        async for chunk in stream:
            self.count += len(chunk)
            if self.count >= self._wanted:
                self._reached.set()

    async def reach(self, count: int) -> None:
        """Waits until so many logs were returned."""
        self._wanted = count
        self._reached.clear()
        while self.count < count:
            await self._reached.wait()


async def _show(bar: Bar, seconds: float, detail: Callable[[], str]) -> None:
    start = perf_counter()
    while True:
        await asyncio.sleep(_TICK)
        bar.show((perf_counter() - start) / seconds, detail())


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(math.ceil(len(ordered) * share), len(ordered)) - 1]
