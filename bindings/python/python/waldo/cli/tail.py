"""Prints the newest logs, and with -f what is appended from then on.

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
    print_forever,
    print_stream,
)


def declare(parser: argparse.ArgumentParser) -> None:
    declare_directory(parser)
    parser.add_argument(
        "-n", dest="count", metavar="N", type=natural, default=10, help="logs (default: 10)"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what is appended, until Ctrl-C"
    )
    parser.add_argument(
        "--durable-only",
        action="store_true",
        help="only logs that later writes prove to be durable: one append behind",
    )
    declare_format(parser)


def run(options: argparse.Namespace) -> ExitCode:
    with waldo.follow(options.directory, durable_only=options.durable_only) as follower:
        cursor = follower.cursor_of_last(options.count)
        if options.follow:
            with follower.stream(cursor) as stream:
                return print_forever(stream, format_of(options))
        with follower.query(cursor) as stream:
            return print_stream(stream, format_of(options))
