"""The same appends without Python, by `waldo-bench`."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stores import BATCH_COUNT, SMALL_PAYLOAD


@dataclass(frozen=True)
class Rust:
    """The bench of the Rust engine."""

    program: Path

    def batches(self, directory: Path, size: int, *, durable: bool, depth: int) -> float:
        """Bytes per second of batches, `depth` of them under way."""
        mb_per_second = self._measure(
            directory,
            "mb_per_s",
            "append",
            *("--batch", str(BATCH_COUNT), "--log-size", "1KiB", "--bytes", str(size)),
            *("--lead-in", "512MiB", "--disk", "1GiB", "--depth", str(depth)),
            *("--durable", str(durable).lower()),
        )
        return mb_per_second * 1e6

    def singles(self, directory: Path, seconds: float) -> float:
        """Durable single appends per second, one after the other."""
        return self._measure(
            directory,
            "ops_per_s",
            "commit",
            *("--log-size", str(SMALL_PAYLOAD), "--producers", "1", "--seconds", str(seconds)),
        )

    def _measure(self, directory: Path, metric: str, *arguments: str) -> float:
        fixed = ("--dir", str(directory), "--rounds", "1", "--no-ceiling", "--no-warm", "--json")
        done = subprocess.run(
            [self.program, *arguments, *fixed], capture_output=True, check=True, text=True
        )
        summaries = [
            found[metric]["median"]
            for found in map(json.loads, done.stdout.splitlines())
            # Not what asynchronous tasks do: that is another row of the bench.
            if found["kind"] == "summary" and not found["who"].startswith("waldo, tasks")
        ]
        (rate,) = map(float, summaries)
        return rate


def find(program: Path | None) -> Rust | None:
    """The bench at `program`, or where cargo puts it in this repository."""
    usual = Path(__file__).parents[3] / "target" / "release" / "waldo-bench"
    found = usual if program is None else program
    return Rust(found) if found.is_file() else None
