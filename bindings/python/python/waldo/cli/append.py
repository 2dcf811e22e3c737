"""Appends what comes on standard input, a log per line, durably; prints the last number.

What comes is appended as it comes, in batches where much comes at once. A line end is not part of
the log. Ends with status 4 where another process has the store open.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterable

import waldo
from waldo.cli import records
from waldo.cli.exit_codes import ExitCode
from waldo.cli.output import json_line, line, note
from waldo.cli.reading import declare_directory, natural

# Batches under way at a time: the next is read while these are written.
_DEPTH = 4
_BUF_CAPACITY = 1024 * 1024


def declare(parser: argparse.ArgumentParser) -> None:
    declare_directory(parser)
    parser.add_argument(
        "--length-prefixed",
        action="store_true",
        help="binary input: each log behind its length, 32 bits in little-endian order",
    )
    parser.add_argument(
        "--not-durable",
        action="store_true",
        help="do not wait for the disk before the end: a power loss may take what was appended",
    )
    parser.add_argument("--create", action="store_true", help="make a store where there is none")
    parser.add_argument(
        "--ring-size", metavar="N", type=natural, help="pages of a new store (default: 4)"
    )
    parser.add_argument(
        "--file-capacity",
        metavar="BYTES",
        type=natural,
        help="bytes of each page of a new store (default: 67108864)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> ExitCode:
    with _open(options) as log:
        split = records.length_prefixed if options.length_prefixed else records.lines
        progress = _Progress()
        try:
            _append(log, split(_payload_limit(log)), progress)
        except (waldo.WaldoError, OSError):
            note(f"{progress}, then:")
            raise
    if options.json:
        json_line({"count": progress.count, "last_seq_no": progress.last_seq_no})
    elif progress.last_seq_no is not None:
        line(str(progress.last_seq_no))
    return ExitCode.OK


class _Progress:
    """What was acknowledged."""

    def __init__(self) -> None:
        self.count = 0
        self.last_seq_no: int | None = None

    def add(self, seq_nos: range) -> None:
        if seq_nos:
            self.count += len(seq_nos)
            self.last_seq_no = seq_nos[-1]

    def __str__(self) -> str:
        if self.last_seq_no is None:
            return "nothing was appended"
        return f"{self.count:,} appended, up to {self.last_seq_no}"


def _append(log: waldo.Waldo, batches: Iterable[list[bytes]], progress: _Progress) -> None:
    under_way: deque[waldo.Ticket[range]] = deque()
    try:
        for batch in batches:
            under_way.append(log.submit(batch))
            while under_way and (len(under_way) >= _DEPTH or under_way[0].done()):
                progress.add(under_way.popleft().wait())
    finally:
        # Also where the input is wrong: what came before it is appended.
        while under_way:
            progress.add(under_way.popleft().wait())


def _payload_limit(log: waldo.Waldo) -> int:
    """Bytes of the largest payload: without the header of a log, and its padding."""
    limit = log.metadata().log_size_limit
    return limit - limit % 8 - 24


def _open(options: argparse.Namespace) -> waldo.Waldo:
    """Opens the store as it was made, or makes one with the sizes that are wanted."""
    durable = not options.not_durable
    try:
        return waldo.open(options.directory, file_o_dsync=durable)
    except waldo.StoreNotFoundError:
        if not options.create:
            note("--create makes a store")
            raise
    file_capacity = options.file_capacity
    return waldo.open(
        options.directory,
        create=True,
        ring_size=options.ring_size,
        file_capacity=file_capacity,
        # A page holds at least a buffer.
        buf_capacity=_BUF_CAPACITY if file_capacity is None else min(file_capacity, _BUF_CAPACITY),
        file_o_dsync=durable,
    )
