"""Values: cursors, logs, options, reports; exceptions. They compare, show themselves, pickle."""

from __future__ import annotations

import copy
import errno
import inspect
import pickle
from pathlib import Path

import pytest
import waldo
from conftest import small


@pytest.mark.parametrize(
    "cursor", [waldo.Trim, waldo.Tip, waldo.After(0), waldo.From(2**64 - 1)], ids=repr
)
def test_cursors(cursor: waldo.Cursor) -> None:
    assert pickle.loads(pickle.dumps(cursor)) == cursor
    assert hash(copy.deepcopy(cursor)) == hash(cursor)
    assert eval(repr(cursor)) == cursor
    others = {waldo.Trim, waldo.Tip, waldo.After(1), waldo.From(1)} - {cursor}
    assert all(cursor != other for other in others)


def test_a_number_is_no_cursor_and_has_64_bits(log: waldo.Waldo) -> None:
    with pytest.raises(OverflowError):
        waldo.After(2**64)
    with pytest.raises(OverflowError):
        waldo.From(-1)
    with pytest.raises(TypeError):
        log.query(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        waldo.Cursor()


def test_logs() -> None:
    log = waldo.Log(5, 3, b"data")
    assert (log.seq_no, log.prev_seq_no, log.data) == (5, 3, b"data")
    assert log == waldo.Log(5, 3, bytearray(b"data")) == pickle.loads(pickle.dumps(log))
    assert hash(log) == hash(waldo.Log(5, 3, memoryview(b"data")))
    assert log != waldo.Log(5, 3, b"other")
    assert log != waldo.Log(5, 4, b"data")
    assert log != (5, 3, b"data")
    assert eval(repr(log)) == log
    match log:
        case waldo.Log(seq_no, prev_seq_no, data):
            assert (seq_no, prev_seq_no, data) == (5, 3, b"data")
    with pytest.raises(TypeError):
        waldo.Log(1, 0, "text")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        log.seq_no = 1  # type: ignore[misc]


def test_options_are_those_of_the_signature(directory: Path) -> None:
    with waldo.open(directory, create=True) as log:
        parameters = inspect.signature(waldo.open).parameters
        defaults = {name: parameter.default for name, parameter in parameters.items()}
        del defaults["path"], defaults["create"]
        # As the store was made: this one is new.
        defaults |= {"ring_size": 4, "file_capacity": 64 * 1024 * 1024}
        assert log.options.as_dict() == defaults


def test_options_open_the_same_store_again(directory: Path) -> None:
    with waldo.open(
        directory,
        create=True,
        **small(),
        file_o_dsync=False,
        backend="threads",
        io="buffered",
        retention="refuse",
        recovery="fast",
        corruption="truncate",
        flush_interval=0.25,
    ) as log:
        options = log.options
        assert options.flush_interval == 0.25
        assert (options.backend, options.retention) == ("threads", "refuse")
    again = waldo.open(directory, **options.as_dict())  # type: ignore[arg-type]
    assert again.options == options
    again.close()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ring_size", 1, "at least 2"),
        ("file_capacity", 5000, "multiple of 4096"),
        ("backend", "magic", "one of auto, io_uring, threads, memory"),
        ("io", "", "one of auto, buffered, direct"),
        ("retention", "keep", "one of overwrite, hold, refuse"),
        ("recovery", "slow", "one of full, fast"),
        ("corruption", "ignore", "one of refuse, truncate"),
        ("memory_fail", "all", "one of none, write"),
        ("flush_interval", -1.0, "greater than 0"),
        ("flush_interval", float("nan"), "greater than 0"),
    ],
)
def test_an_option_that_cannot_work(directory: Path, name: str, value: object, reason: str) -> None:
    with pytest.raises(waldo.OptionError, match=reason) as raised:
        waldo.open(directory, create=True, **{name: value})  # type: ignore[arg-type]
    assert raised.value.name == name
    assert isinstance(raised.value, ValueError)
    assert not directory.exists()


def test_unknown_and_impossible_arguments(directory: Path) -> None:
    with pytest.raises(TypeError, match="ring"):
        waldo.open(directory, create=True, ring=3)  # type: ignore[call-arg]
    with pytest.raises(OverflowError):
        waldo.open(directory, create=True, ring_size=-1)
    with pytest.raises(TypeError):
        waldo.open(directory, create=True, ring_size="3")  # type: ignore[arg-type]
    assert not directory.exists()


def test_records_show_and_compare(log: waldo.Waldo) -> None:
    assert repr(log.metadata()).startswith("waldo.Metadata(after_seq_no=0, prev_seq_no=0,")
    assert log.options == log.options
    report = log.recovery_report
    assert report == log.recovery_report
    assert report.dropped is None
    assert report.cut is None
    assert report.as_dict()["quarantined"] == report.quarantined == []
    assert report.duration > 0
    assert repr(log) == f'<waldo.Waldo at "{log.path}">'


EXCEPTIONS = [
    waldo.WaldoError("message"),
    waldo.OptionError("message", "ring_size", "1"),
    waldo.SequenceError("message", 5, 3, 4),
    waldo.OrderError("message", 5, 6),
    waldo.ExceedsLimitError("message", 0, 2000, 1000),
    waldo.BatchTooLargeError("message", 2, 1, 2000, 1000),
    waldo.ExhaustedError("message", 7),
    waldo.FullError("message", 1),
    waldo.TrimmedError("message", 10),
    waldo.TruncatedError("message", 9),
    waldo.CorruptionError("message", 1, 4096, 17),
    waldo.NotFoundError("message", 3),
    waldo.LockedError("message", "/store", 42),
    waldo.NotAStoreError("message", "/store"),
    waldo.NewerError("message", "/store/page", 9, 1),
    waldo.UnsupportedError("message", "do this", errno.EPERM),
    waldo.PoisonedError("message", errno.EIO),
    waldo.ClosedError("message"),
    waldo.GoneError("message"),
    waldo.BusyError("message"),
    waldo.ForkedError("message"),
]


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: type(error).__name__)
def test_exceptions_survive_pickling(error: waldo.WaldoError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert again.args == error.args
    assert str(again) == "message"
    assert isinstance(error, waldo.WaldoError)


def test_every_exception_is_tested() -> None:
    exported = {
        value
        for name in waldo.__all__
        if isinstance(value := getattr(waldo, name), type) and issubclass(value, BaseException)
    }
    tested = {type(error) for error in EXCEPTIONS}
    assert exported == tested | {waldo.StorageError, waldo.StoreNotFoundError}


@pytest.mark.parametrize("kind", [waldo.StorageError, waldo.StoreNotFoundError])
def test_storage_errors_are_those_of_the_system(kind: type[waldo.StorageError]) -> None:
    error = pickle.loads(pickle.dumps(kind(errno.ENOENT, "cannot find it", "/store")))
    assert isinstance(error, OSError)
    assert isinstance(error, waldo.WaldoError)
    assert (error.errno, error.strerror, error.filename) == (2, "cannot find it", "/store")
    assert str(error) == "[Errno 2] cannot find it: '/store'"


def test_what_cannot_be_pickled_says_what_to_do(log: waldo.Waldo) -> None:
    log.append(b"one")
    with pytest.raises(TypeError, match="pass its path"):
        pickle.dumps(log)
    with pytest.raises(TypeError, match="position"):
        pickle.dumps(log.stream(waldo.Tip))
    with pytest.raises(TypeError, match="list"):
        pickle.dumps(next(log.query(waldo.Trim)))
    with pytest.raises(TypeError, match="wait for it"):
        pickle.dumps(log.submit([]))
    with pytest.raises(TypeError, match="where it is used"):
        pickle.dumps(log.sink())


def test_the_system_is_looked_at(tmp_path: Path) -> None:
    without, with_path = waldo.probe(), waldo.probe(tmp_path)
    names = [finding.name for finding in with_path]
    assert {"kernel", "io_uring"} <= set(names)
    assert len(without) < len(with_path)
    for finding in with_path:
        assert finding.state in {"ok", "degraded", "unusable"}
        assert finding.value
        assert finding.meaning
        assert bool(finding.advice) == (finding.state != "ok")
        assert finding.as_dict()["name"] == finding.name
    assert list(tmp_path.iterdir()) == []
