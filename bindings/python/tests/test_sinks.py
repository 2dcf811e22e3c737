"""Sinks: buffered writers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import waldo
from conftest import numbers, payload, small


def test_a_sink_appends_what_is_pushed(log: waldo.Waldo) -> None:
    with log.sink() as sink:
        for seq_no in range(1, 10_001):
            sink.push(payload(seq_no))
        assert log.prev_seq_no < 10_000
        assert 0 < sink.unflushed_count <= 10_000 - log.prev_seq_no
        sink.flush()
        assert sink.unflushed_count == 0
        assert log.prev_seq_no == 10_000
        sink.push(bytearray(payload(10_001)))
    assert numbers(log.query(waldo.Trim)) == list(range(1, 10_002))


@pytest.mark.parametrize("capacity", [0, 1, 1000, 10**9])
def test_any_capacity_will_do(log: waldo.Waldo, capacity: int) -> None:
    with log.sink(capacity) as sink:
        for seq_no in range(1, 301):
            sink.push(payload(seq_no))
    assert numbers(log.query(waldo.Trim)) == list(range(1, 301))


def test_a_sink_flushes_when_the_block_raises(log: waldo.Waldo) -> None:
    with pytest.raises(KeyError), log.sink() as sink:
        sink.push(payload(1))
        raise KeyError
    assert log.prev_seq_no == 1


def test_what_is_refused_stays_and_is_tried_again(directory: Path) -> None:
    with waldo.open(directory, create=True, retention="refuse", **small()) as log:
        sink = log.sink(10_000)
        pushed = 0
        with pytest.raises(waldo.FullError):
            while True:
                sink.push(payload(pushed + 1))
                pushed += 1
        unflushed = sink.unflushed_count
        assert unflushed == pushed - log.prev_seq_no > 0
        with pytest.raises(waldo.FullError):
            sink.flush()
        assert sink.unflushed_count == unflushed
        # What did not go in is pushed again once there is room.
        log.trim(log.prev_seq_no // 2)
        sink.push(payload(pushed + 1))
        sink.flush()
        assert log.prev_seq_no == pushed + 1
        assert numbers(log.query(waldo.Trim))[-1] == pushed + 1


def test_others_append_between(log: waldo.Waldo) -> None:
    with log.sink() as sink:
        sink.push(b"pushed")
        log.append(b"appended")
    assert next(log.query(waldo.Trim)).payloads() == [b"appended", b"pushed"]


def test_one_thread_at_a_time_uses_a_sink(directory: Path) -> None:
    log = waldo.open(directory, create=True, retention="hold", **small())
    sink = log.sink()
    blocked = threading.Event()

    def push() -> None:
        try:
            while True:
                sink.push(bytes(30_000))
        except (waldo.FullError, waldo.ClosedError):
            blocked.set()

    thread = threading.Thread(target=push)
    thread.start()
    refused = 0
    while not refused:
        try:
            sink.unflushed_count  # noqa: B018
        except waldo.BusyError:
            refused += 1
    log.close()
    thread.join()
    assert blocked.is_set()
    assert sink.unflushed_count > 0
    with pytest.raises(waldo.ClosedError):
        sink.push(b"")
