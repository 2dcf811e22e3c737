"""Streams and queries on threads, and in loops that wait for descriptors."""

from __future__ import annotations

import select
import selectors
import threading
from pathlib import Path

import pytest
import waldo
from conftest import fill, numbers, payload, small


def test_a_stream_goes_on_with_what_is_appended(log: waldo.Waldo) -> None:
    fill(log, 10)
    thread = threading.Thread(target=fill, args=(log, 5000))
    thread.start()
    found: list[int] = []
    for chunk in log.stream(waldo.After(3)):
        found += numbers([chunk])
        if found[-1] == 5010:
            break
    thread.join()
    assert found == list(range(4, 5011))


def test_tip_means_from_now_on(log: waldo.Waldo) -> None:
    fill(log, 10)
    stream = log.stream(waldo.Tip)
    query = log.query(waldo.Tip)
    assert stream.position == 10
    fill(log, 5)
    assert numbers([stream.next()]) == [11, 12, 13, 14, 15]
    assert numbers(query) == []


def test_a_query_ends_with_what_was_there(log: waldo.Waldo) -> None:
    fill(log, 30_000)
    found: list[int] = []
    query = log.query(waldo.Trim)
    for chunk in query:
        found += numbers([chunk])
        fill(log, 10)
    assert found[-1] < log.prev_seq_no
    assert found == list(range(found[0], found[-1] + 1))
    assert found[-1] >= 30_000
    assert list(query) == []
    with pytest.raises(waldo.ClosedError):
        query.next()


@pytest.mark.parametrize("seq_no", [1, 2, 500, 14_999, 15_000])
def test_single_logs_are_found_anywhere(log: waldo.Waldo, seq_no: int) -> None:
    fill(log, 15_000)
    log.trim(0)
    record = next(log.query(waldo.From(seq_no)))[0]
    assert record == waldo.Log(seq_no, seq_no - 1, payload(seq_no))


def test_trimmed_logs_are_reported_once(log: waldo.Waldo) -> None:
    fill(log, 100)
    stream, query = log.stream(waldo.After(10)), log.query(waldo.After(10))
    log.trim(50)
    for reader in (stream, query):
        with pytest.raises(waldo.TrimmedError) as raised:
            reader.next()
        assert raised.value.oldest == 51
        assert numbers([reader.next()]) == list(range(51, 101))
    assert numbers(log.query(waldo.Trim)) == list(range(51, 101))


def test_truncated_logs_are_reported_once(log: waldo.Waldo) -> None:
    fill(log, 100)
    stream = log.stream(waldo.After(80))
    query = log.query(waldo.Trim)
    assert numbers([stream.next()]) == list(range(81, 101))
    log.truncate(50)
    with pytest.raises(waldo.TruncatedError) as raised:
        stream.next()
    assert raised.value.tip == 50
    # There is less than there was when the query was made.
    assert numbers(query) == list(range(1, 51))
    fill(log, 3)
    assert numbers([stream.next()]) == [51, 52, 53]


def test_a_stream_ends_with_its_store(directory: Path) -> None:
    log = waldo.open(directory, create=True, **small())
    fill(log, 10)
    found: list[int] = []
    stream = log.stream(waldo.Trim)
    waiting = log.stream(waldo.Tip)
    thread = threading.Thread(target=lambda: found.extend(numbers(waiting)))
    thread.start()
    while log.metadata().waiting_streams == 0:
        pass
    log.close()
    thread.join()
    assert found == []
    assert numbers(stream) == list(range(1, 11))
    with pytest.raises(waldo.ClosedError):
        stream.next()
    with pytest.raises(waldo.ClosedError):
        stream.try_next()


def test_a_close_ends_a_wait(log: waldo.Waldo) -> None:
    stream = log.stream(waldo.Tip)
    ended = threading.Event()

    def read() -> None:
        assert list(stream) == []
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    while log.metadata().waiting_streams == 0 and log.prev_seq_no == 0:
        # There is no metadata before the first log.
        if not thread.is_alive():
            break
        try:
            stream.try_next()
        except waldo.BusyError:
            break
    stream.close()
    thread.join()
    assert ended.is_set()
    stream.close()
    with pytest.raises(waldo.ClosedError):
        stream.next()
    with pytest.raises(waldo.ClosedError):
        stream.seek(0)
    with log.stream(waldo.Tip) as other:
        pass
    assert list(other) == []


def test_timeouts(log: waldo.Waldo) -> None:
    fill(log, 1)
    stream = log.stream(waldo.Trim)
    assert numbers([stream.next(timeout=10)]) == [1]
    for timeout in (0.01, 0, -5):
        with pytest.raises(TimeoutError):
            stream.next(timeout=timeout)
    fill(log, 1)
    assert numbers([stream.next(0)]) == [2]


def test_one_at_a_time_uses_a_stream(log: waldo.Waldo) -> None:
    fill(log, 1)
    stream = log.stream(waldo.Tip)
    thread = threading.Thread(target=stream.next)
    thread.start()
    while log.metadata().waiting_streams == 0:
        pass
    for use in (stream.next, stream.try_next, lambda: next(stream), lambda: stream.seek(0)):
        with pytest.raises(waldo.BusyError):
            use()
    assert stream.position == 1
    fill(log, 1)
    thread.join()
    assert stream.position == 2


def test_positions_and_seeking(log: waldo.Waldo) -> None:
    fill(log, 100)
    stream = log.stream(waldo.From(11))
    assert stream.position == 10
    stream.next()
    assert stream.position == 100
    stream.seek(50)
    assert stream.position == 50
    assert numbers([stream.next()]) == list(range(51, 101))
    query = log.query(waldo.Trim)
    query.seek(90)
    assert numbers(query) == list(range(91, 101))


def test_a_selector_waits_for_a_stream(log: waldo.Waldo) -> None:
    stream = log.stream(waldo.Trim)
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        # At first nobody knows.
        assert selector.select(0)
        assert stream.try_next() is None
        assert not selector.select(0)
        fill(log, 3)
        assert selector.select(10)
        chunk = stream.try_next()
        assert chunk is not None
        assert numbers([chunk]) == [1, 2, 3]
        # It is worth asking once more after every chunk.
        assert selector.select(0)
        assert stream.try_next() is None
        assert not selector.select(0)
    log.close()
    assert select.select([stream], [], [], 10)[0] == [stream]


def test_a_selector_reads_everything(log: waldo.Waldo) -> None:
    streams = [log.stream(waldo.Trim) for _ in range(5)]
    thread = threading.Thread(target=fill, args=(log, 20_000))
    thread.start()
    found: dict[waldo.Stream, list[int]] = {stream: [] for stream in streams}
    while any(own[-1:] != [20_000] for own in found.values()):
        readable, _, _ = select.select(streams, [], [], 10)
        assert readable
        for stream in readable:
            while (chunk := stream.try_next()) is not None:
                found[stream] += numbers([chunk])
    thread.join()
    assert all(own == list(range(1, 20_001)) for own in found.values())


def test_a_descriptor_is_told_of_what_others_left(log: waldo.Waldo) -> None:
    stream = log.stream(waldo.Trim)
    assert stream.fileno() == stream.fileno()
    assert stream.try_next() is None
    fill(log, 1)
    stream.next()
    with pytest.raises(TimeoutError):
        stream.next(0)
    # The wait above took the place of the descriptor, which has to be asked once more.
    assert select.select([stream], [], [], 10)[0]
    assert stream.try_next() is None
    fill(log, 1)
    assert select.select([stream], [], [], 10)[0]
    assert stream.try_next() is not None


def test_thousands_of_streams(log: waldo.Waldo) -> None:
    fill(log, 1)
    streams = [log.stream(waldo.Tip) for _ in range(5000)]
    assert all(stream.try_next() is None for stream in streams)
    fill(log, 10)
    assert all(numbers([stream.next()]) == list(range(2, 12)) for stream in streams)
