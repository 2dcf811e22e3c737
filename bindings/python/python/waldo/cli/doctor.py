"""Says whether the system is fit for Waldo, and what to do where it is not.

Looks at the kernel, io_uring, memory limits and huge pages; and, with a directory, at its file
system and how fast that makes writes durable. Leaves nothing behind. Ends with status 5 where
something makes Waldo unusable; what only makes it slower does not count.
"""

from __future__ import annotations

import argparse
import textwrap

import waldo
from waldo.cli.exit_codes import ExitCode
from waldo.cli.output import json_line, line

_MARKS = {"ok": "ok", "degraded": "slower", "unusable": "UNUSABLE"}


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", help="a directory on the file system to look at"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array of findings")


def run(options: argparse.Namespace) -> ExitCode:
    findings = waldo.probe(options.directory)
    if options.json:
        json_line([finding.as_dict() for finding in findings])
    else:
        _print(findings)
    unusable = any(finding.state == "unusable" for finding in findings)
    return ExitCode.UNSUPPORTED if unusable else ExitCode.OK


def _print(findings: list[waldo.Finding]) -> None:
    name_width = max((len(finding.name) for finding in findings), default=0)
    mark_width = max(map(len, _MARKS.values()))
    for finding in findings:
        line(f"{_MARKS[finding.state]:{mark_width}}  {finding.name:{name_width}}  {finding.value}")
        _print_indented(finding.meaning, mark_width)
        if finding.advice:
            _print_indented(f"→ {finding.advice}", mark_width)


def _print_indented(text: str, indent: int) -> None:
    margin = " " * (indent + 2)
    for wrapped in textwrap.wrap(
        text, 96, initial_indent=margin, subsequent_indent=margin, break_long_words=False
    ):
        line(wrapped)
