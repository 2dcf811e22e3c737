"""Chunks as Arrow data."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import waldo
from conftest import fill, payload, small

SCHEMA = pa.schema(
    [
        pa.field("seq_no", pa.uint64(), nullable=False),
        pa.field("prev_seq_no", pa.uint64(), nullable=False),
        pa.field("data", pa.binary_view(), nullable=False),
    ]
)


def only(log: waldo.Waldo) -> waldo.Chunk:
    return next(log.query(waldo.Trim))


def test_pyarrow_takes_a_chunk(log: waldo.Waldo) -> None:
    # Of all lengths around that up to which payloads lie in the views themselves.
    log.append_many([b"x" * length for length in range(30)])
    batch = pa.record_batch(only(log))
    batch.validate(full=True)
    assert batch.schema == SCHEMA
    assert batch.column("seq_no").to_pylist() == list(range(1, 31))
    assert batch.column("prev_seq_no").to_pylist() == list(range(30))
    assert batch.column("data").to_pylist() == [b"x" * length for length in range(30)]


def test_payloads_are_not_copied(log: waldo.Waldo) -> None:
    log.append(b"y" * 1000)
    chunk = only(log)
    data = pa.record_batch(chunk).column("data")
    memory = data.buffers()[2]
    view = chunk.views()[0]
    start = np.frombuffer(view, np.uint8).ctypes.data
    assert memory.address <= start < memory.address + memory.size


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()], ids=str)
def test_a_consumer_may_ask_for_another_layout(log: waldo.Waldo, kind: pa.DataType) -> None:
    log.append_many([b"", b"x" * 100, b"y"])
    wanted = SCHEMA.set(2, pa.field("data", kind, nullable=False))
    batch = pa.record_batch(only(log), schema=wanted)
    batch.validate(full=True)
    assert batch.schema == wanted
    assert batch.column("data").to_pylist() == [b"", b"x" * 100, b"y"]


def test_what_cannot_be_had_is_answered_with_what_can(log: waldo.Waldo) -> None:
    log.append(b"x")
    chunk = only(log)
    for wanted in (pa.schema([pa.field("data", pa.int8())]), pa.schema([])):
        _, capsule = chunk.__arrow_c_array__(wanted.__arrow_c_schema__())
        assert capsule is not None
    with pytest.raises(ValueError, match="incorrect name"):
        chunk.__arrow_c_array__(chunk.__arrow_c_array__()[1])
    with pytest.raises(TypeError):
        chunk.__arrow_c_array__("schema")  # type: ignore[arg-type]
    assert pa.schema(chunk) == SCHEMA


def test_polars_takes_a_chunk(log: waldo.Waldo) -> None:
    fill(log, 100)
    frame = pl.DataFrame(only(log))
    assert frame.schema == {"seq_no": pl.UInt64, "prev_seq_no": pl.UInt64, "data": pl.Binary}
    assert frame["data"].to_list() == [payload(seq_no) for seq_no in range(1, 101)]
    assert frame.filter(pl.col("seq_no") > 98)["prev_seq_no"].to_list() == [98, 99]


def test_duckdb_queries_chunks(log: waldo.Waldo) -> None:
    fill(log, 100)
    with duckdb.connect() as connection:
        connection.register("chunk", only(log))
        found = connection.sql("select count(*), max(seq_no), max(data) from chunk").fetchall()
    assert found == [(100, 100, max(payload(seq_no) for seq_no in range(1, 101)))]


def test_a_whole_log_as_a_table(directory: Path) -> None:
    with waldo.open(directory, create=True, **small()) as log:
        fill(log, 20_000)
        table = pa.Table.from_batches([pa.record_batch(chunk) for chunk in log.query(waldo.Trim)])
    seq_nos = table["seq_no"].to_pylist()
    assert seq_nos == list(range(seq_nos[0], 20_001))
    gc.collect()
    assert table["data"].to_pylist() == [payload(seq_no) for seq_no in seq_nos]


def test_arrow_data_outlives_everything_and_is_freed_anywhere(directory: Path) -> None:
    log = waldo.open(directory, create=True, **small())
    fill(log, 1000)
    batches = [pa.record_batch(only(log))]
    unused = [only(log).__arrow_c_array__() for _ in range(10)]
    log.close()
    del log
    gc.collect()
    found = batches[0].column("data").to_pylist()
    assert found == [payload(seq_no) for seq_no in range(1, len(found) + 1)]

    def free() -> None:
        batches.clear()
        unused.clear()

    thread = threading.Thread(target=free)
    thread.start()
    thread.join()
