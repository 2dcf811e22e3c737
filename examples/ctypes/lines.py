"""Appends the lines of a file durably, and tails them with a stream, in one event loop.

    python3 lines.py DIRECTORY FILE

Needs libwaldo where the loader finds it (LD_LIBRARY_PATH, ldconfig), and nothing from PyPI.
"""

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from itertools import islice
from time import perf_counter

import waldo

LINES_PER_APPEND = 64
APPENDS_UNDER_WAY = 16


def batches(path: str) -> Iterator[list[bytes]]:
    """The lines of a file, several at a time."""
    with open(path, "rb") as file:
        while lines := list(islice(file, LINES_PER_APPEND)):
            yield lines


async def append_file(store: waldo.Store, path: str) -> list[float]:
    """Appends a file; answers how long each append took, in seconds."""
    latencies: list[float] = []
    room = asyncio.Semaphore(APPENDS_UNDER_WAY)

    async def append(lines: list[bytes]) -> None:
        start = perf_counter()
        try:
            await store.append(lines, durable=True)
        finally:
            room.release()
        latencies.append(perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for lines in batches(path):
            await room.acquire()
            group.create_task(append(lines))
    return sorted(latencies)


async def tail(stream: waldo.Stream) -> tuple[int, int, str]:
    """Reads a stream until its store is closed; answers its lines, their bytes and SHA-256."""
    lines, size, digest = 0, 0, hashlib.sha256()
    async for logs in stream:
        for log in logs:
            lines, size = lines + 1, size + len(log.data)
            digest.update(log.data)
    return lines, size, digest.hexdigest()


async def main(directory: str, path: str) -> None:
    async with await waldo.open(directory, file_capacity=16 * 1024 * 1024) as store:
        tailing = asyncio.create_task(tail(store.stream(waldo.CURSOR_TIP)))
        start = perf_counter()
        latencies = await append_file(store, path)
        seconds = perf_counter() - start
    # The store is closed; the stream has gone on to the last log.
    lines, size, digest = await tailing
    print(f"appended {size / 1e6:.2f} MB in {seconds:.2f} s: {size / 1e6 / seconds:.1f} MB/s")
    if latencies:
        median, worst = latencies[len(latencies) // 2], latencies[-1]
        print(f"durable after {median * 1e3:.2f} ms (median), {worst * 1e3:.2f} ms (longest)")
    print(f"tailed {lines} lines, {size} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
