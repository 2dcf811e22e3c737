"""Logs from standard input, in batches of what is there."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator

# Most bytes that are taken at a time.
_READ_SIZE = 256 * 1024
_PREFIX = struct.Struct("<I")


class InputError(OSError):
    """The input cannot be appended. What came before was handed out."""


def lines(limit: int) -> Iterator[list[bytes]]:
    """Lines without their ends, of at most `limit` bytes. The last need not have an end."""
    rest = b""
    for piece in _pieces():
        *whole, rest = (rest + piece).split(b"\n")
        fitting = next((n for n, line in enumerate(whole) if len(line) > limit), len(whole))
        if fitting:
            yield whole[:fitting]
        if fitting < len(whole) or len(rest) > limit:
            message = f"a line is longer than the {limit} bytes that a log may have"
            raise InputError(message)
    if rest:
        yield [rest]


def length_prefixed(limit: int) -> Iterator[list[bytes]]:
    """Payloads of at most `limit` bytes, each behind its length: 32 bits, little-endian."""
    rest = b""
    for piece in _pieces():
        whole, rest = _split(rest + piece, limit)
        if whole:
            yield whole
        if len(rest) >= _PREFIX.size and (length := _PREFIX.unpack_from(rest)[0]) > limit:
            message = f"a log of {length} bytes is longer than the {limit} that it may have"
            raise InputError(message)
    if rest:
        message = "the input ends within a log"
        raise InputError(message)


def _split(buffer: bytes, limit: int) -> tuple[list[bytes], bytes]:
    """The whole payloads at the front, and what follows them."""
    whole: list[bytes] = []
    start = 0
    while len(buffer) - start >= _PREFIX.size:
        length: int = _PREFIX.unpack_from(buffer, start)[0]
        end = start + _PREFIX.size + length
        if length > limit or end > len(buffer):
            break
        whole.append(buffer[start + _PREFIX.size : end])
        start = end
    return whole, buffer[start:]


def _pieces() -> Iterator[bytes]:
    """What is there, as it comes."""
    if sys.stdin is None:
        message = "standard input is closed"
        raise InputError(message)
    while piece := os.read(sys.stdin.fileno(), _READ_SIZE):
        yield piece
