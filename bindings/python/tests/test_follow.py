"""Following a store from outside, and checking one."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import threading
from pathlib import Path

import pytest
import waldo
from conftest import Script, fill, finished, numbers, payload, small

WRITER = """
log = waldo.open(sys.argv[1], create=True, **small())
print("open", flush=True)
for line in sys.stdin:
    fill(log, int(line))
    print(log.prev_seq_no, flush=True)
log.close()
"""


class Writer:
    """A process that has a store open."""

    def __init__(self, script: Script, directory: Path) -> None:
        self.process = script(WRITER, directory)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "open\n"

    def fill(self, count: int) -> int:
        """Has it append logs, and answers the number of the last."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture
def writer(script: Script, directory: Path) -> Writer:
    return Writer(script, directory)


def test_the_writer_does_not_notice(writer: Writer, directory: Path) -> None:
    writer.fill(100)
    with waldo.follow(directory) as follower:
        assert follower.path == str(directory)
        assert numbers(follower.query(waldo.Trim)) == list(range(1, 101))
        assert numbers(follower.query(waldo.From(90))) == list(range(90, 101))
        assert numbers(follower.query(waldo.Tip)) == []
        metadata = follower.metadata()
        assert (metadata.prev_seq_no, metadata.log_count) == (100, 100)
        assert metadata.writer_pid == writer.process.pid
        assert metadata.ring_size == 3
        assert len(metadata.store_id) == 32
        assert follower.cursor_of_last(10) == waldo.After(90)
        assert numbers(follower.query(follower.cursor_of_last(1000))) == list(range(1, 101))
        with pytest.raises(waldo.LockedError):
            waldo.open(directory, **small())
        writer.fill(10)
        assert follower.metadata().prev_seq_no == 110
    assert finished(writer.process) == ""


def test_logs_arrive_in_a_for_loop(writer: Writer, directory: Path) -> None:
    follower = waldo.follow(directory)
    stream = follower.stream(waldo.Trim)
    follower.close()
    found: list[int] = []

    def read() -> None:
        for chunk in stream:
            found.extend(numbers([chunk]))
            if found[-1] == 3000:
                return

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(30):
        writer.fill(100)
    thread.join()
    assert found == list(range(1, 3001))


def test_logs_arrive_in_asyncio(writer: Writer, directory: Path) -> None:
    async def main() -> None:
        with waldo.follow(directory, watch="poll", poll_interval=0.005) as follower:
            streams = [follower.stream(waldo.Trim) for _ in range(3)]
        waiting = [asyncio.create_task(read(stream)) for stream in streams]
        for _ in range(10):
            await asyncio.to_thread(writer.fill, 50)
        assert await asyncio.gather(*waiting) == [list(range(1, 501))] * 3

    async def read(stream: waldo.Stream) -> list[int]:
        found: list[int] = []
        async for chunk in stream:
            found += numbers([chunk])
            if found[-1] == 500:
                break
        return found

    asyncio.run(main())


def test_logs_arrive_in_a_selector(writer: Writer, directory: Path) -> None:
    stream = waldo.follow(directory).stream(waldo.Trim)
    assert stream.fileno() >= 0
    assert stream.try_next() is None
    for count in (10, 20, 30):
        last = writer.fill(count)
        found: list[int] = []
        while not found or found[-1] < last:
            assert select.select([stream], [], [], 10)[0]
            while (chunk := stream.try_next()) is not None:
                found += numbers([chunk])
        assert found == list(range(last - count + 1, last + 1))


def test_waits_end(writer: Writer, directory: Path) -> None:
    writer.fill(1)
    stream = waldo.follow(directory).stream(waldo.Tip)
    with pytest.raises(TimeoutError):
        stream.next(0.01)

    async def cancelled() -> None:
        for _ in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await anext(stream)

    asyncio.run(cancelled())
    thread = threading.Thread(target=lambda: list(stream))
    thread.start()
    while True:
        try:
            stream.try_next()
        except waldo.BusyError:
            break
    stream.close()
    thread.join()
    assert list(stream) == []


def test_positions_and_errors(log: waldo.Waldo) -> None:
    fill(log, 100)
    follower = waldo.follow(log.path)
    stream = follower.stream(waldo.After(10))
    assert stream.position == 10
    # The ring goes round, over what was to be read.
    fill(log, 60_000)
    with pytest.raises(waldo.TrimmedError) as trimmed:
        stream.next()
    first = trimmed.value.oldest
    assert numbers([stream.next()])[0] == first > 100
    stream.seek(60_000)
    assert numbers([stream.next()])[:10] == list(range(60_001, 60_011))
    stream.seek(60_100)
    log.truncate(60_050)
    fill(log, 1)
    with pytest.raises(waldo.TruncatedError) as truncated:
        stream.next(10)
    assert truncated.value.tip == 60_050
    assert numbers([stream.next(10)]) == [60_051]
    follower.close()
    follower.close()
    for call in (follower.metadata, lambda: follower.query(waldo.Trim)):
        with pytest.raises(waldo.ClosedError):
            call()


def test_a_query_ends_beside_a_busy_writer(log: waldo.Waldo) -> None:
    fill(log, 1)
    stop = threading.Event()

    def append() -> None:
        while not stop.is_set():
            fill(log, 100)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        with waldo.follow(log.path) as follower:
            for _ in range(10):
                found: list[int] = []
                query = follower.query(waldo.Trim)
                while True:
                    try:
                        found += numbers(list(query))
                        break
                    except waldo.TrimmedError:
                        found.clear()
                assert found == list(range(found[0], found[-1] + 1)) if found else True
    finally:
        stop.set()
        thread.join()


def test_only_what_is_durable(log: waldo.Waldo) -> None:
    with waldo.follow(log.path, durable_only=True) as follower:
        stream = follower.stream(waldo.Trim)
        fill(log, 1)
        # The proof of a write is in the next one.
        assert numbers(follower.query(waldo.Trim)) == []
        fill(log, 1)
        assert numbers([stream.next(10)]) == [1]
        log.close()
        assert numbers([stream.next(10)]) == [2]


def test_a_directory_that_goes_away(log: waldo.Waldo) -> None:
    fill(log, 10)
    stream = waldo.follow(log.path).stream(waldo.Trim)
    log.close()
    shutil.rmtree(log.path)
    assert numbers([stream.next(10)]) == list(range(1, 11))
    with pytest.raises(waldo.GoneError):
        stream.next(10)


def test_what_cannot_be_followed(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(waldo.StoreNotFoundError):
            waldo.follow(path)
        with pytest.raises(waldo.StoreNotFoundError):
            waldo.verify(path)
    (tmp_path / "0000000000.page").write_bytes(b"something else" * 1000)
    with pytest.raises(waldo.NotAStoreError):
        waldo.follow(tmp_path)
    with pytest.raises(waldo.OptionError, match="poll_interval"):
        waldo.follow(tmp_path, poll_interval=0)
    with pytest.raises(waldo.OptionError, match="one of auto, poll"):
        waldo.follow(tmp_path, watch="never")  # type: ignore[arg-type]


def test_forks(log: waldo.Waldo) -> None:
    fill(log, 10)
    follower = waldo.follow(log.path)
    stream = follower.stream(waldo.Tip)
    with pytest.raises(TimeoutError):
        stream.next(0)
    pid = os.fork()
    if pid == 0:
        try:
            for call in (follower.metadata, stream.next):
                with pytest.raises(waldo.ForkedError):
                    call()
            # One of the child's own works, waiting included.
            with waldo.follow(follower.path) as own:
                assert own.metadata().prev_seq_no == 10
                with pytest.raises(TimeoutError):
                    own.stream(waldo.Tip).next(0.01)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    fill(log, 1)
    assert numbers([stream.next(10)]) == [11]


def test_interrupts(script: Script, log: waldo.Waldo) -> None:
    fill(log, 1)
    process = script(
        """
        stream = waldo.follow(sys.argv[1]).stream(waldo.Tip)
        print("waits", flush=True)
        try:
            stream.next()
        except KeyboardInterrupt:
            print("interrupted")
        """,
        log.path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    while "futex" not in Path(f"/proc/{process.pid}/wchan").read_text():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert finished(process) == "interrupted\n"


def test_an_exit_while_something_follows(script: Script, log: waldo.Waldo) -> None:
    fill(log, 10)
    process = script(
        """
        def read():
            for chunk in waldo.follow(sys.argv[1]).stream(waldo.Trim):
                print(len(chunk), flush=True)

        threading.Thread(target=read, daemon=True).start()
        stream = waldo.follow(sys.argv[1]).stream(waldo.Trim)
        stream.next()
        """,
        log.path,
    )
    # The other thread may be in the middle of it when the program ends.
    assert finished(process) in {"10\n", "10", ""}


def test_whoever_keeps_everything_reads_on(directory: Path) -> None:
    with waldo.open(directory, create=True, **small()) as log:
        fill(log, 30_000)
        chunks = list(waldo.follow(directory).query(waldo.Trim))
    found = numbers(chunks)
    assert found == list(range(found[0], 30_001))


def test_an_intact_store_is_verified(log: waldo.Waldo) -> None:
    fill(log, 10_000)
    seen: list[waldo.VerifyProgress] = []
    report = waldo.verify(log.path, seen.append)
    assert (report.cut, report.log_count, report.prev_seq_no) == (None, 10_000, 10_000)
    assert [now.bytes_done for now in seen] == sorted(now.bytes_done for now in seen)
    assert seen[-1].bytes_done <= seen[-1].bytes_total
    assert waldo.verify(log.path).log_count == 10_000


def test_damage_is_found(directory: Path) -> None:
    with waldo.open(directory, create=True, **small()) as log:
        for _ in range(20):
            fill(log, 100)
    page = min(directory.glob("*.page"))
    with page.open("r+b") as file:
        file.seek(20_000)
        byte = file.read(1)
        file.seek(20_000)
        file.write(bytes([byte[0] ^ 1]))
    report = waldo.verify(directory)
    assert report.cut is not None
    assert report.cut.page == 0
    # A page with a seal is looked at when it is read.
    found: list[int] = []
    with waldo.follow(directory) as follower, pytest.raises(waldo.CorruptionError) as raised:
        for chunk in follower.query(waldo.Trim):
            found += numbers([chunk])
    # A log in a frame that opening would cut before.
    assert raised.value.page == 0
    assert raised.value.offset >= report.cut.offset
    assert found == list(range(1, found[-1] + 1))
    assert found[-1] <= raised.value.after_seq_no


def test_a_check_is_stopped_by_what_is_raised(log: waldo.Waldo) -> None:
    fill(log, 10_000)

    def stop(_: waldo.VerifyProgress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        waldo.verify(log.path, stop)
    assert log.append(payload(10_001)) == 10_001
