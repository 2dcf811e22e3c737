"""What the README shows is run: every block of Python and shell, and its output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from waldo.cli.exit_codes import MEANINGS
from waldo.cli.main import COMMANDS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INTERPRETERS = {
    "python": (sys.executable, "-X", "dev", "-W", "error", "-c"),
    "sh": ("sh", "-e", "-c"),
}


class Snippet(NamedTuple):
    """A block that is run, and what it is said to print."""

    language: str
    source: str
    output: str


def snippets() -> list[Snippet]:
    blocks: list[tuple[str, str]] = FENCE.findall(README)
    found = []
    for (language, source), (next_language, next_source) in zip(
        blocks, [*blocks[1:], ("", "")], strict=True
    ):
        if language != "text":
            output = next_source if next_language == "text" else ""
            found.append(Snippet(language, source, output))
    return found


def test_the_readme_has_snippets_of_both_kinds() -> None:
    languages = [snippet.language for snippet in snippets()]
    assert languages.count("python") >= 4
    assert languages.count("sh") >= 1
    assert README.count("```") == 2 * len(FENCE.findall(README))


@pytest.mark.parametrize("snippet", snippets(), ids=lambda snippet: snippet.source[:30])
def test_a_snippet_does_what_it_says(snippet: Snippet, tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [*INTERPRETERS[snippet.language], snippet.source],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == snippet.output


def test_the_readme_names_every_command_and_exit_status() -> None:
    assert all(f"`waldo {command}" in README for command in COMMANDS)
    rows = re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE)
    told = [int(code) for row in rows for code in row.split(",")]
    assert told == [int(code) for code in MEANINGS]
