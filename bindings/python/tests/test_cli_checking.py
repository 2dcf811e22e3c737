"""`waldo doctor` and `waldo verify`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import waldo
from command_line import damage, errors_on_a_terminal, json_of, output_of, waldo_command
from conftest import fill, payload, small
from waldo.cli.main import main


@pytest.fixture
def store(directory: Path) -> Path:
    """A closed store of more than a page."""
    with waldo.open(directory, create=True, **small()) as log:
        fill(log, 20_000)
    return directory


def test_an_intact_store_is_said_to_be(store: Path) -> None:
    assert output_of("verify", store).startswith(b"intact: ")
    found = json_of("verify", store)
    assert found["intact"] is True
    assert found["cut"] is None
    assert found["prev_seq_no"] == 20_000


def test_a_store_is_checked_while_it_is_open(store: Path) -> None:
    with waldo.open(store, **small()):
        assert json_of("verify", store)["intact"] is True


def test_damage_is_found_and_has_an_exit_status(store: Path) -> None:
    damage(store, payload(19_000))
    text = waldo_command("verify", store)
    assert text.returncode == 3
    assert text.stdout.startswith(b"DAMAGED: ")
    report = waldo_command("verify", store, "--json")
    assert report.returncode == 3
    found = json.loads(report.stdout)
    assert found["intact"] is False
    assert found["cut"]["after_seq_no"] < 19_000


def test_damage_keeps_logs_from_being_read_and_appended(store: Path) -> None:
    damage(store, payload(19_000))
    for arguments in (["cat"], ["tail"], ["append"]):
        done = waldo_command(*arguments, store, stdin=b"a\n")
        assert done.returncode == 3, arguments
        assert done.stderr.startswith(b"waldo: ")


def test_progress_is_shown_on_a_terminal_only(store: Path) -> None:
    code, errors = errors_on_a_terminal("verify", store)
    assert code == 0
    assert "█" in errors
    assert errors.endswith("\r\x1b[K")
    assert waldo_command("verify", store).stderr == b""


@pytest.mark.parametrize(
    "command", [["stat"], ["cat"], ["tail"], ["tail", "-f"], ["append"], ["verify"]]
)
def test_what_is_no_store_has_an_exit_status(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    for path in (tmp_path / "none", tmp_path / "other"):
        done = waldo_command(*command, path, stdin=b"a\n")
        assert (done.returncode, done.stdout) == (6, b""), done.stderr
        assert str(path).encode() in done.stderr
    assert [entry.name for entry in (tmp_path / "other").iterdir()] == ["notes.txt"]


def test_the_doctor_looks_at_the_system_and_a_file_system(tmp_path: Path) -> None:
    findings = json_of("doctor", tmp_path)
    assert findings
    assert {finding["state"] for finding in findings} <= {"ok", "degraded", "unusable"}
    assert all(finding["name"] and finding["value"] for finding in findings)
    assert len(findings) > len(json_of("doctor"))
    text = output_of("doctor", tmp_path).decode()
    assert all(finding["name"] in text for finding in findings)
    assert list(tmp_path.iterdir()) == []


@dataclass
class Found:
    """A finding that this machine may not have."""

    name: str
    state: str
    value: str
    meaning: str
    advice: str

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("degraded", 0), ("unusable", 5)])
def test_only_what_is_unusable_ends_the_doctor_with_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, code: int
) -> None:
    finding = Found("kernel", state, "5.4", "too old for much", "install a newer one")
    monkeypatch.setattr(waldo, "probe", lambda _path: [finding], raising=False)
    assert main(["doctor"]) == code
    text = capsys.readouterr().out
    assert "kernel" in text
    assert "→ install a newer one" in text
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == [finding.as_dict()]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (waldo.UnsupportedError("no io_uring", "use threads", 1), 5),
        (waldo.NewerError("newer", "page", 9, 0), 7),
        (waldo.FullError("full", 1), 1),
        (waldo.StorageError(5, "cannot read page"), 1),
        (OSError(5, "gone wrong", "file"), 1),
    ],
)
def test_errors_that_are_hard_to_have_have_a_status_too(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
) -> None:
    def fail(_path: object) -> None:
        raise error

    monkeypatch.setattr(waldo, "probe", fail, raising=False)
    assert main(["doctor"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("waldo: ")
    assert err.count("\n") == 1
