"""What was measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from waldo.cli.output import size


@dataclass(frozen=True)
class Append:
    """Batches through the ring."""

    bytes_per_second: float
    logs_per_second: float
    # Seconds since the start, and bytes per second at that time.
    samples: list[tuple[float, float]]


@dataclass(frozen=True)
class Commit:
    """Single logs by tasks that each wait for their own."""

    tasks: int
    commits_per_second: float
    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True)
class Fanout:
    """Streams that all read what one writer appends."""

    streams: int
    logs_per_second: float
    deliveries_per_second: float


@dataclass(frozen=True)
class Section:
    """A table with its title."""

    title: str
    rows: list[list[str]]


@dataclass
class Results:
    """Everything, as far as it was asked for."""

    append: Append | None = None
    commit: list[Commit] = field(default_factory=list)
    fanout: list[Fanout] = field(default_factory=list)

    def sections(self) -> list[Section]:
        """The figures as tables."""
        return [
            section
            for section in (self._append(), self._commit(), self._fanout())
            if len(section.rows) > 1
        ]

    def _append(self) -> Section:
        rows = [["batches of 2,048 logs of 1 KiB", "bytes/s", "logs/s"]]
        if self.append is not None:
            figures = [size(self.append.bytes_per_second), f"{self.append.logs_per_second:,.0f}"]
            rows.append(["one producer, 3 under way", *figures])
        return Section("append", rows)

    def _commit(self) -> Section:
        rows = [["logs of 256 bytes", "commits/s", "p50 µs", "p99 µs", "max µs"]]
        rows += [
            [
                f"{case.tasks} task{'s' * (case.tasks > 1)}",
                f"{case.commits_per_second:,.0f}",
                f"{case.p50_us:,.0f}",
                f"{case.p99_us:,.0f}",
                f"{case.max_us:,.0f}",
            ]
            for case in self.commit
        ]
        return Section("commit", rows)

    def _fanout(self) -> Section:
        rows = [["logs of 256 bytes", "logs/s", "deliveries/s"]]
        rows += [
            [
                f"{case.streams} stream{'s' * (case.streams > 1)}",
                f"{case.logs_per_second:,.0f}",
                f"{case.deliveries_per_second:,.0f}",
            ]
            for case in self.fanout
        ]
        return Section("fan-out", rows)
