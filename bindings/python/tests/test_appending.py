"""Appending: what is accepted, in which order, all or none."""

from __future__ import annotations

import array
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import waldo
from conftest import fill, numbers, payload, small


def payloads(log: waldo.Waldo, cursor: waldo.Cursor = waldo.Trim) -> list[bytes]:
    return [data for chunk in log.query(cursor) for data in chunk.payloads()]


def test_whatever_has_bytes_is_a_payload(log: waldo.Waldo) -> None:
    log.append(b"bytes")
    log.append(bytearray(b"bytearray"))
    log.append(memoryview(b"memoryview"))
    log.append(memoryview(b"a-b-c-d")[::2])
    log.append(array.array("H", [1, 2]))
    log.append(b"")
    log.append_many((b"tuple", bytearray(b"of two")))
    log.append_many(b"%d" % number for number in range(2))
    assert payloads(log) == [
        b"bytes",
        b"bytearray",
        b"memoryview",
        b"abcd",
        array.array("H", [1, 2]).tobytes(),
        b"",
        b"tuple",
        b"of two",
        b"0",
        b"1",
    ]


def test_what_is_no_payload(log: waldo.Waldo) -> None:
    for wrong in ("text", 5, None, [b"list"]):
        with pytest.raises(TypeError):
            log.append(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="encode"):
        log.append_many(["text"])  # type: ignore[list-item]
    for single in (b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")):
        with pytest.raises(TypeError, match="not one payload"):
            log.append_many(single)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not one payload"):
            log.submit(single)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Log is wanted, not bytes"):
        log.append_logs([b"bytes"])  # type: ignore[list-item]

    def broken() -> Iterator[bytes]:
        yield b"one"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        log.append_many(broken())
    assert log.prev_seq_no == 0


def test_a_payload_may_change_once_it_is_submitted(log: waldo.Waldo) -> None:
    data = bytearray(b"before")
    big = bytearray(b"before" * 10_000)
    tickets = [log.submit([data]), log.submit([big])]
    data[:] = b"after!"
    big[:] = b"after!" * 10_000
    for ticket in tickets:
        ticket.wait()
    assert payloads(log) == [b"before", b"before" * 10_000]


def test_nothing_is_appended_for_no_payloads(log: waldo.Waldo) -> None:
    assert log.append_many([]) == range(1, 1)
    log.append(b"one")
    assert log.append_many([]) == range(2, 2)
    assert log.submit([]).wait() == range(2, 2)
    log.append_logs([])
    log.submit_logs([]).wait()
    assert log.prev_seq_no == 1


def test_more_than_a_frame_is_appended_in_parts(log: waldo.Waldo) -> None:
    fill(log, 1)
    many = [payload(seq_no) for seq_no in range(2, 5002)]
    assert sum(map(len, many)) > 64 * 1024
    assert log.append_many(many) == range(2, 5002)
    assert log.submit(many[:3000]).wait() == range(5002, 8002)
    with pytest.raises(waldo.BatchTooLargeError) as raised:
        log.append_many(many, atomic=True)
    assert raised.value.size > raised.value.size_limit
    with pytest.raises(waldo.BatchTooLargeError):
        log.submit(many, atomic=True)
    assert log.prev_seq_no == 8001
    assert payloads(log, waldo.From(2)) == many + many[:3000]


def test_submits_keep_their_order_whatever_their_size(log: waldo.Waldo) -> None:
    sizes = [10, 100_000, 20, 30_000, 40_000, 5, 200_000, 1]
    tickets = [log.submit([b"%d" % at * (size // 10 + 1)] * 9) for at, size in enumerate(sizes)]
    ranges = [ticket.wait() for ticket in tickets]
    assert [numbers.start for numbers in ranges] == [1 + 9 * at for at in range(len(sizes))]


def test_logs_with_numbers_of_ones_own(log: waldo.Waldo) -> None:
    log.append_logs([waldo.Log(5, 0, payload(5)), waldo.Log(9, 5, payload(9))])
    log.submit_logs([waldo.Log(20, 9, payload(20))]).wait()
    assert numbers(log.query(waldo.Trim)) == [5, 9, 20]
    with pytest.raises(waldo.SequenceError) as raised:
        log.append_logs([waldo.Log(21, 9, b"")])
    assert (raised.value.seq_no, raised.value.wanted, raised.value.actual) == (21, 20, 9)
    with pytest.raises(waldo.SequenceError) as raised:
        log.submit_logs([waldo.Log(21, 19, b"")]).wait()
    assert (raised.value.wanted, raised.value.actual) == (20, 19)
    with pytest.raises(waldo.SequenceError) as raised:
        log.submit_logs([waldo.Log(21, 20, b""), waldo.Log(23, 22, b"")])
    assert (raised.value.wanted, raised.value.actual) == (21, 22)
    with pytest.raises(waldo.OrderError) as order:
        log.append_logs([waldo.Log(20, 20, b"")])
    assert (order.value.seq_no, order.value.prev_seq_no) == (20, 20)
    assert log.prev_seq_no == 20


def test_many_logs_of_ones_own_in_parts(log: waldo.Waldo) -> None:
    logs = [waldo.Log(seq_no, seq_no - 1, payload(seq_no)) for seq_no in range(1, 3001)]
    log.append_logs(logs)
    more = [waldo.Log(seq_no, seq_no - 1, payload(seq_no)) for seq_no in range(3001, 6001)]
    log.submit_logs(more).wait()
    assert numbers(log.query(waldo.Trim)) == list(range(1, 6001))


def test_a_log_that_is_too_large(log: waldo.Waldo) -> None:
    limit = log.metadata().log_size_limit
    log.append(bytes(limit - 24))
    with pytest.raises(waldo.ExceedsLimitError) as raised:
        log.append_many([b"", bytes(limit - 23)])
    assert (raised.value.seq_no, raised.value.limit) == (1, limit)
    assert raised.value.size > limit
    with pytest.raises(waldo.ExceedsLimitError):
        log.submit([bytes(limit)])
    with pytest.raises(waldo.ExceedsLimitError):
        log.sink().push(bytes(limit))
    assert log.prev_seq_no == 1


def test_the_last_number(log: waldo.Waldo) -> None:
    last = 2**64 - 1
    log.append_logs([waldo.Log(last - 1, 0, b"")])
    assert log.append(b"last") == last
    with pytest.raises(waldo.ExhaustedError) as raised:
        log.append(b"one more")
    assert raised.value.tip == last
    assert log.append_many([]) == range(last + 1, last + 1)
    assert next(log.query(waldo.From(last)))[0].data == b"last"


def test_a_full_ring_refuses_until_it_is_trimmed(directory: Path) -> None:
    with waldo.open(directory, create=True, retention="refuse", **small()) as log:
        with pytest.raises(waldo.FullError) as raised:
            fill(log, 1_000_000)
        assert raised.value.oldest == 1
        tip = log.prev_seq_no
        assert numbers(log.query(waldo.Trim)) == list(range(1, tip + 1))
        log.trim(tip)
        fill(log, 100)
        assert numbers(log.query(waldo.Trim)) == list(range(tip + 1, tip + 101))


def test_a_full_ring_holds_until_it_is_trimmed(directory: Path) -> None:
    with waldo.open(directory, create=True, retention="hold", **small()) as log:
        appended = threading.Event()

        def append() -> None:
            fill(log, 60_000)
            appended.set()

        thread = threading.Thread(target=append)
        thread.start()
        stream = log.stream(waldo.Trim)
        found: list[int] = []
        while not appended.is_set() or stream.position < log.prev_seq_no:
            found += numbers([stream.next()])
            log.trim(stream.position)
        thread.join()
        assert found == list(range(1, 60_001))


def test_a_close_ends_the_wait_for_room(directory: Path) -> None:
    log = waldo.open(directory, create=True, retention="hold", **small())
    failed: list[type[BaseException]] = []

    def append() -> None:
        try:
            while True:
                log.append_many([bytes(1000)] * 50)
        except waldo.WaldoError as error:
            failed.append(type(error))

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    tip = -1
    while tip < log.prev_seq_no:
        tip = log.prev_seq_no
        pending = log.metadata().pending_appends
        while log.prev_seq_no == tip and pending < 4:
            pending = log.metadata().pending_appends
    log.close()
    for thread in threads:
        thread.join()
    assert len(failed) == 4
    assert set(failed) <= {waldo.FullError, waldo.ClosedError}


def test_threads_append_side_by_side(log: waldo.Waldo) -> None:
    per_thread: list[list[int]] = []

    def append(name: int) -> None:
        per_thread.append([log.append(b"%d %d" % (name, at)) for at in range(200)])

    threads = [threading.Thread(target=append, args=[name]) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(chain.from_iterable(per_thread)) == list(range(1, 1601))
    assert all(own == sorted(own) for own in per_thread)


def test_a_list_that_changes_while_it_is_appended(log: waldo.Waldo) -> None:
    shared = [bytes([at]) * 2000 for at in range(200)]
    stop = threading.Event()

    def change() -> None:
        at = 0
        while not stop.is_set():
            shared[at % 200] = bytes([at % 200]) * 2000
            at += 1

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(20):
        log.append_many(shared)
    stop.set()
    thread.join()
    for data in payloads(log):
        assert data == data[:1] * 2000
