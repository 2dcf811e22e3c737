"""What the commands write: data to standard output, the rest to standard error."""

from __future__ import annotations

import base64
import json
import struct
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Self, TextIO

import waldo

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024


def note(text: str) -> None:
    """Tells the user something that is not data."""
    if sys.stderr is not None:
        sys.stderr.write(f"waldo: {text}\n")


def line(text: str) -> None:
    """Writes a line of data."""
    sys.stdout.write(text + "\n")


def json_line(value: object) -> None:
    """Writes a value as one line of JSON."""
    line(json.dumps(value, ensure_ascii=False))


def table(rows: Sequence[Sequence[str]]) -> None:
    """Writes rows of aligned columns; the first to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        line("  ".join([first, *rest]).rstrip())


def size(count: float) -> str:
    """Bytes in words: `64 MiB`."""
    unit = 0
    while count >= _STEP and unit < len(_UNITS) - 1:
        count /= _STEP
        unit += 1
    return f"{count:.3g} {_UNITS[unit]}" if unit else f"{count:.0f} bytes"


# How a chunk is written: it gets the chunk and the number of logs of it that are wanted.
Writer = Callable[[waldo.Chunk, int], None]


def writer(*, as_json: bool, length_prefixed: bool) -> Writer:
    """How logs are written to standard output."""
    if as_json:
        return _write_json
    return _write_length_prefixed if length_prefixed else _write_lines


def _write_lines(chunk: waldo.Chunk, count: int) -> None:
    # The empty one is for the last line end.
    sys.stdout.buffer.write(b"\n".join([*chunk.views()[:count], b""]))


def _write_length_prefixed(chunk: waldo.Chunk, count: int) -> None:
    pieces = ((struct.pack("<I", view.nbytes), view) for view in chunk.views()[:count])
    sys.stdout.buffer.write(b"".join(chain.from_iterable(pieces)))


def _write_json(chunk: waldo.Chunk, count: int) -> None:
    lines = [json.dumps(_as_dict(log), ensure_ascii=False) + "\n" for log in chunk]
    sys.stdout.buffer.write("".join(lines[:count]).encode())


def _as_dict(log: waldo.Log) -> dict[str, object]:
    numbers: dict[str, object] = {"seq_no": log.seq_no, "prev_seq_no": log.prev_seq_no}
    try:
        return {**numbers, "data": log.data.decode()}
    except UnicodeDecodeError:
        return {**numbers, "data_base64": base64.b64encode(log.data).decode()}


class Bar:
    """A bar that grows on a terminal, and is nothing elsewhere. Gone at the end."""

    WIDTH = 30

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        stream = sys.stderr if stream is None else stream
        self._stream = stream if stream is not None and stream.isatty() else None
        self._label = label

    def show(self, fraction: float, detail: str = "") -> None:
        """Draws the bar up to `fraction` of its width."""
        if self._stream is None:
            return
        filled = round(min(max(fraction, 0.0), 1.0) * self.WIDTH)
        drawn = "█" * filled + "░" * (self.WIDTH - filled)
        self._stream.write(f"\r\x1b[K{self._label} {drawn} {detail}")
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
