"""Says what a store holds.

Takes no lock: another process may be appending.
"""

from __future__ import annotations

import argparse

import waldo
from waldo.cli.exit_codes import ExitCode
from waldo.cli.output import json_line, line, size
from waldo.cli.reading import declare_directory


def declare(parser: argparse.ArgumentParser) -> None:
    declare_directory(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> ExitCode:
    with waldo.follow(options.directory) as follower:
        path = follower.path
        metadata = follower.metadata()
    if options.json:
        json_line({"path": path, **metadata.as_dict()})
        return ExitCode.OK
    rows = _rows(path, metadata)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        line(f"{name:{width}}  {value}")
    return ExitCode.OK


def _rows(path: str, metadata: waldo.FollowMetadata) -> list[tuple[str, str]]:
    if metadata.log_count:
        logs = f"{metadata.log_count:,}, numbered up to {metadata.prev_seq_no}"
    else:
        logs = "none"
    writer = "none" if metadata.writer_pid is None else f"process {metadata.writer_pid}"
    capacity = size(metadata.file_capacity)
    pages = f"{metadata.page_count} of {metadata.ring_size} hold logs, {capacity} each"
    return [
        ("store", path),
        ("identity", metadata.store_id),
        ("format", f"version {metadata.format_version}"),
        ("logs", logs),
        ("gone", f"up to {metadata.after_seq_no}" if metadata.after_seq_no else "nothing"),
        ("proven durable", f"up to {metadata.durable_seq_no}"),
        ("pages", pages),
        ("disk", size(metadata.disk_size)),
        ("direct I/O", "yes" if metadata.frame_alignment >= 4096 else "no"),  # noqa: PLR2004
        ("writer", writer),
    ]
