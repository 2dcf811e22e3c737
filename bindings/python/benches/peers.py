"""What Python programs use otherwise to have records on disk: one durable record at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from stores import SMALL_PAYLOAD


def sqlite(directory: Path, seconds: float) -> float:
    """Transactions per second of one insert, in WAL mode with `synchronous=FULL`."""
    with closing(sqlite3.connect(directory / "log.db", isolation_level=None)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise OSError(mode)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE log (seq_no INTEGER PRIMARY KEY, data BLOB)")
        return _rate(
            seconds,
            lambda payload: connection.execute("INSERT INTO log (data) VALUES (?)", (payload,)),
        )


def file(directory: Path, seconds: float) -> float:
    """Records per second of a file, with `os.fdatasync` after each."""
    with (directory / "log.bin").open("ab", buffering=0) as opened:

        def append(payload: bytes) -> None:
            opened.write(payload)
            os.fdatasync(opened.fileno())

        return _rate(seconds, append)


def lmdb(directory: Path, seconds: float) -> float:
    """Transactions per second of one put. Needs `lmdb`."""
    module: Any = import_module("lmdb")
    with closing(module.open(str(directory), map_size=1 << 30)) as environment:
        seq_no = 0

        def append(payload: bytes) -> None:
            nonlocal seq_no
            seq_no += 1
            with environment.begin(write=True) as transaction:
                transaction.put(seq_no.to_bytes(8, "big"), payload, append=True)

        return _rate(seconds, append)


def _rate(seconds: float, append: Callable[[bytes], object]) -> float:
    payload = os.urandom(SMALL_PAYLOAD)
    append(payload)
    count = 0
    start = perf_counter()
    while (elapsed := perf_counter() - start) < seconds:
        append(payload)
        count += 1
    return count / elapsed
