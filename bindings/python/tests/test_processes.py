"""Forks, other processes, exits and kills."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import waldo
from conftest import Script, fill, finished, numbers, payload, small


def in_child(work: Callable[[], None]) -> None:
    """Runs something in a forked child, which must end well and soon."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_everything_refuses_to_work_in_a_child(log: waldo.Waldo) -> None:
    fill(log, 10)
    stream, sink, ticket = log.stream(waldo.Trim), log.sink(), log.submit([payload(11)])
    sink.push(b"")
    ticket.wait()

    def child() -> None:
        calls: list[Callable[[], object]] = [
            lambda: log.append(b""),
            lambda: log.append_many([b""]),
            lambda: log.append_logs([]),
            lambda: log.submit([b""]),
            log.sync,
            log.submit_sync,
            lambda: log.trim(1),
            lambda: log.truncate(1),
            log.clear,
            lambda: log.query(waldo.Trim),
            lambda: log.stream(waldo.Trim),
            log.sink,
            log.metadata,
            lambda: log.prev_seq_no,
            lambda: log.recovery_report,
            log.close,
            log.aclose,
            log.__enter__,
            stream.next,
            stream.try_next,
            stream.fileno,
            stream.close,
            lambda: next(stream),
            stream.__anext__,
            lambda: stream.seek(0),
            lambda: sink.push(b""),
            sink.flush,
            ticket.wait,
            ticket.done,
            ticket.__await__,
        ]
        for call in calls:
            with pytest.raises(waldo.ForkedError):
                call()

    in_child(child)
    # The parent's is as it was.
    sink.flush()
    assert log.append(payload(13)) == 13
    assert stream.next().first_seq_no == 1


def test_chunks_can_be_read_in_a_child(log: waldo.Waldo) -> None:
    fill(log, 10)
    chunk = next(log.query(waldo.Trim))
    views = chunk.views()

    def child() -> None:
        assert [bytes(view) for view in views] == chunk.payloads()
        assert numbers([chunk]) == list(range(1, 11))
        assert [bytes(view) for view in chunk.views()] == chunk.payloads()

    in_child(child)
    assert numbers([chunk]) == list(range(1, 11))


def test_a_child_has_stores_of_its_own(log: waldo.Waldo, tmp_path: Path) -> None:
    def child() -> None:
        with waldo.open(tmp_path / "child", create=True) as own:
            assert own.append(b"one") == 1
            assert own.submit([b"two"]).wait() == range(2, 3)
        with pytest.raises(waldo.LockedError):
            waldo.open(log.path)

    in_child(child)
    with waldo.open(tmp_path / "child") as own:
        assert own.prev_seq_no == 2


def test_a_child_frees_no_lock_and_keeps_none(script: Script, directory: Path) -> None:
    """It ends as programs end, with the parent's objects in it, while the parent goes on."""
    process = script(
        """
        log = waldo.open(sys.argv[1], create=True, **small())
        fill(log, 10)
        stream, chunk = log.stream(waldo.Trim), next(log.query(waldo.Trim))
        views = chunk.views()
        inside, outside = os.pipe()
        pid = os.fork()
        if pid == 0:
            if os.fork() == 0:
                # A grandchild outlives them all.
                os.close(outside)
                os.read(inside, 1)
                del log, stream, chunk, views
            sys.exit(0)
        os.waitpid(pid, 0)
        try:
            waldo.open(log.path, **small())
        except waldo.LockedError as error:
            print(error.pid == os.getpid())
        fill(log, 10)
        log.close()
        with waldo.open(log.path, **small()) as log:
            print(log.prev_seq_no)
        os.write(outside, b"x")
        """,
        directory,
    )
    assert finished(process) == "True\n20\n"


def test_a_child_of_a_program_that_waits(script: Script, directory: Path) -> None:
    """A fork while other threads are in the middle of everything."""
    process = script(
        """
        # From Python 3.12 on: the very thing that is tested here.
        import warnings
        warnings.simplefilter("ignore")
        log = waldo.open(sys.argv[1], create=True, **small())
        fill(log, 1)
        stop = threading.Event()

        def append():
            while not stop.is_set():
                log.append_many([b"x" * 100] * 10)

        def read():
            for chunk in log.stream(waldo.Trim):
                chunk.payloads()

        def submit():
            while not stop.is_set():
                log.submit([b"x"] * 10).wait()

        threads = [threading.Thread(target=work) for work in (append, append, read, read, submit)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            pid = os.fork()
            if pid == 0:
                try:
                    log.append(b"")
                except waldo.ForkedError:
                    sys.exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        stop.set()
        log.close()
        for thread in threads:
            thread.join()
        """,
        directory,
    )
    assert finished(process) == ""


def work(path: str) -> int:
    """What a worker of `multiprocessing` does: opens its own store."""
    with waldo.open(path, create=True, **small()) as log:
        fill(log, 100)
        return sum(numbers(log.query(waldo.Trim)))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(log: waldo.Waldo, tmp_path: Path, method: str) -> None:
    fill(log, 10)
    stream = log.stream(waldo.Tip)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map(work, [str(tmp_path / "a"), str(tmp_path / "b")]) == [5050, 5050]
    fill(log, 1)
    assert numbers([stream.next()]) == [11]


def test_what_was_acknowledged_survives_a_kill(script: Script, directory: Path) -> None:
    process = script(
        """
        log = waldo.open(sys.argv[1], create=True, **small())
        while True:
            print(log.append(payload(log.prev_seq_no + 1)), flush=True)
        """,
        directory,
    )
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 500:
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, process.stdout.read().split("\n")[:-1])])
    with waldo.open(directory, **small()) as log:
        assert log.prev_seq_no >= acknowledged
        found = numbers(log.query(waldo.Trim))
        assert found == list(range(1, log.prev_seq_no + 1))
        assert log.append(payload(log.prev_seq_no + 1)) == found[-1] + 1


EXITS = {
    "open": "pass",
    "streams": "streams = [log.stream(waldo.Tip) for _ in range(10)]; streams[0].fileno()",
    "chunk and views": "chunk = next(log.query(waldo.Trim)); views = chunk.views()",
    "reference cycle": "cycle = [log, log.stream(waldo.Tip)]; cycle.append(cycle)",
    "daemon that reads": """
def read():
    for chunk in log.stream(waldo.Trim):
        chunk.payloads()
threading.Thread(target=read, daemon=True).start()
""",
    # It was told of the close by an exception that nobody catches.
    "daemon that waits for a chunk": """
threading.Thread(target=lambda: log.stream(waldo.Tip).next(), daemon=True).start()
time.sleep(0.1)
""",
    "daemons that do everything": """
def append():
    while True:
        log.append_many([b"x" * 100] * 10)
def read():
    while True:
        for chunk in log.query(waldo.Trim):
            chunk.views()
def submit():
    while True:
        log.submit([b"x"]).wait()
for work in (append, append, read, read, submit):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
""",
    "daemon with a loop": """
async def main():
    async for chunk in log.stream(waldo.Trim):
        pass
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
""",
    "loop that was never closed": """
async def main():
    await log.submit([b"x"])
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
""",
    "exit inside a loop": """
async def main():
    async with waldo.open(sys.argv[1] + "-more", create=True) as more:
        stream = asyncio.ensure_future(anext(log.stream(waldo.Tip)))
        tickets = [more.submit([b"x"]) for _ in range(3000)]
        await asyncio.sleep(0)
        sys.exit(0)
asyncio.run(main())
""",
    "handler that uses it": """
import atexit
atexit.register(log.append, b"last")
""",
    "sink": "sink = log.sink(); sink.push(b'lost'); sink.flush(); sink.push(b'lost, too')",
}


@pytest.mark.parametrize("rest", EXITS.values(), ids=EXITS)
def test_a_program_ends_without_a_hang_and_without_a_word(
    script: Script, directory: Path, rest: str
) -> None:
    # Not in development mode: asyncio has a word to say there about loops that are not closed.
    process = script(
        'import warnings; warnings.simplefilter("ignore")\n'
        "log = waldo.open(sys.argv[1], create=True, **small())\nfill(log, 10)\n" + rest,
        directory,
    )
    assert finished(process) == ""
    with waldo.open(directory, **small()) as log:
        assert log.recovery_report.dropped is None
        assert numbers([next(log.query(waldo.Trim))][:0]) == []
        assert log.prev_seq_no >= 10


def test_what_was_submitted_is_finished_at_the_exit(script: Script, directory: Path) -> None:
    process = script(
        """
        log = waldo.open(sys.argv[1], create=True, **small())

        async def main():
            for _ in range(5000):
                log.submit([b"x"])

        asyncio.run(main())
        """,
        directory,
    )
    assert finished(process) == ""
    with waldo.open(directory, **small()) as log:
        assert log.prev_seq_no == 5000


def test_a_store_of_a_thread_that_outlives_the_main_thread(script: Script, directory: Path) -> None:
    process = script(
        """
        def append():
            threading.main_thread().join()
            print([log.append(b"x") for _ in range(3)])

        log = waldo.open(sys.argv[1], create=True, **small())
        threading.Thread(target=append).start()
        """,
        directory,
    )
    assert finished(process) == "[1, 2, 3]\n"
