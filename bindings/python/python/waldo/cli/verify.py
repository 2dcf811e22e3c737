"""Checks every checksum of a store.

Takes no lock: another process may be appending. Nothing is changed. A torn tail, which nobody was
told had been written, is no damage. Ends with status 3 where logs are damaged.
"""

from __future__ import annotations

import argparse

import waldo
from waldo.cli.exit_codes import ExitCode
from waldo.cli.output import Bar, json_line, line, size
from waldo.cli.reading import declare_directory


def declare(parser: argparse.ArgumentParser) -> None:
    declare_directory(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> ExitCode:
    with Bar("checking") as bar:

        def show(progress: waldo.VerifyProgress) -> None:
            done, total = progress.bytes_done, progress.bytes_total
            bar.show(done / max(total, 1), f"{size(done)} of {size(total)}")

        report = waldo.verify(options.directory, show)
    if options.json:
        json_line({"intact": report.cut is None, **report.as_dict()})
    else:
        _print(report)
    return ExitCode.OK if report.cut is None else ExitCode.CORRUPT


def _print(report: waldo.RecoveryReport) -> None:
    damage = report.cut
    state = "intact" if damage is None else "DAMAGED"
    line(
        f"{state}: {report.log_count:,} logs in {report.page_count} pages, "
        f"{size(report.bytes_read)} checked in {report.duration:.1f} s"
    )
    if report.dropped is not None:
        line(
            f"an unfinished write at the end (page {report.dropped.page}, byte "
            f"{report.dropped.offset:,}): nobody was told that it had succeeded"
        )
    if damage is not None:
        line(
            f"page {damage.page}, byte {damage.offset:,}, behind log {damage.after_seq_no}: "
            f"{damage.detail}"
        )
        line('the logs up to there can be had with corruption="truncate"; the rest from a backup')
