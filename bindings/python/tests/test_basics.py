"""Opening, appending, reading, managing: what everybody does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import waldo
from conftest import fill, numbers, payload, small


def test_what_is_appended_is_read_after_a_reopen(directory: Path) -> None:
    with waldo.open(directory, create=True) as log:
        assert log.recovery_report.created
        assert log.append(payload(1)) == 1
        assert log.append_many([payload(2), payload(3)]) == range(2, 4)
        assert log.prev_seq_no == log.durable_seq_no == 3
    with waldo.open(directory) as log:
        assert not log.recovery_report.created
        assert log.recovery_report.log_count == 3
        assert numbers(log.query(waldo.Trim)) == [1, 2, 3]
        assert numbers(log.query(waldo.After(1))) == [2, 3]
        assert numbers(log.query(waldo.From(2))) == [2, 3]
        assert numbers(log.query(waldo.Tip)) == []


def test_a_path_may_be_a_path_or_a_text(tmp_path: Path) -> None:
    with waldo.open(tmp_path / "path", create=True) as log:
        assert log.path == str(tmp_path / "path")
    with waldo.open(str(tmp_path / "text"), create=True) as log:
        assert log.path == str(tmp_path / "text")


def test_a_path_need_not_be_unicode(tmp_path: Path) -> None:
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    with waldo.open(tmp_path / name, create=True) as log:
        assert Path(log.path) == tmp_path / name
        assert Path(log.path).is_dir()


def test_where_there_is_no_store_one_is_made_only_if_asked(tmp_path: Path) -> None:
    with pytest.raises(waldo.StoreNotFoundError) as raised:
        waldo.open(tmp_path / "none")
    assert raised.value.filename == str(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        waldo.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_handle_at_a_time_has_a_store(log: waldo.Waldo) -> None:
    with pytest.raises(waldo.LockedError) as raised:
        waldo.open(log.path)
    assert raised.value.path == log.path
    assert raised.value.pid is not None


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(waldo.NotAStoreError):
        waldo.open(tmp_path, create=True)
    file = tmp_path / "notes.txt"
    with pytest.raises(waldo.WaldoError):
        waldo.open(file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_trim_truncate_and_clear(log: waldo.Waldo) -> None:
    fill(log, 100)
    log.trim(10)
    assert numbers(log.query(waldo.Trim)) == list(range(11, 101))
    log.truncate(90)
    assert numbers(log.query(waldo.Trim)) == list(range(11, 91))
    assert log.prev_seq_no == 90
    with pytest.raises(waldo.NotFoundError) as raised:
        log.truncate(95)
    assert raised.value.seq_no == 95
    log.clear()
    assert numbers(log.query(waldo.Trim)) == []
    assert log.prev_seq_no == 0
    log.append_logs([waldo.Log(1000, 999, payload(1000))])
    assert numbers(log.query(waldo.Trim)) == [1000]


def test_metadata_before_and_after_everything(directory: Path) -> None:
    log = waldo.open(directory, create=True, **small())
    empty = log.metadata()
    assert (empty.prev_seq_no, empty.log_count) == (0, 0)
    assert empty.disk_size == 3 * 1024 * 1024
    fill(log, 100)
    log.trim(10)
    metadata = log.metadata()
    assert (metadata.after_seq_no, metadata.prev_seq_no, metadata.log_count) == (10, 100, 90)
    assert metadata.log_size_limit == metadata.batch_size_limit > 0
    assert metadata.as_dict()["log_count"] == 90
    assert set(metadata.as_dict()) == {
        name for name in dir(metadata) if not name.startswith("_") and name != "as_dict"
    }
    log.close()
    assert log.metadata().prev_seq_no == 100


def test_a_sync_makes_durable_what_was_not(directory: Path) -> None:
    with waldo.open(directory, create=True, file_o_dsync=False, **small()) as log:
        fill(log, 10)
        log.sync()
        assert log.durable_seq_no == 10
        assert log.append(payload(11), durable=True) == log.durable_seq_no == 11


def test_a_closed_store(directory: Path) -> None:
    log = waldo.open(directory, create=True, **small())
    fill(log, 10)
    states = [log.closed]
    log.close()
    log.close()
    assert [*states, log.closed] == [False, True]
    with pytest.raises(waldo.ClosedError):
        log.append(b"")
    with pytest.raises(waldo.ClosedError):
        log.submit([b""])
    with pytest.raises(waldo.ClosedError):
        log.sync()
    with pytest.raises(waldo.ClosedError):
        log.submit_sync()
    with pytest.raises(waldo.ClosedError):
        log.trim(1)
    with pytest.raises(waldo.ClosedError):
        log.sink()
    # What is there can be read to the last log.
    assert numbers(log.query(waldo.Trim)) == list(range(1, 11))
    assert numbers(log.stream(waldo.Trim)) == list(range(1, 11))
    assert log.prev_seq_no == 10
    with waldo.open(directory, **small()) as again:
        assert again.prev_seq_no == 10


def test_with_closes_when_the_block_raises(directory: Path) -> None:
    log = waldo.open(directory, create=True)
    with pytest.raises(ValueError, match="none"), log:
        int("none")
    assert log.closed


def test_a_store_that_is_dropped_is_closed_soon(directory: Path) -> None:
    log = waldo.open(directory, create=True, **small())
    fill(log, 10)
    ticket = log.submit([payload(11)])
    del log
    assert ticket.wait(10) == range(11, 12)
    while True:
        try:
            again = waldo.open(directory, **small())
            break
        except waldo.LockedError:
            continue
    assert numbers(again.query(waldo.Trim)) == list(range(1, 12))
    again.close()


def test_a_stream_keeps_its_store_open(directory: Path) -> None:
    log = waldo.open(directory, create=True, **small())
    fill(log, 10)
    stream = log.stream(waldo.Trim)
    del log
    assert numbers([stream.next(), *([] if stream.position == 10 else [stream.next()])])
    with pytest.raises(waldo.LockedError):
        waldo.open(directory)


def test_importing_loads_little() -> None:
    source = (
        "import sys; before = set(sys.modules); import waldo; print(*set(sys.modules) - before)"
    )
    out = subprocess.check_output([sys.executable, "-I", "-c", source], text=True)
    loaded = set(out.split())
    assert {"waldo", "waldo._waldo", "waldo._errors"} <= loaded
    heavy = {"asyncio", "typing", "inspect", "logging", "re", "dataclasses", "threading"}
    assert not loaded & heavy
