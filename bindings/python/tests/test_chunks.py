"""Chunks, and what is taken from them."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import waldo
from conftest import fill, numbers, payload, small


def only(log: waldo.Waldo, cursor: waldo.Cursor = waldo.Trim) -> waldo.Chunk:
    return next(log.query(cursor))


def test_a_chunk_is_a_sequence_of_logs(log: waldo.Waldo) -> None:
    fill(log, 3)
    chunk = only(log)
    assert len(chunk) == 3
    assert chunk[0] == chunk[-3] == waldo.Log(1, 0, payload(1))
    assert chunk[2].seq_no == chunk[-1].seq_no == chunk.last_seq_no == 3
    assert chunk.first_seq_no == 1
    assert [record.prev_seq_no for record in chunk] == [0, 1, 2]
    assert list(chunk) == list(chunk)
    for index in (3, -4, 2**62):
        with pytest.raises(IndexError):
            chunk[index]
    with pytest.raises(TypeError):
        chunk["0"]  # type: ignore[index]
    assert chunk.size >= sum(len(data) + 24 for data in chunk.payloads())
    assert repr(chunk).startswith("<waldo.Chunk of 3 logs, 1 to 3,")


def test_payloads_views_and_numbers_agree(log: waldo.Waldo) -> None:
    log.append_logs([waldo.Log(2**63, 0, b""), waldo.Log(2**64 - 1, 2**63, b"x" * 1000)])
    chunk = only(log)
    assert chunk.payloads() == [b"", b"x" * 1000]
    assert [bytes(view) for view in chunk.views()] == chunk.payloads()
    assert chunk.seq_nos.tolist() == [2**63, 2**64 - 1]
    assert chunk.prev_seq_nos.tolist() == [0, 2**63]
    array = np.asarray(chunk.seq_nos)
    assert array.dtype == np.uint64
    assert array.tolist() == [2**63, 2**64 - 1]


def test_views_are_read_only_and_hashable_bytes(log: waldo.Waldo) -> None:
    fill(log, 2)
    view = only(log).views()[1]
    assert (view.readonly, view.format, view.itemsize, view.contiguous) == (True, "B", 1, True)
    assert hash(view) == hash(payload(2))
    with pytest.raises(TypeError):
        view[0] = 1
    assert np.frombuffer(view, dtype=np.uint8).tobytes() == payload(2)


def test_views_are_valid_for_ever(directory: Path) -> None:
    log = waldo.open(directory, create=True, **small())
    fill(log, 500)
    hot = next(log.query(waldo.From(400)))
    cold_stream = log.query(waldo.Trim)
    kept = [hot, next(cold_stream)]
    views = [(chunk.seq_nos, chunk.views()) for chunk in kept]
    # Everything that they came from goes: by a trim, by reuse of pages and buffers, by a close.
    log.trim(500)
    fill(log, 60_000)
    log.close()
    del log, hot, cold_stream, kept
    gc.collect()
    for seq_nos, own in views:
        assert [bytes(view) for view in own] == [payload(seq_no) for seq_no in seq_nos]
    last = views[1][1][-1]
    number = views[1][0][-1]
    del views
    gc.collect()
    assert bytes(last) == payload(number)


def test_who_keeps_everything_does_not_wait_for_himself(directory: Path) -> None:
    options = {**small(), "ring_size": 8, "read_capacity": 256 * 1024}
    with waldo.open(directory, create=True, **options) as log:  # type: ignore[arg-type]
        fill(log, 50_000)
        chunks = list(log.query(waldo.Trim))
        assert sum(chunk.size for chunk in chunks) > 4 * 256 * 1024
        assert log.metadata().read_memory_used <= 256 * 1024
        assert numbers(chunks) == list(range(1, 50_001))
        views = [view for chunk in log.query(waldo.Trim) for view in chunk.views()]
        assert [bytes(view) for view in views] == [payload(at) for at in range(1, 50_001)]
        # Appending does not wait for readers either.
        fill(log, 1000)


def test_threads_share_a_chunk(log: waldo.Waldo) -> None:
    fill(log, 1000)
    chunk = only(log)
    wrong: list[int] = []

    def read() -> None:
        for at, (record, view) in enumerate(zip(chunk, chunk.views(), strict=True)):
            if record.data != payload(at + chunk.first_seq_no) or record.data != view:
                wrong.append(at)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_views_can_be_appended(log: waldo.Waldo) -> None:
    fill(log, 100)
    chunk = only(log)
    log.append_many(chunk.views())
    log.append_logs(
        [waldo.Log(at, at - 1, view) for at, view in enumerate(chunk.views(), log.prev_seq_no + 1)]
    )
    found = [data for chunk in log.query(waldo.Trim) for data in chunk.payloads()]
    assert found == 3 * chunk.payloads()


def test_nothing_that_a_chunk_gives_is_left_behind(log: waldo.Waldo) -> None:
    """The bounds of every view were: two numbers for each, for ever."""
    # Larger numbers than those that Python keeps anyway.
    fill(log, 2_000)
    chunk = log.query(waldo.After(1_900)).next()
    assert len(chunk) > 20
    uses: list[Callable[[], object]] = [
        chunk.payloads,
        chunk.views,
        chunk.__arrow_c_array__,
        lambda: (chunk.seq_nos, chunk.prev_seq_nos, chunk[0], chunk[-1], list(chunk), repr(chunk)),
        lambda: [len(chunk) for chunk in log.query(waldo.After(1_900))],
    ]
    for use in uses:
        for _ in range(10):
            use()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            use()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 20_000, use
