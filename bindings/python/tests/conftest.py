"""What the tests share."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import waldo

if TYPE_CHECKING:
    from typing import TypedDict

    class Small(TypedDict, total=False):
        """Options of a small store."""

        ring_size: int
        pool_size: int
        buf_capacity: int
        index_capacity: int
        file_capacity: int
        tail_capacity: int
        read_capacity: int


def small() -> Small:
    """Small sizes, so that tests are fast, rings wrap, and logs are read from disk."""
    return {
        "ring_size": 3,
        "pool_size": 4,
        "buf_capacity": 64 * 1024,
        "index_capacity": 256,
        "file_capacity": 1024 * 1024,
        "tail_capacity": 128 * 1024,
        "read_capacity": 512 * 1024,
    }


def payload(seq_no: int) -> bytes:
    """The payload of a log: of varying length, and different for each."""
    return b"payload of %d " % seq_no + b"x" * (seq_no % 50)


def fill(log: waldo.Waldo, count: int) -> None:
    """Appends that many logs whose payloads tell their numbers."""
    first = log.prev_seq_no + 1
    for start in range(first, first + count, 500):
        end = min(start + 500, first + count)
        log.append_many([payload(seq_no) for seq_no in range(start, end)])


def numbers(chunks: waldo.Stream | list[waldo.Chunk]) -> list[int]:
    """The numbers of all logs in chunks. Their payloads are checked."""
    found: list[int] = []
    for chunk in chunks:
        for record in chunk:
            assert record.data == payload(record.seq_no)
            found.append(record.seq_no)
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "store"


@pytest.fixture
def log(directory: Path) -> Iterator[waldo.Waldo]:
    """An empty store."""
    with waldo.open(directory, create=True, **small()) as log:
        yield log


Script = Callable[..., subprocess.Popen[str]]

PREAMBLE = """\
import asyncio, os, sys, threading, time
import waldo
from conftest import fill, numbers, payload, small
"""


@pytest.fixture
def script() -> Iterator[Script]:
    """Runs a script in a process of its own; ends it at the end of the test."""
    running: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: object, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "default", "-c", PREAMBLE + textwrap.dedent(source)]
            + [str(argument) for argument in arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def finished(process: subprocess.Popen[str]) -> str:
    """What else a script wrote, once it has ended well and said nothing in other ways."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    # Not `communicate`: it knows nothing of what was read too far already.
    out = process.stdout.read()
    err = process.stderr.read()
    assert (process.wait(), err) == (0, ""), err
    return out
