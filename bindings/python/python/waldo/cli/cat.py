"""Prints the logs that are there now.

Each payload is followed by a line end. Takes no lock: another process may be appending.
"""

from __future__ import annotations

import argparse

import waldo
from waldo.cli.exit_codes import ExitCode
from waldo.cli.reading import (
    declare_directory,
    declare_format,
    format_of,
    natural,
    print_stream,
)


def declare(parser: argparse.ArgumentParser) -> None:
    declare_directory(parser)
    parser.add_argument(
        "--from",
        dest="first",
        metavar="N",
        type=natural,
        help="begin with log N, or the first after it (default: the oldest)",
    )
    parser.add_argument("--count", metavar="N", type=natural, help="print at most N logs")
    declare_format(parser)


def run(options: argparse.Namespace) -> ExitCode:
    cursor = waldo.Trim if options.first is None else waldo.From(options.first)
    with waldo.follow(options.directory) as follower, follower.query(cursor) as stream:
        return print_stream(stream, format_of(options), options.count)
