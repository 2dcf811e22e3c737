"""The same objects in asyncio, and in uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
import waldo
from conftest import fill, numbers, payload, small

Run = Callable[[Awaitable[None]], None]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine to its end, in a new event loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None
    with asyncio.Runner(debug=True, loop_factory=factory) as runner:
        yield runner.run  # type: ignore[misc]


def test_all_of_it(run: Run, directory: Path) -> None:
    async def main() -> None:
        async with waldo.open(directory, create=True, **small()) as log:
            assert await log.submit([payload(1), payload(2)]) == range(1, 3)
            await log.submit_logs([waldo.Log(3, 2, payload(3))])
            found = [number async for chunk in log.query(waldo.Trim) for number in numbers([chunk])]
            assert found == [1, 2, 3]
            await log.submit_sync()
            await log.submit_trim(1)
            await log.submit_truncate(2)
            assert numbers([await anext(log.stream(waldo.Trim))]) == [2]
            await log.submit_clear()
            assert log.prev_seq_no == 0
        assert log.closed
        log = await waldo.open(directory, **small())
        await log.aclose()
        await log.aclose()

    run(main())


def test_opening_fails_where_it_is_awaited(run: Run, directory: Path) -> None:
    async def main() -> None:
        opening = waldo.open(directory)
        for _ in range(2):
            with pytest.raises(waldo.StoreNotFoundError):
                await opening
        with pytest.raises(waldo.StoreNotFoundError):
            async with opening:
                pass
        with pytest.raises(waldo.StoreNotFoundError):
            opening.append(b"")

    run(main())


def test_a_store_is_used_before_it_is_awaited(run: Run, directory: Path) -> None:
    async def main() -> None:
        log = waldo.open(directory, create=True, **small())
        assert log.append(b"one") == 1
        assert await log is log
        log.close()
        with waldo.open(directory, **small()) as log:
            assert log.prev_seq_no == 1

    run(main())


def test_a_store_that_is_not_awaited_goes_away(run: Run, directory: Path) -> None:
    async def main() -> None:
        waldo.open(directory, create=True, **small())
        while True:
            try:
                async with waldo.open(directory, create=True, **small()):
                    break
            except waldo.LockedError:
                await asyncio.sleep(0)

    run(main())


def test_a_thousand_submits_at_once(run: Run, directory: Path) -> None:
    options = small()
    # Room for all of them, should each be a write of its own.
    options["file_capacity"] = 4 * 1024 * 1024

    async def main() -> None:
        async with waldo.open(directory, create=True, **options) as log:

            async def one(at: int) -> None:
                own = await log.submit([b"%d" % at])
                found = log.query(waldo.From(own.start))
                assert (await anext(found))[0].data == b"%d" % at

            await asyncio.gather(*(one(at) for at in range(1000)))
            assert log.prev_seq_no == 1000

    run(main())


def test_more_than_there_is_room_for(run: Run, directory: Path) -> None:
    """Nobody blocks the loop; what waits for room keeps its order."""

    async def main() -> None:
        async with waldo.open(directory, create=True, **small()) as log:
            tickets = [log.submit([b"%d" % at]) for at in range(5000)]
            tickets += [log.submit([b"%d" % at * 9000]) for at in range(5000, 5040)]
            sync = log.submit_sync()
            ranges = [await ticket for ticket in tickets]
            await sync
            assert [own.start for own in ranges] == list(range(1, 5041))
            # And again, to be finished by the close.
            tickets = [log.submit([b"%d" % at]) for at in range(5000)]
        assert log.prev_seq_no == 10_040
        assert (await tickets[-1]).start == 10_040

    run(main())


def test_what_waits_for_a_buffer_is_not_in_the_way_of_itself(run: Run, directory: Path) -> None:
    """Of two that wait, the second must not hold the buffer that the first needs."""

    async def main() -> None:
        options = {**small(), "pool_size": 1}
        async with waldo.open(directory, create=True, **options) as log:  # type: ignore[arg-type]
            tickets = [log.submit([bytes(10_000)]) for _ in range(1000)]
            assert (await tickets[-1]).start == 1000

    run(main())


def test_what_blocks_comes_after_what_was_submitted(run: Run, directory: Path) -> None:
    async def main() -> None:
        async with waldo.open(directory, create=True, **small()) as log:
            tickets = [log.submit([b"%d" % at]) for at in range(3000)]
            assert log.append(b"last") == 3001
            assert all(ticket.done() for ticket in tickets)

    run(main())


def test_a_close_ends_what_waits_for_room_that_never_comes(run: Run, directory: Path) -> None:
    async def main() -> None:
        log = await waldo.open(directory, create=True, retention="hold", **small())
        tickets = [log.submit([bytes(10_000)]) for _ in range(3000)]
        await log.aclose()
        results = await asyncio.gather(*tickets, return_exceptions=True)
        appended = [own for own in results if isinstance(own, range)]
        assert len(appended) == log.prev_seq_no > 0
        failed = {type(own) for own in results if not isinstance(own, range)}
        assert failed
        assert failed <= {waldo.FullError, waldo.ClosedError}

    run(main())


def test_trims_make_room_for_what_waits(run: Run, directory: Path) -> None:
    async def main() -> None:
        async with waldo.open(directory, create=True, retention="hold", **small()) as log:
            tickets = [log.submit([bytes(10_000)]) for _ in range(2000)]
            async for chunk in log.stream(waldo.Trim):
                await log.submit_trim(chunk.last_seq_no)
                if chunk.last_seq_no == 2000:
                    break
            assert (await tickets[-1]).start == 2000

    run(main())


def test_a_ticket_is_awaited_by_many(run: Run, log: waldo.Waldo) -> None:
    async def main() -> None:
        ticket = log.submit([b"one"])

        async def wait() -> range:
            return await ticket

        assert await asyncio.gather(*(wait() for _ in range(10))) == [range(1, 2)] * 10
        assert await ticket == range(1, 2)

    run(main())


def test_a_cancelled_await_cancels_no_write(run: Run, log: waldo.Waldo) -> None:
    async def main() -> None:
        tickets = []
        for at in range(200):
            ticket = log.submit([b"%d" % at])
            tickets.append(ticket)
            waiting = asyncio.ensure_future(ticket)
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        assert [await ticket for ticket in tickets] == [range(at, at + 1) for at in range(1, 201)]

    run(main())


def test_timeouts(run: Run, log: waldo.Waldo) -> None:
    async def main() -> None:
        stream = log.stream(waldo.Tip)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await anext(stream)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.001)
        fill(log, 10)
        assert numbers([await asyncio.wait_for(anext(stream), 10)]) == list(range(1, 11))

    run(main())


def test_streams_end_and_fail_as_in_threads(run: Run, directory: Path) -> None:
    async def main() -> None:
        log = await waldo.open(directory, create=True, **small())
        fill(log, 100)
        stream, trimmed = log.stream(waldo.Trim), log.stream(waldo.After(10))
        log.trim(50)
        with pytest.raises(waldo.TrimmedError):
            await anext(trimmed)
        assert numbers([await anext(trimmed)]) == list(range(51, 101))
        found: list[int] = []

        async def read() -> None:
            async for chunk in stream:
                found.extend(numbers([chunk]))

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        await log.aclose()
        await reading
        assert found == list(range(51, 101))
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main())


def test_one_task_at_a_time_uses_a_stream(run: Run, log: waldo.Waldo) -> None:
    async def main() -> None:
        stream = log.stream(waldo.Tip)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        for use in (stream.next, stream.try_next, lambda: stream.seek(0)):
            with pytest.raises(waldo.BusyError):
                use()
        with pytest.raises(waldo.BusyError):
            await anext(stream)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        # It is free again.
        assert stream.try_next() is None
        # One that is never awaited takes nothing.
        anext(stream)
        fill(log, 1)
        assert numbers([await anext(stream)]) == [1]

    run(main())


def test_a_close_ends_a_wait(run: Run, log: waldo.Waldo) -> None:
    async def main() -> None:
        stream = log.stream(waldo.Tip)

        async def read() -> list[waldo.Chunk]:
            return [chunk async for chunk in stream]

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        stream.close()
        assert await reading == []

    run(main())


def test_a_busy_stream_lets_others_have_their_turn(run: Run, log: waldo.Waldo) -> None:
    fill(log, 10)

    async def main() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        stream = log.stream(waldo.Trim)
        for _ in range(1000):
            # There is always something, so that it never has to wait.
            assert numbers([await anext(stream)]) == list(range(1, 11))
            stream.seek(0)
        assert turns > 1000 // 32
        task.cancel()

    run(main())


def test_hundreds_of_streams_in_one_loop(run: Run, log: waldo.Waldo) -> None:
    async def main() -> None:
        async def read(stream: waldo.Stream) -> int:
            position = 0
            async for chunk in stream:
                assert chunk.first_seq_no == position + 1
                position = chunk.last_seq_no
                if position == 1000:
                    break
            return position

        reading = [asyncio.create_task(read(log.stream(waldo.Trim))) for _ in range(200)]
        for at in range(100):
            await log.submit([b"%d" % at] * 10)
        assert await asyncio.gather(*reading) == [1000] * 200

    run(main())


def test_ten_thousand_cancellations_lose_and_repeat_nothing(run: Run, log: waldo.Waldo) -> None:
    """At random moments: before a chunk is there, when the task is woken for it, after it."""
    chance = random.Random(4711)
    stop = threading.Event()

    def append() -> None:
        while not stop.is_set():
            log.append_many([b"x"] * chance.randrange(1, 5))

    async def main() -> None:
        stream = log.stream(waldo.Trim)
        position = 0
        cancelled = {"waiting": 0, "woken": 0}

        async def read() -> None:
            nonlocal position
            async for chunk in stream:
                assert chunk.first_seq_no == position + 1
                assert chunk.seq_nos.tolist() == list(range(position + 1, chunk.last_seq_no + 1))
                position = chunk.last_seq_no

        for _ in range(10_000):
            task = asyncio.create_task(read())
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            before = position
            tip = log.prev_seq_no
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert position == before
            cancelled["woken" if tip > position else "waiting"] += 1
        # Both kinds were met.
        assert min(cancelled.values()) > 10, cancelled
        stop.set()
        thread.join()
        while position < log.prev_seq_no:
            chunk = await anext(stream)
            assert chunk.first_seq_no == position + 1
            position = chunk.last_seq_no

    thread = threading.Thread(target=append)
    thread.start()
    try:
        run(main())
    finally:
        stop.set()
        thread.join()


def test_a_chunk_survives_the_cancellation_of_a_task_that_was_woken(log: waldo.Waldo) -> None:
    async def main() -> None:
        stream = log.stream(waldo.Tip)
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        ticket = log.submit([b"one"])
        ticket.wait()
        # The loop finds the wake-up and the cancellation in the same turn.
        loop = asyncio.get_running_loop()
        loop.call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await anext(stream)).payloads() == [b"one"]

    asyncio.run(main())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_is_closed_while_something_waits(
    log: waldo.Waldo, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    fill(log, 1)
    gc.collect()
    descriptors = open_files()
    gone: list[weakref.ref[object]] = []
    for _ in range(20):
        loop = factory()
        loop.set_exception_handler(lambda *_: None)
        stream = log.stream(waldo.Tip)

        async def wait(stream: waldo.Stream = stream) -> None:
            await anext(stream)

        task = loop.create_task(wait())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        gone += [weakref.ref(loop), weakref.ref(task)]
        # It wakes what waits there, where nobody is any more.
        fill(log, 1)
        del loop, task, stream, wait
    gc.collect()
    assert [found for found in gone if found() is not None] == []
    assert open_files() == descriptors
    assert log.metadata().waiting_streams == 0


def test_loops_in_several_threads(log: waldo.Waldo) -> None:
    async def main() -> None:
        stream = log.stream(waldo.Tip)
        own = await log.submit([b"one"])
        position = 0
        while position < own.start:
            position = (await anext(stream)).last_seq_no

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.prev_seq_no == 8


def test_loops_that_take_turns_in_one_thread(log: waldo.Waldo) -> None:
    loops = [asyncio.new_event_loop() for _ in range(3)]
    descriptors = open_files()

    async def submit() -> range:
        return await log.submit([b"one"])

    for _ in range(10):
        for loop in loops:
            loop.run_until_complete(submit())
    assert log.prev_seq_no == 30
    # One descriptor for each loop, however often they take turns.
    assert open_files() == descriptors + len(loops)
    for loop in loops:
        loop.close()


def test_awaiting_without_a_loop(log: waldo.Waldo) -> None:
    waiting = anext(log.stream(waldo.Tip)).__await__()
    with pytest.raises(RuntimeError, match="no running event loop"):
        next(waiting)
