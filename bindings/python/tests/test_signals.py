"""Signals end every wait."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import Script, finished

# Every way to wait, in a store that is full and waits for a trim.
WAITS = {
    "append": "log.append(bytes(30_000))",
    "append_many": "log.append_many([bytes(30_000)] * 100)",
    "append_logs": "log.append_logs([waldo.Log(10**6, log.prev_seq_no, bytes(30_000))])",
    "submit": "[log.submit([bytes(30_000)]) for _ in range(10_000)]",
    "wait": "log.submit([bytes(30_000)]).wait()",
    "wait with a timeout": "log.submit([bytes(30_000)]).wait(1000)",
    "sync": "log.sync()",
    "next": "stream.next()",
    "next with a timeout": "stream.next(1000)",
    "for": "[None for chunk in stream]",
    "push": "[sink.push(bytes(30_000)) for _ in range(100)]",
    "flush": "sink.push(b''), sink.flush()",
    "async for": "asyncio.run(read())",
    "await": "asyncio.run(submit())",
}

FULL = """
log = waldo.open(sys.argv[1], create=True, retention="hold", **small())
ticket = log.submit([bytes(30_000)])
try:
    while True:
        ticket.wait(1)
        ticket = log.submit([bytes(30_000)])
except TimeoutError:
    pass
stream = log.stream(waldo.Tip)
sink = log.sink()

async def read():
    async for chunk in stream:
        pass

async def submit():
    await log.submit([bytes(30_000)])
"""


def sleeps(process: subprocess.Popen[str]) -> bool:
    """Whether the main thread of a process waits in the kernel for something to happen."""
    try:
        call = Path(f"/proc/{process.pid}/task/{process.pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return False
    machine = os.uname().machine
    waits = {"x86_64": {"202", "232", "281"}, "aarch64": {"98", "22"}}[machine]
    return call in waits


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_interrupts_end_every_wait(script: Script, directory: Path, wait: str) -> None:
    process = script(
        FULL
        + f"""
print("waits", flush=True)
try:
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
else:
    print("not interrupted")
os._exit(0)
""",
        directory,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    while not sleeps(process):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"


def test_a_handler_that_returns_does_not_end_a_wait(script: Script, directory: Path) -> None:
    """Handlers run while the wait goes on; they may use the store, too."""
    process = script(
        """
        import signal
        log = waldo.open(sys.argv[1], create=True)
        stream = log.stream(waldo.Tip)
        seen = []

        def handle(number, frame):
            seen.append(number)
            print("handled", flush=True)
            if len(seen) == 3:
                log.append(b"from the handler")

        signal.signal(signal.SIGUSR1, handle)
        print("waits", flush=True)
        print(stream.next().payloads())
        """,
        directory,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    for _ in range(3):
        while not sleeps(process):
            assert process.poll() is None
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "handled\n"
    assert finished(process) == "[b'from the handler']\n"


def test_nothing_is_lost_between_interrupts(script: Script, directory: Path) -> None:
    """A stream that is interrupted again and again returns every log once."""
    process = script(
        """
        import signal
        log = waldo.open(sys.argv[1], create=True)
        stream = log.stream(waldo.Trim)
        found = []
        interrupts = unlucky = 0
        armed = False

        def interrupt(*_):
            # Once for each wait, so that none comes while the last one is handled.
            global armed
            if armed:
                armed = False
                raise KeyboardInterrupt

        def append():
            for number in range(1, 20_001):
                log.submit([b"%d" % number])

        thread = threading.Thread(target=append)
        thread.start()
        signal.signal(signal.SIGINT, interrupt)
        print("starts", flush=True)
        while not found or found[-1] != 20_000:
            try:
                armed = True
                chunk = stream.next()
                armed = False
                found += chunk.seq_nos
            except KeyboardInterrupt:
                interrupts += 1
                if stream.position != (found[-1] if found else 0):
                    # The chunk was returned, and the interrupt came before it had a name.
                    stream.seek(found[-1] if found else 0)
                    unlucky += 1
        thread.join()
        print(found == list(range(1, 20_001)), interrupts > unlucky)
        """,
        directory,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "starts\n"
    while not (line := read_line(process)) and process.poll() is None:
        process.send_signal(signal.SIGINT)
    assert (line or process.stdout.readline()) == "True True\n"


def read_line(process: subprocess.Popen[str]) -> str:
    """A line that is there by now."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], 0.01)
    return process.stdout.readline() if readable else ""


def test_other_threads_do_not_see_signals(script: Script, directory: Path) -> None:
    process = script(
        """
        log = waldo.open(sys.argv[1], create=True)
        stream = log.stream(waldo.Tip)
        found = []
        thread = threading.Thread(target=lambda: found.append(stream.next().payloads()))
        thread.start()
        while True:
            try:
                stream.try_next()
            except waldo.BusyError:
                break
        try:
            print("waits", flush=True)
            log.stream(waldo.Tip).next()
        except KeyboardInterrupt:
            log.append(b"one")
        thread.join()
        print(found)
        """,
        directory,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    while not sleeps(process):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert finished(process) == "[[b'one']]\n"


def test_threads_of_the_library_take_no_signals(script: Script, directory: Path) -> None:
    """Handlers of the program, and of what it is embedded in, run on its own threads."""
    process = script(
        """
        from pathlib import Path

        def threads():
            masks = {}
            for task in Path("/proc/self/task").iterdir():
                name = (task / "comm").read_text().strip()
                if name.startswith("waldo-"):
                    status = (task / "status").read_text()
                    masks[name] = int(status.split("SigBlk:")[1].split()[0], 16)
            return masks

        async def main():
            async with waldo.open(sys.argv[1], create=True, retention="hold", **small()) as log:
                follower = waldo.follow(sys.argv[1])
                stream = follower.stream(waldo.Tip)
                waiting = asyncio.ensure_future(stream.__anext__())
                await asyncio.sleep(0)
                # More than there is room for: it waits on a thread of its own.
                tickets = [log.submit([b"x" * 30000] * 2) for _ in range(100)]
                for name, mask in sorted(threads().items()):
                    # All but KILL, STOP, and two that belong to the C library.
                    wanted = ~(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32) & (1 << 64) - 1
                    print(name, mask & wanted == wanted)
                await waiting
                log.submit_trim(2**64 - 1)
                for ticket in tickets:
                    while not ticket.done():
                        await log.submit_trim(2**64 - 1)
        asyncio.run(main())
        """,
        directory,
    )
    lines = finished(process).splitlines()
    assert {"waldo-worker True", "waldo-backlog True", "waldo-watcher True"} <= set(lines)
    assert [line for line in lines if not line.endswith("True")] == []
