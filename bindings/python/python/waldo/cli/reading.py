"""Printing the logs of a store that somebody else may be writing."""

from __future__ import annotations

import argparse
import select
import sys
from collections.abc import Iterator

import waldo
from waldo.cli.exit_codes import ExitCode
from waldo.cli.output import Writer, note, writer


def declare_directory(parser: argparse.ArgumentParser) -> None:
    """The argument that names the store."""
    parser.add_argument("directory", metavar="DIR", help="directory of the store")


def declare_format(parser: argparse.ArgumentParser) -> None:
    """The options that say how logs are printed."""
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument(
        "--json",
        action="store_true",
        help="a JSON object per log: seq_no, prev_seq_no, and data as text, or data_base64 where "
        "it is not UTF-8",
    )
    formats.add_argument(
        "--length-prefixed",
        action="store_true",
        help="each payload behind its length, 32 bits in little-endian order, without line ends",
    )


def format_of(options: argparse.Namespace) -> Writer:
    """How logs are to be printed."""
    return writer(as_json=options.json, length_prefixed=options.length_prefixed)


def natural(text: str) -> int:
    """A number of logs, or of a log."""
    number = int(text)
    if not 0 <= number < 2**64:
        message = f"{number} is not between 0 and 2^64 - 1"
        raise argparse.ArgumentTypeError(message)
    return number


def print_stream(stream: waldo.Stream, write: Writer, limit: int | None = None) -> ExitCode:
    """Prints what a query finds, at most `limit` logs."""
    code = ExitCode.OK
    left = limit
    while left is None or left > 0:
        try:
            chunk = next(stream)
        except StopIteration:
            break
        except (waldo.TrimmedError, waldo.TruncatedError) as error:
            note(f"{error}: the output is not complete")
            code = ExitCode.INCOMPLETE
            continue
        taken = len(chunk) if left is None else min(left, len(chunk))
        write(chunk, taken)
        left = None if left is None else left - taken
    return code


def print_forever(stream: waldo.Stream, write: Writer) -> ExitCode:
    """Prints what is there, then what comes, each log at once; until nobody reads any more."""
    output = sys.stdout.buffer
    for _ in _readable(stream):
        try:
            while chunk := stream.try_next():
                write(chunk, len(chunk))
                output.flush()
        except (waldo.TrimmedError, waldo.TruncatedError) as error:
            note(f"{error}: going on")
    raise BrokenPipeError


def _readable(stream: waldo.Stream) -> Iterator[None]:
    """Comes back whenever the stream may have a chunk; ends when the output's reader goes away."""
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLIN)
    output = sys.stdout.fileno()
    poll.register(output, 0)
    yield
    while all(fd != output for fd, _ in poll.poll()):
        yield
