"""Log lines of the engine, in Python's `logging`."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import waldo
from conftest import Script, finished, small


def test_what_is_lost_is_told(log: waldo.Waldo, caplog: pytest.LogCaptureFixture) -> None:
    log.sink().push(b"one")
    with caplog.at_level(logging.INFO, logger="waldo"):
        log.close()
    assert ("waldo", logging.WARNING) in {(line.name, line.levelno) for line in caplog.records}
    assert "1 payloads that were not flushed" in caplog.text


@pytest.mark.parametrize("mode", ["threads", "asyncio"])
def test_a_fallback_is_told_to_who_listens(script: Script, directory: Path, mode: str) -> None:
    process = script(
        """
        import errno, faults, logging
        faults.refuse(errno.EPERM, "io_uring_setup")
        if sys.argv[3] == "listens":
            logging.basicConfig(stream=sys.stdout)

        async def main():
            async with waldo.open(sys.argv[1], create=True):
                pass

        if sys.argv[2] == "asyncio":
            asyncio.run(main())
        else:
            waldo.open(sys.argv[1], create=True)
        """,
        directory,
        mode,
        "listens",
    )
    out = finished(process)
    assert out.startswith("WARNING:waldo:")
    assert "io_uring" in out


def test_nothing_is_said_to_who_does_not_listen(script: Script, directory: Path) -> None:
    process = script(
        """
        import errno, faults
        faults.refuse(errno.EPERM, "io_uring_setup")
        waldo.open(sys.argv[1], create=True, **small()).sink().push(b"lost")
        """,
        directory,
    )
    assert finished(process) == ""


def test_small_options_are_silent(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="waldo"):
        waldo.open(directory, create=True, **small()).close()
    assert [line for line in caplog.records if line.levelno > logging.INFO] == []
