"""`waldo stat`, `waldo cat` and `waldo tail`."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path

import pytest
import waldo
from command_line import (
    TIMEOUT,
    json_of,
    line_of,
    output_of,
    rest_of_errors,
    running,
    waldo_command,
)
from conftest import fill, payload, small


def lines(first: int, last: int) -> bytes:
    """What is printed of the logs that `fill` makes."""
    return b"".join(payload(seq_no) + b"\n" for seq_no in range(first, last + 1))


@pytest.fixture
def store(directory: Path) -> Path:
    """A closed store of 100 logs."""
    with waldo.open(directory, create=True, **small()) as log:
        fill(log, 100)
    return directory


def test_cat_prints_all_logs(store: Path) -> None:
    assert output_of("cat", store) == lines(1, 100)


def test_cat_prints_what_is_asked_for(store: Path) -> None:
    assert output_of("cat", store, "--from", 98) == lines(98, 100)
    assert output_of("cat", store, "--from", 40, "--count", 3) == lines(40, 42)
    assert output_of("cat", store, "--count", 0) == b""
    assert output_of("cat", store, "--from", 101) == b""
    assert waldo_command("cat", store, "--count", "-1").returncode == 2


def test_cat_says_where_its_output_is_not_complete(directory: Path) -> None:
    with waldo.open(directory, create=True, **small()) as log:
        fill(log, 5)
        log.trim(2)
    done = waldo_command("cat", directory, "--from", 1)
    assert (done.returncode, done.stdout) == (8, lines(3, 5))
    assert b"trimmed" in done.stderr
    assert output_of("cat", directory) == lines(3, 5)


def test_json_tells_text_from_other_bytes(directory: Path) -> None:
    payloads = ["grün \n".encode(), b"\xff\x00"]
    with waldo.open(directory, create=True, **small()) as log:
        log.append_many(payloads)
    first, second = map(json.loads, output_of("cat", directory, "--json").splitlines())
    assert first == {"seq_no": 1, "prev_seq_no": 0, "data": "grün \n"}
    assert second["seq_no"] == 2
    assert base64.b64decode(second["data_base64"]) == payloads[1]


def test_tail_prints_the_newest_logs(store: Path) -> None:
    assert output_of("tail", store) == lines(91, 100)
    assert output_of("tail", "-n", 2, store) == lines(99, 100)
    assert output_of("tail", "-n", 0, store) == b""
    assert output_of("tail", "-n", 1000, store) == lines(1, 100)
    (newest,) = output_of("tail", "-n", 1, store, "--json").splitlines()
    assert json.loads(newest)["seq_no"] == 100


def test_stat_says_what_there_is(store: Path) -> None:
    found = json_of("stat", store)
    assert found["path"] == str(store)
    assert (found["after_seq_no"], found["prev_seq_no"], found["log_count"]) == (0, 100, 100)
    assert found["writer_pid"] is None
    assert b"100, numbered up to 100" in output_of("stat", store)


def test_reading_takes_no_lock(store: Path) -> None:
    with waldo.open(store, **small()) as log:
        fill(log, 1)
        assert output_of("tail", "-n", 1, store) == lines(101, 101)
        assert output_of("cat", store, "--from", 100) == lines(100, 101)
        assert json_of("stat", store)["writer_pid"] == os.getpid()
    with running("tail", "-f", "-n", 1, store) as reader:
        assert line_of(reader) == lines(101, 101)
        with waldo.open(store, **small()) as log:
            fill(log, 1)
        assert line_of(reader) == lines(102, 102)


def test_tail_follows_another_process(store: Path) -> None:
    with running("tail", "-n", 1, "-f", store) as reader, running("append", store) as writer:
        assert writer.stdin is not None
        assert line_of(reader) == lines(100, 100)
        for number in range(20):
            writer.stdin.write(b"line %d\n" % number)
            writer.stdin.flush()
            assert line_of(reader) == b"line %d\n" % number
        writer.stdin.close()
        assert writer.wait(TIMEOUT) == 0
        reader.send_signal(signal.SIGINT)
        assert reader.wait(TIMEOUT) == 130
        assert rest_of_errors(reader) == b""


def test_tail_follows_as_json(store: Path) -> None:
    with (
        running("tail", "-n", 1, "-f", "--json", store) as reader,
        waldo.open(store, **small()) as log,
    ):
        assert json.loads(line_of(reader))["seq_no"] == 100
        log.append(b"one more")
        assert json.loads(line_of(reader)) == {
            "seq_no": 101,
            "prev_seq_no": 100,
            "data": "one more",
        }


def test_following_ends_when_nobody_reads_any_more(store: Path) -> None:
    with running("tail", "-n", 1, "-f", store) as reader:
        assert line_of(reader) == lines(100, 100)
        assert reader.stdout is not None
        reader.stdout.close()
        assert reader.wait(TIMEOUT) == 141
        assert rest_of_errors(reader) == b""


def test_a_reader_that_has_enough_is_no_error(directory: Path) -> None:
    with waldo.open(directory, create=True, **small()) as log:
        fill(log, 20_000)
    with running("cat", directory) as process:
        assert line_of(process).startswith(b"payload of ")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(TIMEOUT) == 141
        assert rest_of_errors(process) == b""


def test_following_ends_when_the_store_is_removed(store: Path) -> None:
    with running("tail", "-n", 1, "-f", store) as reader:
        assert line_of(reader) == lines(100, 100)
        store.rename(store.with_name("elsewhere"))
        assert reader.wait(TIMEOUT) == 6
        assert rest_of_errors(reader).startswith(b"waldo: ")


def test_output_that_cannot_be_written_is_an_error(store: Path) -> None:
    with Path("/dev/full").open("wb") as full, running("cat", store, stdout=full) as process:
        assert process.wait(TIMEOUT) == 1
        assert b"No space left" in rest_of_errors(process)
