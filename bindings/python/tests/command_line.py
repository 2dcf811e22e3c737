"""Runs the command line as a user does."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

import waldo

COMMAND = (sys.executable, "-m", "waldo")
TIMEOUT = 60


def waldo_command(
    *arguments: object, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        cwd=cwd,
    )


def output_of(*arguments: object, stdin: bytes = b"") -> bytes:
    """What a command writes that ends well and has nothing else to say."""
    done = waldo_command(*arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def json_of(*arguments: object, stdin: bytes = b"") -> Any:
    """The one JSON value that a command writes."""
    return json.loads(output_of(*arguments, "--json", stdin=stdin))


@contextmanager
def running(
    *arguments: object, stdout: int | BinaryIO = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """A command under way. It is killed where it has not ended."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(TIMEOUT)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                close(pipe)


def close(pipe: IO[bytes]) -> None:
    """Closes a pipe whose other end may be gone."""
    with suppress(BrokenPipeError):
        pipe.close()


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    """The next line that a command writes."""
    assert process.stdout is not None
    return process.stdout.readline()


def rest_of_errors(process: subprocess.Popen[bytes]) -> bytes:
    """What an ended command wrote to standard error."""
    assert process.stderr is not None
    return process.stderr.read()


def errors_on_a_terminal(*arguments: object, cwd: Path | None = None) -> tuple[int, str]:
    """Exit status of a command, and what it writes where standard error is a terminal."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=terminal, cwd=cwd
    )
    os.close(terminal)
    pieces: list[bytes] = []
    try:
        while piece := os.read(controller, 65536):
            pieces.append(piece)
    except OSError:
        # EIO: the other side is closed.
        pass
    finally:
        os.close(controller)
    return process.wait(TIMEOUT), b"".join(pieces).decode()


def wait_for_log(directory: Path, seq_no: int) -> None:
    """Waits until the log can be read, while another process has the store open."""
    with waldo.follow(directory) as follower, follower.stream(waldo.From(seq_no)) as stream:
        while stream.next(TIMEOUT).last_seq_no < seq_no:
            pass


def damage(directory: Path, payload: bytes) -> None:
    """Changes one bit of a payload on disk."""
    for page in directory.iterdir():
        if page.is_file() and (at := page.read_bytes().find(payload)) >= 0:
            with page.open("r+b") as file:
                file.seek(at)
                file.write(bytes([payload[0] ^ 1]))
            return
    raise AssertionError(payload)
