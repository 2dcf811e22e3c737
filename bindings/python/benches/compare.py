"""Measures the Python package beside the Rust engine and beside what else Python programs use.

    cargo build --release -p waldo-bench
    python bindings/python/benches/compare.py --dir /where/to/measure

Each row is a figure, what it is held against, and the ratio that is wanted. Rounds of a row and of
its reference alternate, because disks and neighbours are not the same from one second to the
next; the table has medians. lmdb and pyarrow are measured where they are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import appending
import peers
import reading
import rust
from stores import MIB

# A figure, measured in a directory of its own.
Measure = Callable[[Path], float]

_IMPORT = "import time; t = time.perf_counter(); import waldo; print(time.perf_counter() - t)"


@dataclass(frozen=True)
class Comparison:
    """A figure, and what it is to be."""

    name: str
    unit: str
    measure: Measure
    reference_name: str
    # A measurement, or a fixed figure.
    reference: Measure | float
    # The ratio that is wanted at least; at most where less is better.
    wanted: float
    less_is_better: bool = False


@dataclass(frozen=True)
class Row:
    """What was found."""

    name: str
    unit: str
    value: float
    reference_name: str
    reference: float
    ratio: float
    wanted: float
    met: bool
    # Of the rounds: least and greatest ratio.
    spread: tuple[float, float]


def main() -> int:
    options = _parser().parse_args()
    engine = rust.find(options.rust)
    if engine is None:
        sys.stderr.write("waldo-bench is not built: rows beside Rust are left out\n")
    if (load := os.getloadavg()[0]) > 0.5:  # noqa: PLR2004
        sys.stderr.write(f"load average {load:.1f}: others use the machine, figures are noisy\n")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="waldo-compare-", dir=options.dir) as directory:
        for comparison in _comparisons(options.seconds, options.bytes * MIB, engine):
            if options.only not in comparison.name:
                continue
            try:
                row = _compare(comparison, Path(directory), options.rounds)
            except ModuleNotFoundError as error:
                sys.stderr.write(f"{comparison.name}: {error.name} is not installed\n")
                continue
            rows.append(row)
            sys.stdout.write((json.dumps(asdict(row)) if options.json else _text(row)) + "\n")
            sys.stdout.flush()
    return 0 if all(row.met for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dir", type=Path, default=Path(), help="where to measure")
    parser.add_argument("--rust", type=Path, help="the program waldo-bench")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each row (default: 3)")
    parser.add_argument("--seconds", type=float, default=2, help="length of a measurement")
    parser.add_argument("--bytes", type=int, default=512, help="MiB of a run of batches")
    parser.add_argument("--only", default="", help="only rows with this in their names")
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    return parser


def _comparisons(seconds: float, size: int, engine: rust.Rust | None) -> list[Comparison]:
    rows = [] if engine is None else _beside_rust(seconds, size, engine)
    return [*rows, *_beside_peers(seconds), *_beside_figures(seconds)]


def _beside_rust(seconds: float, size: int, engine: rust.Rust) -> list[Comparison]:
    def batches(name: str, *, durable: bool, depth: int) -> Comparison:
        return Comparison(
            name,
            "B/s",
            lambda directory: appending.batches(
                directory / "store", size, durable=durable, depth=depth
            ),
            f"Rust, {depth} under way",
            lambda directory: engine.batches(directory, size, durable=durable, depth=depth),
            0.6,
        )

    return [
        batches("append_many, 2,048 of 1 KiB, durable", durable=True, depth=1),
        batches("append_many, 2,048 of 1 KiB, not durable", durable=False, depth=1),
        batches("submit, 2,048 of 1 KiB, durable", durable=True, depth=3),
        batches("submit, 2,048 of 1 KiB, not durable", durable=False, depth=3),
        Comparison(
            "append, durable, one thread",
            "logs/s",
            lambda directory: appending.singles(directory / "store", seconds),
            "Rust",
            lambda directory: engine.singles(directory, seconds),
            0.8,
        ),
    ]


def _beside_peers(seconds: float) -> list[Comparison]:
    def concurrent(name: str, peer: Callable[[Path, float], float]) -> Comparison:
        return Comparison(
            f"asyncio, 1,000 concurrent submits, beside {name}",
            "logs/s",
            lambda directory: appending.concurrent(directory / "store", seconds, 1000),
            name,
            lambda directory: peer(directory, seconds),
            5,
        )

    return [
        concurrent("sqlite3, WAL, FULL", peers.sqlite),
        concurrent("a file with fdatasync", peers.file),
        concurrent("lmdb", peers.lmdb),
    ]


def _beside_figures(seconds: float) -> list[Comparison]:
    streams, rate = 1000, 10_000
    return [
        Comparison(
            "payloads() of the hot tail",
            "B/s",
            lambda directory: reading.payloads(directory / "store", seconds),
            "1.5 GB/s",
            1.5e9,
            1,
        ),
        Comparison(
            "views() of the hot tail",
            "B/s",
            lambda directory: reading.views(directory / "store", seconds),
            "5 GB/s",
            5e9,
            1,
        ),
        Comparison(
            "Arrow of the hot tail",
            "B/s",
            lambda directory: reading.arrow(directory / "store", seconds),
            "5 GB/s",
            5e9,
            1,
        ),
        Comparison(
            "1,000 asyncio streams, 10,000 logs/s: their rate",
            "logs/s",
            lambda directory: reading.fanout(directory / "store", streams, rate, seconds).rate,
            "the writer's",
            rate,
            0.95,
        ),
        Comparison(
            "1,000 asyncio streams, 10,000 logs/s: load",
            "CPUs",
            lambda directory: reading.fanout(directory / "store", streams, rate, seconds).load,
            "one CPU",
            1,
            1,
            less_is_better=True,
        ),
        Comparison("import waldo", "s", _import_time, "30 ms", 0.03, 1, less_is_better=True),
    ]


def _import_time(_directory: Path) -> float:
    times = [
        float(subprocess.check_output([sys.executable, "-c", _IMPORT], text=True))
        for _ in range(10)
    ]
    return statistics.median(times)


def _compare(comparison: Comparison, directory: Path, rounds: int) -> Row:
    values: list[float] = []
    references: list[float] = []
    for _ in range(rounds):
        values.append(_in_own_directory(comparison.measure, directory))
        reference = comparison.reference
        references.append(
            _in_own_directory(reference, directory) if callable(reference) else reference
        )
    ratios = [value / reference for value, reference in zip(values, references, strict=True)]
    ratio = statistics.median(values) / statistics.median(references)
    less = comparison.less_is_better
    return Row(
        comparison.name,
        comparison.unit,
        statistics.median(values),
        comparison.reference_name,
        statistics.median(references),
        ratio,
        comparison.wanted,
        ratio <= comparison.wanted if less else ratio >= comparison.wanted,
        (min(ratios), max(ratios)),
    )


def _in_own_directory(measure: Measure, parent: Path) -> float:
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        return measure(Path(directory))


def _text(row: Row) -> str:
    least, most = row.spread
    return (
        f"{'met   ' if row.met else 'MISSED'}  {row.name}\n"
        f"        {_figure(row.value)} {row.unit}, {row.reference_name}: "
        f"{_figure(row.reference)}; ratio {row.ratio:.2f} ({least:.2f} to {most:.2f}), "
        f"wanted {row.wanted:g}"
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


if __name__ == "__main__":
    sys.exit(main())
