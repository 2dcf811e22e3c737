"""Measures appends, commits and fan-out on this machine, and draws what it found.

- append: batches of 2,048 logs of 1 KiB, three under way;
- commit: single logs of 256 bytes by many tasks of one event loop, each waiting for its own;
- fan-out: streams of one event loop that all read everything that one writer appends.

Makes a store of 256 MiB in a temporary directory of DIR, and removes it. The figures go to standard
output, and a page with plots that needs nothing else goes to a file.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import waldo
from waldo.cli.exit_codes import ExitCode
from waldo.cli.output import json_line, line, note, table

_REMOVAL_SECONDS = 10.0
SCENARIOS = ("append", "commit", "fanout")


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"what to measure: {', '.join(SCENARIOS)} (default: all)",
    )
    parser.add_argument(
        "--dir", type=Path, default=Path(), help="where to measure (default: this directory)"
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=2.0, help="length of each measurement (default: 2)"
    )
    parser.add_argument(
        "--not-durable", action="store_true", help="do not wait for the disk at each append"
    )
    pages = parser.add_mutually_exclusive_group()
    pages.add_argument(
        "--html", type=Path, default=Path("waldo-bench.html"), help="file for the page with plots"
    )
    pages.add_argument("--no-html", action="store_true", help="no page")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")


def run(options: argparse.Namespace) -> ExitCode:
    # These load asyncio, for which other commands should not wait.
    from waldo.cli.bench import page, workloads  # noqa: PLC0415

    unknown = set(options.scenarios) - set(SCENARIOS)
    if unknown:
        note(f"unknown scenario {', '.join(sorted(unknown))}: there are {', '.join(SCENARIOS)}")
        return ExitCode.USAGE
    setting = workloads.Setting(options.seconds, durable=not options.not_durable)
    with _workplace(options.dir) as directory:
        results = workloads.measure(directory, options.scenarios or list(SCENARIOS), setting)
    if options.json:
        json_line({"machine": machine(), "setting": asdict(setting), **asdict(results)})
    else:
        for section in results.sections():
            line(section.title)
            table(section.rows)
            line("")
    if not options.no_html:
        options.html.write_text(page.render(machine(), setting, results), encoding="utf-8")
        note(f"plots are in {options.html}")
    return ExitCode.OK


@contextmanager
def _workplace(parent: Path) -> Generator[Path]:
    """A directory that is gone in the end.

    Ctrl-C does not wait for a store that is being opened: it may still be making files.
    """
    directory = Path(tempfile.mkdtemp(prefix="waldo-bench-", dir=parent))
    try:
        yield directory
    finally:
        deadline = time.monotonic() + _REMOVAL_SECONDS
        while directory.exists() and time.monotonic() < deadline:
            shutil.rmtree(directory, ignore_errors=True)
            time.sleep(0.01)
        if directory.exists():
            note(f"{directory} could not be removed")


def machine() -> dict[str, str]:
    """What was measured, and on what."""
    return {
        "waldo": waldo.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.machine()
    models = [
        entry.split(":", 1)[1].strip() for entry in text.splitlines() if "model name" in entry
    ]
    return f"{len(models)} of {models[0]}" if models else platform.machine()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:  # noqa: PLR2004
        message = "between 0 and 3600"
        raise argparse.ArgumentTypeError(message)
    return seconds
