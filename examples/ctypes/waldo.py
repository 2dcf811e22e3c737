"""Waldo for asyncio, in plain ctypes on the C ABI: a module to copy and to change.

    async with await waldo.open("journal", ring_size=8) as store:
        last_seq_no = await store.append([b"one", b"two"], durable=True)
        async for logs in store.stream():
            for log in logs:
                print(log.seq_no, log.data)

It has no thread: the event loop watches the file descriptor of a completion queue beside its other
ones, and takes out many completions each time. Everything here belongs to the loop's thread.
"""

import asyncio
import weakref
from collections.abc import Sequence
from ctypes import byref, c_uint64, c_void_p
from itertools import accumulate, count
from types import TracebackType
from typing import Any, NamedTuple, Self

import waldo_abi as abi
from waldo_abi import CURSOR_AFTER, CURSOR_FROM, CURSOR_TIP, CURSOR_TRIM, lib

__all__ = ["CURSOR_AFTER", "CURSOR_FROM", "CURSOR_TIP", "CURSOR_TRIM"]
__all__ += ["Log", "Store", "Stream", "WaldoError", "open"]

_DEPTH = 1024
_BATCH = 256


class Log(NamedTuple):
    seq_no: int
    prev_seq_no: int
    data: bytes


class WaldoError(Exception):
    """Why a call failed: `name` is the status, and `waldo.h` says what the numbers are."""

    def __init__(self, status: int, wanted: int, actual: int, message: str = "") -> None:
        self.name: str = lib.status_name(status).decode()
        self.status, self.wanted, self.actual = status, wanted, actual
        super().__init__(f"{self.name}: {message or f'wanted {wanted}, actual {actual}'}")


def _check(status: int, error: abi.Error) -> None:
    if status != abi.OK:
        raise WaldoError(status, error.wanted, error.actual, error.message.decode())


class _Done(NamedTuple):
    """What a completion brought, in Python's own memory."""

    last_seq_no: int
    logs: list[Log]
    store: int | None


def _read_chunk(chunk: int | None) -> list[Log]:
    """The logs of a chunk, which is released."""
    logs = (abi.Log * lib.chunk_count(chunk))()
    lib.chunk_logs(chunk, 0, logs, len(logs))
    read = [Log(log.seq_no, log.prev_seq_no, abi.bytes_at(log)) for log in logs]
    lib.chunk_release(chunk)
    return read


class _Queue:
    """A completion queue that the event loop watches, until nobody refers to it any more."""

    def __init__(self) -> None:
        self._handle, error = c_void_p(), abi.Error()
        _check(lib.queue_new(_DEPTH, byref(self._handle), byref(error)), error)
        self._batch = (abi.Completion * _BATCH)()
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[_Done]] = {}
        self._progress = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        own = weakref.ref(self)
        self._loop.add_reader(lib.queue_fd(self._handle), lambda: _take(own()))

    def __del__(self) -> None:
        if self._handle and not self._loop.is_closed():
            self._loop.remove_reader(lib.queue_fd(self._handle))
        lib.queue_release(self._handle)

    async def submit(self, function: Any, *inputs: Any) -> asyncio.Future[_Done]:
        """Submits an operation, as soon as there is room for it; answers its future."""
        error, user_data = abi.Error(), next(self._numbers)
        while status := function(*inputs, self._handle, user_data, byref(error)):
            if status != abi.AGAIN:
                _check(status, error)
            await self._some_progress()
        future = self._waiting[user_data] = self._loop.create_future()
        return future

    async def _some_progress(self) -> None:
        """Waits until something completed: or a moment, where others use the store as well."""
        self._progress.clear()
        try:
            await asyncio.wait_for(self._progress.wait(), 0.01)
        except TimeoutError:
            pass

    def _take(self) -> None:
        """Hands completions to those who wait for them. What is left calls this again."""
        for done in self._batch[: lib.queue_poll(self._handle, self._batch, _BATCH)]:
            future = self._waiting.pop(done.user_data)
            result = _Done(done.last_seq_no, _read_chunk(done.chunk), done.store)
            if future.cancelled():
                continue
            if done.status == abi.OK:
                future.set_result(result)
            else:
                future.set_exception(WaldoError(done.status, done.wanted, done.actual))
        self._progress.set()


def _take(queue: _Queue | None) -> None:
    if queue is not None:
        queue._take()


class Store:
    """An open store. Made by `open`; closed by `close`, or at the end of `async with`."""

    def __init__(self, queue: _Queue, handle: int | None) -> None:
        self._queue, self._handle = queue, handle
        self._order = asyncio.Lock()

    async def append(self, payloads: Sequence[bytes], durable: bool = False) -> int:
        """Appends payloads, which the store numbers; answers the number of the last one.

        Calls under way are carried out in the order in which they were made. Cancelling one that
        was submitted does not take it back.
        """
        base = b"".join(payloads)
        ends = (c_uint64 * len(payloads))(*accumulate(map(len, payloads)))
        flags = abi.APPEND_DURABLE if durable else 0
        inputs = (self._handle, base, len(base), ends, len(ends), flags)
        async with self._order:
            appended = await self._queue.submit(lib.append_packed_async, *inputs)
        return (await asyncio.shield(appended)).last_seq_no

    async def sync(self) -> None:
        """Makes durable what was appended before."""
        await (await self._queue.submit(lib.sync_async, self._handle))

    async def trim(self, up_to_seq_no: int) -> None:
        """Gives up the logs up to and with this number."""
        await (await self._queue.submit(lib.trim_async, self._handle, up_to_seq_no))

    def stream(self, cursor: int = CURSOR_TRIM, seq_no: int = 0) -> "Stream":
        """A reader that starts at a cursor and follows the log."""
        stream, error = c_void_p(), abi.Error()
        _check(lib.stream_new(self._handle, cursor, seq_no, 0, byref(stream), byref(error)), error)
        return Stream(self._queue, stream.value)

    async def close(self) -> None:
        """Finishes what was submitted, and closes the store. Streams go on to the last log."""
        await (await self._queue.submit(lib.close_async, self._handle))

    def __del__(self) -> None:
        lib.release(self._handle)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Stream:
    """Lists of logs, one after the other, as they come: `async for logs in stream`.

    Ends where the store is closed. After WALDO_TRIMMED it can be used on, with what is there. One
    task at a time reads it.
    """

    def __init__(self, queue: _Queue, handle: int | None) -> None:
        self._queue, self._handle = queue, handle
        self._next: asyncio.Future[_Done] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Log]:
        try:
            return await self.next()
        except WaldoError as error:
            if error.status == abi.CLOSED:
                raise StopAsyncIteration from None
            raise

    async def next(self) -> list[Log]:
        """The next logs. A call that is cancelled leaves them to the one after it."""
        if self._next is None:
            self._next = await self._queue.submit(lib.stream_next_async, self._handle)
            # Where nobody asks any more, a failure is nobody's.
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            logs = (await asyncio.shield(self._next)).logs
        finally:
            if self._next.done():
                self._next = None
        return logs

    def __del__(self) -> None:
        lib.stream_release(self._handle)


async def open(path: str, **settings: object) -> Store:
    """Opens the store in a directory, or makes one there; `settings` are the options' names."""
    options, error = c_void_p(), abi.Error()
    lib.options_new(byref(options))
    queue = _Queue()
    try:
        for key, value in settings.items():
            text = str(value).lower().encode()
            _check(lib.options_set(options, key.encode(), text, byref(error)), error)
        opened = await queue.submit(lib.open_async, path.encode(), options)
        return Store(queue, (await opened).store)
    finally:
        lib.options_free(options)
