"""A page with everything that was measured. It loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape

from waldo.cli.bench import svg
from waldo.cli.bench.results import Results, Section
from waldo.cli.bench.workloads import Setting

_STYLE = """
:root { color-scheme: light dark; --a: #2f6fde; --b: #e08a1e; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; margin: 1rem 0; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg text.title { font-size: 13px; font-weight: 600; }
.grid { stroke: currentColor; stroke-opacity: .2; }
.line { fill: none; stroke-width: 2; stroke: var(--a); }
.c0 { fill: var(--a); } .c1 { fill: var(--b); }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
td, th { padding: .2rem .9rem .2rem 0; text-align: right; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
th { border-bottom: 1px solid; }
"""


def render(machine: Mapping[str, str], setting: Setting, results: Results) -> str:
    """The page as HTML."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    promise = "durable" if setting.durable else "not durable"
    about = [["measured", when], ["appends", promise], ["each for", f"{setting.seconds:g} s"]]
    about += [[name, value] for name, value in machine.items()]
    body = [
        "<h1>Waldo on this machine</h1>",
        _table([["", ""], *about]),
        *_plots(results),
        *(part for section in results.sections() for part in _section(section)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Waldo on this machine</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _plots(results: Results) -> list[str]:
    plots: list[str] = []
    if results.append is not None:
        plots.append(svg.line("append", "seconds", "bytes/s", results.append.samples))
    if results.commit:
        rates = {str(case.tasks): {"commits/s": case.commits_per_second} for case in results.commit}
        plots.append(svg.bars("commits", "tasks", "commits/s", rates))
        latencies = {
            str(case.tasks): {"median": case.p50_us, "99 %": case.p99_us} for case in results.commit
        }
        plots.append(svg.bars("latency of a commit", "tasks", "µs", latencies))
    if results.fanout:
        deliveries = {
            str(case.streams): {"deliveries/s": case.deliveries_per_second}
            for case in results.fanout
        }
        plots.append(svg.bars("fan-out", "streams", "deliveries/s", deliveries))
    return plots


def _section(section: Section) -> list[str]:
    return [f"<h2>{escape(section.title)}</h2>", _table(section.rows)]


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    cells = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"] * any(head)
    cells += [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body
    ]
    return "<table>" + "".join(cells) + "</table>"
