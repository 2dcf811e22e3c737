"""`waldo bench`."""

from __future__ import annotations

import json
import signal
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command_line import TIMEOUT, errors_on_a_terminal, rest_of_errors, running, waldo_command

SHORT = ("--seconds", 0.05)


def test_a_table_and_a_page_come_out(tmp_path: Path) -> None:
    done = waldo_command("bench", *SHORT, cwd=tmp_path)
    assert done.returncode == 0
    table = done.stdout.decode()
    assert [title in table for title in ("append", "commit", "fan-out")] == [True] * 3
    assert "1000 streams" in table
    assert done.stderr == b"waldo: plots are in waldo-bench.html\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["waldo-bench.html"]


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert waldo_command("bench", *SHORT, "--html", page, cwd=tmp_path).returncode == 0
    text = page.read_text(encoding="utf-8")

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "img", "iframe"}
            assert not {name for name, _ in attrs} & {"src", "href"}

    Links().feed(text)
    assert "url(" not in text
    assert "@import" not in text
    plots = [plot + "</svg>" for plot in text.split("</svg>")[:-1]]
    assert len(plots) == 4
    for plot in plots:
        drawn = ET.fromstring(plot[plot.index("<svg") :])
        assert drawn.findall(".//rect") or drawn.findall(".//polyline")
        assert "nan" not in plot


def test_json_has_the_figures_and_what_was_measured(tmp_path: Path) -> None:
    done = waldo_command("bench", "commit", "append", *SHORT, "--json", "--no-html", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    found = json.loads(done.stdout)
    assert found["setting"] == {"seconds": 0.05, "durable": True}
    assert found["append"]["bytes_per_second"] > 0
    assert [case["tasks"] for case in found["commit"]] == [1, 16, 256]
    for case in found["commit"]:
        assert 0 < case["p50_us"] <= case["p99_us"] <= case["max_us"]
    assert found["fanout"] == []
    assert list(tmp_path.iterdir()) == []


def test_bars_are_shown_on_a_terminal(tmp_path: Path) -> None:
    code, errors = errors_on_a_terminal(
        "bench", "append", "commit", "--seconds", 0.3, "--no-html", cwd=tmp_path
    )
    assert code == 0
    assert "append █" in errors
    assert "commit, " in errors


@pytest.mark.parametrize("arguments", [["nonsense"], ["--seconds", "0"], ["--seconds", "x"]])
def test_wrong_arguments_are_refused(tmp_path: Path, arguments: list[str]) -> None:
    done = waldo_command("bench", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with running("bench", "append", "--seconds", 600, "--no-html", "--dir", tmp_path) as process:
        while not any(tmp_path.glob("waldo-bench-*/append/*")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130
        assert rest_of_errors(process) == b""
    assert list(tmp_path.iterdir()) == []
