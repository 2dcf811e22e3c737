"""`waldo append`."""

from __future__ import annotations

import signal
import struct
from pathlib import Path

import waldo
from command_line import (
    TIMEOUT,
    json_of,
    output_of,
    rest_of_errors,
    running,
    wait_for_log,
    waldo_command,
)
from conftest import small


def payloads_in(directory: Path) -> list[bytes]:
    with waldo.follow(directory) as follower:
        return [payload for chunk in follower.query(waldo.Trim) for payload in chunk.payloads()]


def test_lines_become_logs_and_the_last_number_is_printed(directory: Path) -> None:
    assert output_of("append", directory, "--create", stdin=b"one\n\nthree\n") == b"3\n"
    assert output_of("append", directory, stdin=b"no line end") == b"4\n"
    assert payloads_in(directory) == [b"one", b"", b"three", b"no line end"]


def test_a_line_may_come_in_many_pieces(directory: Path) -> None:
    line = b"x" * 900_000
    assert output_of("append", directory, "--create", stdin=line + b"\n" + line) == b"2\n"
    assert payloads_in(directory) == [line, line]


def test_length_prefixed_input_may_hold_any_bytes(directory: Path) -> None:
    payloads = [b"", b"\n", bytes(range(256)), b"\xff" * 70_000]
    stdin = b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads)
    assert output_of("append", directory, "--create", "--length-prefixed", stdin=stdin) == b"4\n"
    assert payloads_in(directory) == payloads
    assert output_of("cat", directory, "--length-prefixed") == stdin


def test_nothing_to_append_is_no_error(directory: Path) -> None:
    assert output_of("append", directory, "--create") == b""
    assert json_of("append", directory) == {"count": 0, "last_seq_no": None}


def test_json_says_how_many_and_up_to_where(directory: Path) -> None:
    assert json_of("append", directory, "--create", stdin=b"a\nb\n") == {
        "count": 2,
        "last_seq_no": 2,
    }


def test_a_store_is_made_only_if_asked(directory: Path) -> None:
    done = waldo_command("append", directory, stdin=b"a\n")
    assert done.returncode == 6
    assert b"--create" in done.stderr
    assert not directory.exists()


def test_the_sizes_of_a_store_are_those_it_was_made_with(directory: Path) -> None:
    waldo.open(directory, create=True, **small()).close()
    assert output_of("append", directory, stdin=b"a\n") == b"1\n"
    made = json_of("stat", directory)
    assert (made["ring_size"], made["file_capacity"]) == (3, 1024 * 1024)


def test_a_new_store_may_have_sizes_of_its_own(directory: Path) -> None:
    output_of("append", directory, "--create", "--ring-size", 2, "--file-capacity", 1024 * 1024)
    made = json_of("stat", directory)
    assert (made["ring_size"], made["file_capacity"]) == (2, 1024 * 1024)


def test_what_comes_before_a_cut_off_log_is_appended(directory: Path) -> None:
    stdin = struct.pack("<I", 3) + b"abc" + struct.pack("<I", 9) + b"cut"
    done = waldo_command("append", directory, "--create", "--length-prefixed", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"up to 1" in done.stderr
    assert b"ends within a log" in done.stderr
    assert payloads_in(directory) == [b"abc"]


def test_what_comes_before_a_log_that_is_too_long_is_appended(directory: Path) -> None:
    too_long = 2 * 1024 * 1024
    lines = waldo_command("append", directory, "--create", stdin=b"abc\n" + b"x" * too_long)
    assert (lines.returncode, lines.stdout) == (1, b"")
    stdin = struct.pack("<I", 3) + b"def" + struct.pack("<I", 2**32 - 1)
    prefixed = waldo_command("append", directory, "--length-prefixed", stdin=stdin)
    assert prefixed.returncode == 1
    assert payloads_in(directory) == [b"abc", b"def"]


def test_a_page_may_be_too_small_for_a_line(directory: Path) -> None:
    sizes = ("--ring-size", 2, "--file-capacity", 128 * 1024)
    stdin = b"abc\n" + b"x" * 60_000 + b"\ndef\n"
    done = waldo_command("append", directory, "--create", *sizes, stdin=stdin)
    assert done.returncode == 1
    assert b"up to 1" in done.stderr
    assert payloads_in(directory) == [b"abc"]


def test_a_store_that_is_open_elsewhere_is_locked(directory: Path) -> None:
    with waldo.open(directory, create=True, **small()):
        done = waldo_command("append", directory, stdin=b"a\n")
    assert done.returncode == 4
    assert b"in use" in done.stderr
    assert payloads_in(directory) == []


def test_lines_are_appended_as_they_come_and_survive_a_kill(directory: Path) -> None:
    waldo.open(directory, create=True).close()
    with running("append", directory) as process:
        assert process.stdin is not None
        process.stdin.write(b"first\n")
        process.stdin.flush()
        wait_for_log(directory, 1)
        process.kill()
        process.wait(TIMEOUT)
    assert payloads_in(directory) == [b"first"]


def test_ctrl_c_ends_it_quietly_and_keeps_what_came(directory: Path) -> None:
    waldo.open(directory, create=True).close()
    with running("append", directory) as process:
        assert process.stdin is not None
        process.stdin.write(b"first\nnot finished")
        process.stdin.flush()
        wait_for_log(directory, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130
        assert rest_of_errors(process) == b""
    assert payloads_in(directory) == [b"first"]
