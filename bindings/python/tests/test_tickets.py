"""Tickets: any number of waits for one end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import waldo
from conftest import fill, small


@pytest.fixture
def stuck(directory: Path) -> waldo.Waldo:
    """A store that accepts appends, and acknowledges none until it is trimmed."""
    log = waldo.open(directory, create=True, retention="hold", **small())
    ticket = log.submit([bytes(30_000)])
    while ticket.done() or not waits(ticket):
        ticket = log.submit([bytes(30_000)])
    return log


def waits(ticket: waldo.Ticket[range]) -> bool:
    try:
        ticket.wait(1)
    except TimeoutError:
        return True
    return False


def test_a_ticket_is_waited_for_again_and_again(log: waldo.Waldo) -> None:
    ticket = log.submit([b"one"])
    assert ticket.wait() == ticket.wait(0) == range(1, 2)
    assert ticket.done()
    results: list[range] = []
    threads = [threading.Thread(target=lambda: results.append(ticket.wait())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [range(1, 2)] * 4


def test_a_ticket_that_is_dropped_is_carried_out(log: waldo.Waldo) -> None:
    for _ in range(100):
        log.submit([b"one"])
    log.sync()
    assert log.prev_seq_no == 100


def test_many_threads_wait_for_one_ticket(stuck: waldo.Waldo) -> None:
    ticket = stuck.submit([b"late"])
    results: list[range] = []
    threads = [threading.Thread(target=lambda: results.append(ticket.wait())) for _ in range(8)]
    for thread in threads:
        thread.start()
    with pytest.raises(TimeoutError):
        ticket.wait(0.01)
    assert not ticket.done()
    stuck.trim(stuck.prev_seq_no)
    for thread in threads:
        thread.join()
    assert results == [ticket.wait()] * 8
    stuck.close()


def test_a_ticket_fails_for_everybody_who_waits(stuck: waldo.Waldo) -> None:
    ticket = stuck.submit([bytes(30_000)])
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            ticket.wait()
        except waldo.FullError as error:
            failed.append(error)

    async def wait_in_a_loop() -> None:
        with pytest.raises(waldo.FullError):
            await ticket

    threads = [threading.Thread(target=wait) for _ in range(2)]
    threads += [threading.Thread(target=lambda: asyncio.run(wait_in_a_loop()))]
    for thread in threads:
        thread.start()
    stuck.close()
    for thread in threads:
        thread.join()
    assert len(failed) == 2
    # Each has an exception of his own: tracebacks do not mix.
    assert failed[0] is not failed[1]


def test_timeouts_are_numbers(log: waldo.Waldo) -> None:
    ticket = log.submit([b"one"])
    ticket.wait(1)
    for timeout in (0, -1, 1e300, float("inf"), None):
        assert ticket.wait(timeout) == range(1, 2)
    with pytest.raises(ValueError, match="number of seconds"):
        ticket.wait(float("nan"))
    with pytest.raises(TypeError):
        ticket.wait("1")  # type: ignore[arg-type]


def test_everything_can_be_submitted(log: waldo.Waldo) -> None:
    fill(log, 100)
    log.submit_sync().wait()
    log.submit_trim(10).wait()
    assert log.metadata().after_seq_no == 10
    log.submit_truncate(90).wait()
    assert log.prev_seq_no == 90
    with pytest.raises(waldo.NotFoundError):
        log.submit_truncate(95).wait()
    log.submit_clear().wait()
    assert log.prev_seq_no == 0
    log.aclose().wait()
    assert log.closed


def test_a_ticket_names_its_result() -> None:
    assert str(waldo.Ticket[range]) == "waldo.Ticket[range]"


def test_a_close_with_too_little_time_goes_on(log: waldo.Waldo) -> None:
    tickets = [log.submit([bytes(50_000)]) for _ in range(20)]
    try:
        log.close(0)
    except TimeoutError:
        log.close()
    assert all(ticket.done() for ticket in tickets)
    assert log.prev_seq_no == 20
