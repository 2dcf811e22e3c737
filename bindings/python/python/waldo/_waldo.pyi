"""The native module. Everything in it is exported by `waldo`."""

from collections.abc import Callable, Generator, Iterable, Iterator
from types import GenericAlias, TracebackType
from typing import Final, Generic, Literal, Self, TypeAlias, TypeVar, final

from _typeshed import ReadableBuffer, StrPath
from typing_extensions import CapsuleType

_T_co = TypeVar("_T_co", covariant=True)

_Backend: TypeAlias = Literal["auto", "io_uring", "threads", "memory"]
_Fault: TypeAlias = Literal["none", "write", "short_write", "sync", "read", "space"]
_Io: TypeAlias = Literal["auto", "buffered", "direct"]
_Retention: TypeAlias = Literal["overwrite", "hold", "refuse"]
_Recovery: TypeAlias = Literal["full", "fast"]
_CorruptionPolicy: TypeAlias = Literal["refuse", "truncate"]
_Watch: TypeAlias = Literal["auto", "poll"]

__version__: Final[str]

def _close_all() -> None: ...  # what is done when the interpreter exits
def open(
    path: StrPath,
    *,
    create: bool = False,
    ring_size: int | None = None,
    queue_depth: int = 64,
    pool_size: int = 8,
    huge_buf: bool = False,
    buf_capacity: int = 1048576,
    page_capacity: int = 18446744073709551615,
    index_capacity: int = 4096,
    index_sparse_bytes: int = 16384,
    index_sparse_count: int = 1024,
    file_o_dsync: bool = True,
    file_capacity: int | None = None,
    tail_capacity: int = 4194304,
    read_capacity: int = 8388608,
    backend: _Backend = "auto",
    io: _Io = "auto",
    retention: _Retention = "overwrite",
    recovery: _Recovery = "full",
    corruption: _CorruptionPolicy = "refuse",
    flush_interval: float | None = None,
    memory_keep: bool = True,
    memory_fail: _Fault = "none",
    memory_fail_after: int = 0,
    memory_fail_count: int = 1,
    memory_errno: int = 5,
) -> Waldo:
    """Opens the store in the directory `path`.

    Outside of asyncio the store is open when this returns. Where an event loop runs in this
    thread it opens in the background: `await` it, or use it in `async with`; whatever else is
    done with it first waits until it is open. Opening recovers what is there, so it may take as
    long as reading the store takes; `Waldo.recovery_report` says what was found.

    Args:
        path: The directory. One process at a time has it open; others can `follow` it.
        create: Makes a store where there is none, and the directories of the path.
        ring_size: Pages in the ring, at least 2. When the newest page is full the oldest is used
            anew. `None`: as many as the store has; 4 in a new one. With a larger number the ring
            grows, with a smaller one it shrinks, where no page that goes holds logs.
        queue_depth: I/O operations that may be under way at a time.
        pool_size: Buffers that producers may fill or have written at a time.
        huge_buf: Backs the buffers with huge pages, where the system has some reserved.
        buf_capacity: Bytes of each buffer: the largest log, and the largest atomic append. A
            multiple of 4,096.
        page_capacity: Largest number of logs in a page.
        index_capacity: Largest number of entries in a page's index.
        index_sparse_bytes: Bytes between two entries of the index: what looking up one log reads.
        index_sparse_count: Logs between two entries of the index.
        file_o_dsync: Acknowledges an append when it is durable. Without it an append is
            acknowledged when the system has it, and survives a crash of the process but not of
            the machine, until a `sync`.
        file_capacity: Bytes of each page file, a multiple of 4,096. Fixed when the store is made.
            `None`: as it was made, with buffers no larger than a page; 64 MiB in a new one.
        tail_capacity: Bytes of the newest logs that are kept in memory.
        read_capacity: Bytes for reading older logs, shared by all readers.
        backend: How the system is asked for I/O: io_uring, a few threads, or io_uring unless it
            is refused (`"auto"`). With `"memory"` nothing is on disk, and the path is only a name
            in this process: for tests of programs.
        io: Whether appends go through the page cache: `"buffered"`, `"direct"`, or direct for
            durable logs where the file system can (`"auto"`).
        retention: What happens when the ring is full: the oldest logs go (`"overwrite"`), appends
            wait until enough is trimmed (`"hold"`), or they raise `FullError` (`"refuse"`).
        recovery: Checks every checksum of every page (`"full"`), or trusts the seals of full
            pages (`"fast"`).
        corruption: Where logs that had been durable are found damaged: raises `CorruptionError`
            and changes nothing (`"refuse"`), or cuts the log there, after the files were copied to
            `quarantine/` (`"truncate"`).
        flush_interval: Without `file_o_dsync`: syncs this many seconds after an append that is
            not yet durable. `None`: only when asked to.
        memory_keep: In memory: whoever opens the same path again finds the logs.
        memory_fail: In memory: what fails, for tests of what a program does then: writes, the
            second half of writes, syncs, reads of older logs, or the space on disk.
        memory_fail_after: How many operations succeed before; bytes, for the space.
        memory_fail_count: How many operations fail then.
        memory_errno: The error number that they fail with; 5 is `EIO`.

    Raises:
        StoreNotFoundError: There is no store, and `create` is false.
        OptionError: An option has a value that cannot work, here or for this store.
        LockedError: The store is open already, in this process or another.
        NotAStoreError, NewerError: The directory holds something else.
        CorruptionError: Logs that had been durable are damaged.
        UnsupportedError: The system lacks what an option asks for.
        StorageError: The system refused a call.
    """

def follow(
    path: StrPath,
    *,
    durable_only: bool = False,
    index_capacity: int = 256,
    corruption: _CorruptionPolicy = "refuse",
    watch: _Watch = "auto",
    poll_interval: float = 0.02,
) -> Follower:
    """Opens the store in the directory `path` for reading, without its writer's lock.

    Another process may have it open and append to it. Nothing is written.

    Args:
        path: The directory.
        durable_only: Serves only logs that later writes prove to be durable: the newest one is
            served with the next append, or when the writer closes. Otherwise what is written
            completely is served, and a power loss may take it back.
        index_capacity: Entries kept in memory of each page's index, at least 2.
        corruption: Where damage is found: raises `CorruptionError` (`"refuse"`), or serves what
            comes before it (`"truncate"`). Nothing on disk is changed in either case.
        watch: How it is noticed that something was written: by inotify where that works
            (`"auto"`), or by looking every `poll_interval` seconds (`"poll"`).
        poll_interval: Seconds.

    Raises:
        StoreNotFoundError: There is no store.
        OptionError: An option has a value that cannot work.
        NotAStoreError, NewerError: The directory holds something else.
        CorruptionError: Logs that had been durable are damaged.
        StorageError: The system refused a call.
    """

def verify(
    path: StrPath, progress: Callable[[VerifyProgress], object] | None = None
) -> RecoveryReport:
    """Checks every checksum of the store in the directory `path`, without its writer's lock, also
    while somebody appends. Nothing is written.

    Args:
        path: The directory.
        progress: Called with how far it is, every few hundred kilobytes. What it raises ends the
            check.

    Returns:
        What opening would find: `dropped` is a torn tail, or what a writer is just writing; `cut`
        is damage, `None` where the store is intact.

    Raises:
        StoreNotFoundError, NotAStoreError, NewerError, StorageError
    """

def probe(path: StrPath | None = None) -> list[Finding]:
    """Finds out whether the system is fit for Waldo, and the file system of `path`, too.

    Nothing is left behind. Everything works without much of what is looked for, more slowly.
    """

def After(seq_no: int) -> Cursor:
    """The place before the first log whose number is greater than `seq_no`."""

def From(seq_no: int) -> Cursor:
    """The place before the first log whose number is `seq_no` or greater."""

Tip: Final[Cursor]
"""The place behind the newest log."""

Trim: Final[Cursor]
"""The place before the oldest log. Reading from there never fails because logs were trimmed."""

@final
class Cursor:
    """Where to read from: `Trim`, `Tip`, `After(n)` or `From(n)`. A value: compares, hashes,
    pickles."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Log:
    """One log record. A value: compares, hashes, pickles."""

    __match_args__: Final = ("seq_no", "prev_seq_no", "data")

    def __new__(cls, seq_no: int, prev_seq_no: int, data: ReadableBuffer) -> Self:
        """A log to be appended with `append_logs`.

        Args:
            seq_no: Its number, greater than `prev_seq_no`.
            prev_seq_no: Number of the log before it; 0 before the first.
            data: The payload; copied, unless it is `bytes`.
        """

    @property
    def seq_no(self) -> int:
        """Number of the log: 64 bits, strictly increasing, gaps allowed."""

    @property
    def prev_seq_no(self) -> int:
        """Number of the log before it; 0 before the first."""

    @property
    def data(self) -> bytes:
        """The payload."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Chunk:
    """A run of consecutive logs in memory, oldest first. Immutable.

    Everything that is taken from it stays valid as long as it is held: after logs were trimmed,
    after the store was closed, after every other object is gone.

    Exports Arrow data without a copy (`pyarrow.record_batch(chunk)`, `polars.DataFrame(chunk)`):
    `seq_no` and `prev_seq_no` as `uint64`, `data` as `binary_view`; or as `binary` or
    `large_binary`, copied, for a consumer that asks for that.
    """

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Log]: ...
    def __getitem__(self, index: int, /) -> Log: ...
    @property
    def first_seq_no(self) -> int:
        """Number of the first log; 0 where the chunk is empty."""

    @property
    def last_seq_no(self) -> int:
        """Number of the last log; 0 where the chunk is empty."""

    @property
    def size(self) -> int:
        """Bytes that the logs take on disk, headers and padding included."""

    @property
    def seq_nos(self) -> memoryview[int]:
        """The numbers of all logs, as unsigned 64-bit integers: `numpy.asarray(chunk.seq_nos)`."""

    @property
    def prev_seq_nos(self) -> memoryview[int]:
        """The numbers of the logs before each log, as unsigned 64-bit integers."""

    def payloads(self) -> list[bytes]:
        """The payloads of all logs, copied."""

    def views(self) -> list[memoryview]:
        """The payloads of all logs, read-only and not copied.

        A view keeps the chunk's memory, which belongs to the store while it is open: copy what is
        to be kept for long.
        """

    def __arrow_c_schema__(self) -> CapsuleType:
        """The Arrow schema, as the Arrow PyCapsule interface has it."""

    def __arrow_c_array__(
        self, requested_schema: CapsuleType | None = None
    ) -> tuple[CapsuleType, CapsuleType]:
        """Schema and data, as the Arrow PyCapsule interface has it."""

@final
class Ticket(Generic[_T_co]):
    """An operation that was submitted: `wait` for its end, or `await` it, or neither.

    Any number of threads and tasks may do so, before and after the end. Cancelling an `await`
    (`asyncio.timeout` does, for example) cancels only the waiting: what was submitted is carried
    out all the same, and the ticket can be awaited again. The same holds for a ticket that is
    dropped.
    """

    def wait(self, timeout: float | None = None) -> _T_co:
        """Blocks until the operation has ended, and returns its result.

        Args:
            timeout: Seconds; `None` waits for as long as it takes.

        Raises:
            TimeoutError: It has not ended in time. It goes on; wait again.
            WaldoError: What the operation failed with.
        """

    def done(self) -> bool:
        """Whether the operation has ended. Does not block."""

    def __await__(self) -> Generator[object, None, _T_co]: ...
    @classmethod
    def __class_getitem__(cls, key: object) -> GenericAlias: ...

@final
class Stream:
    """Reads logs from a place on, chunk by chunk: in `for` and in `async for`.

    Made by `stream`, which goes on to wait for what is appended, until the store is closed and
    all its logs were read; and by `query`, which ends with what was there when it was made. It is
    used by one thread or task at a time.

    The position moves only with a chunk that was returned. So an `await` that is cancelled, a
    timeout, or Ctrl-C loses no log and repeats none: the next call goes on where this one was.

    Raises in every way to get a chunk:
        TrimmedError: Logs were trimmed before they were read; the next call goes on with the
            oldest that is left.
        TruncatedError: Logs that were read were truncated; the next call goes on behind that.
        CorruptionError, StorageError: Logs cannot be read. `seek` gets past them.
        PoisonedError: The store failed, and all its logs were read.
        BusyError: Another thread or task waits for the next chunk of this stream.
        ForkedError: In a forked child.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> Chunk: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> _Next: ...
    def next(self, timeout: float | None = None) -> Chunk:
        """Blocks until there is a chunk, and returns it.

        Args:
            timeout: Seconds; `None` waits for as long as it takes.

        Raises:
            TimeoutError: There was none in time.
            ClosedError: It has ended, or was closed.
        """

    def try_next(self) -> Chunk | None:
        """The next chunk that can be had at once; `None` where there is none yet.

        For programs with a loop of their own: where this returns `None`, `fileno` becomes
        readable once it is worth asking again.

        Raises:
            ClosedError: It has ended, or was closed.
        """

    def fileno(self) -> int:
        """A file descriptor that is readable when `try_next` may return a chunk.

        For `select`, `selectors`, trio, and whatever else waits for descriptors. It belongs to
        the stream, which closes it: only wait for it.
        """

    @property
    def position(self) -> int:
        """Number of the last log that was returned; before the first, where the stream starts.

        `After(stream.position)` goes on where this stream is, also in another process and after
        a restart.
        """

    def seek(self, seq_no: int) -> None:
        """Goes on behind the log `seq_no`, forwards or backwards."""

    def close(self) -> None:
        """Ends the stream, and gives up what it holds. Does not block.

        From any thread or task: one that waits for the next chunk finds that the stream has ended.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class _Next:
    """Waits for the next chunk of a stream."""

    def __await__(self) -> Generator[object, None, Chunk]: ...

@final
class Sink:
    """Gathers payloads, and appends many at a time. Used by one thread at a time.

    While one buffer is being written the next is filled; where that is full, too, `push` blocks.
    Nothing is lost silently: after an error everything that was not acknowledged is still in the
    sink, and the next `push` or `flush` tries again.

    As a context manager it flushes at the end, whether or not the block raised.
    """

    def push(self, payload: ReadableBuffer) -> None:
        """Adds a payload. It is copied. Blocks where both buffers are full.

        Raises:
            ExceedsLimitError: It is too large. It was not added.
            WaldoError: What the append of earlier payloads failed with. It was not added.
        """

    def flush(self) -> None:
        """Blocks until everything that was pushed is appended and acknowledged.

        Raises:
            WaldoError: What an append failed with.
        """

    @property
    def unflushed_count(self) -> int:
        """Payloads that were pushed and are not acknowledged."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class Waldo:
    """An open store. Made by `waldo.open`; used from any number of threads and event loops.

    `append` and the other plain calls block, with the interpreter free for other threads, until
    what they ask for is done and safe. Their `submit` twins return a `Ticket` at once, which can
    be awaited. A signal handler that raises (Ctrl-C) ends every wait; an append that was under
    way then may be carried out or not.

    As a context manager, of both kinds, it closes the store at the end. A store that is simply
    dropped is closed in the background; one that is still open when the interpreter exits is
    closed then.

    In a forked child every call raises `ForkedError`: open the store anew there, once the parent
    has closed it. Pickling raises `TypeError`: pass the path.
    """

    def append(self, payload: ReadableBuffer, *, durable: bool = False) -> int:
        """Appends one log, numbered by the store, and blocks until it is acknowledged.

        Args:
            payload: Any bytes-like object.
            durable: Waits until it is durable, also where the store was opened without
                `file_o_dsync`.

        Returns:
            The number of the log.

        Raises:
            ExceedsLimitError: It is too large.
            FullError: The ring is full and nothing may be overwritten. Trim, and try again.
            StorageError: The disk is full (`ENOSPC`). Try again when there is room.
            PoisonedError: A write or a sync failed. The log may be on disk or not.
            ExhaustedError: No numbers are left.
            ClosedError, ForkedError: The store cannot be used any more.
        """

    def append_many(
        self, payloads: Iterable[ReadableBuffer], *, durable: bool = False, atomic: bool = False
    ) -> range:
        """Appends logs in one crossing, and blocks until all are acknowledged.

        What fits one frame (about `buf_capacity`) is appended all or not at all. More is
        appended in several parts: then logs of others may lie in between, and an error says
        nothing of the parts before, of which `prev_seq_no` tells.

        Args:
            payloads: Bytes-like objects.
            durable: As in `append`.
            atomic: Refuses what does not fit one frame.

        Returns:
            The numbers of the logs, from the first to the last. Empty for no payloads.

        Raises:
            BatchTooLargeError: It was to be atomic and cannot be. Nothing was appended.
            WaldoError: As `append`.
        """

    def append_logs(
        self, logs: Iterable[Log], *, durable: bool = False, atomic: bool = False
    ) -> None:
        """Appends logs with numbers of your own, and blocks until all are acknowledged.

        The first is accepted where its `prev_seq_no` is the newest log: of several callers that
        want to go on at the same place one wins.

        Raises:
            SequenceError: A log does not follow the one before it, or the newest of the store.
            OrderError: A log's `seq_no` is not greater than its `prev_seq_no`.
            WaldoError: As `append_many`.
        """

    def submit(
        self, payloads: Iterable[ReadableBuffer], *, durable: bool = False, atomic: bool = False
    ) -> Ticket[range]:
        """Appends logs, numbered by the store, without waiting for the end. The payloads may be
        changed when this returns.

        Appends that are submitted one after the other are carried out in that order; many that
        are under way share their writes and syncs. Where the store's queue is full this waits
        for room, as `append` does; but in a thread that runs an event loop it returns at once,
        and the logs wait in memory until there is room. So a task that submits without end
        awaits some of its tickets.

        Returns:
            A ticket for the numbers of the logs, as `append_many` returns them.

        Raises:
            WaldoError: As `append_many` where the logs themselves are wrong, or the store cannot
                be used any more: nothing was submitted. All else comes with the ticket.
        """

    def submit_logs(
        self, logs: Iterable[Log], *, durable: bool = False, atomic: bool = False
    ) -> Ticket[None]:
        """Appends logs with numbers of your own without waiting for the end, as `submit` does.

        Raises:
            WaldoError: As `append_logs`, and where as in `submit`.
        """

    def sync(self) -> None:
        """Makes durable what was submitted before, and blocks until it is.

        Raises:
            PoisonedError, ClosedError, ForkedError
        """

    def submit_sync(self) -> Ticket[None]:
        """Makes durable what was submitted before, without waiting for the end."""

    def trim(self, up_to_seq_no: int) -> None:
        """Gives up the logs up to and with `up_to_seq_no`, and blocks until that is recorded.

        More than there is means all that is there now; less than was trimmed changes nothing.

        Raises:
            CorruptionError, StorageError: Logs had to be counted, and cannot be read.
            PoisonedError, ClosedError, ForkedError
        """

    def submit_trim(self, up_to_seq_no: int) -> Ticket[None]:
        """Gives up the logs up to and with `up_to_seq_no`, without waiting for the end."""

    def truncate(self, after_seq_no: int) -> None:
        """Removes the logs after `after_seq_no`, and blocks until that is durable.

        `after_seq_no` is a log that is there, or the last that was trimmed. Readers that were
        further on get `TruncatedError`.

        Raises:
            NotFoundError: No log has this number. Nothing was removed.
            FullError, StorageError: There is no room for the note that this leaves in the log.
            CorruptionError: Logs had to be counted, and cannot be read.
            PoisonedError, ClosedError, ForkedError
        """

    def submit_truncate(self, after_seq_no: int) -> Ticket[None]:
        """Removes the logs after `after_seq_no`, without waiting for the end."""

    def clear(self) -> None:
        """Removes every log, and blocks until that is durable. The next may have any number.

        Raises:
            FullError, StorageError: There is no room for the note that this leaves in the log.
            PoisonedError, ClosedError, ForkedError
        """

    def submit_clear(self) -> Ticket[None]:
        """Removes every log, without waiting for the end."""

    def query(self, cursor: Cursor) -> Stream:
        """Reads the logs from `cursor` on that are there now: a stream that ends.

        What is appended while it is read may be part of it or not. In asyncio, `async for` does
        not block the loop while older logs are read from disk.

        Raises:
            ForkedError
        """

    def stream(self, cursor: Cursor) -> Stream:
        """Reads the logs from `cursor` on, and then waits for what is appended.

        `Tip` means now: what is appended from now on. There may be tens of thousands of streams;
        one that waits costs nothing.

        Raises:
            ForkedError
        """

    def sink(self, capacity: int = 65536) -> Sink:
        """A buffered writer that appends about `capacity` bytes at a time."""

    @property
    def path(self) -> str:
        """Directory of the store, as an absolute path."""

    @property
    def options(self) -> Options:
        """What the store was opened with."""

    @property
    def recovery_report(self) -> RecoveryReport:
        """What opening the store found."""

    @property
    def prev_seq_no(self) -> int:
        """The newest log that readers see; 0 where there is none. Takes no lock."""

    @property
    def durable_seq_no(self) -> int:
        """The newest log that survives a power loss; 0 where there is none. Takes no lock."""

    @property
    def closed(self) -> bool:
        """Whether the store is closed, or being closed."""

    def metadata(self) -> Metadata:
        """What the store holds and does just now. Does not block; works after a close, too."""

    def close(self, timeout: float | None = None) -> None:
        """Finishes what was submitted, makes it durable, seals, and blocks until all that is done
        and the directory can be opened again. More than once does no harm.

        Later calls raise `ClosedError`; streams go on to the last log first, and then end. Appends
        that wait for room (`retention="hold"`) fail with `FullError`.

        Args:
            timeout: Seconds; `None` waits for as long as it takes.

        Raises:
            TimeoutError: It is not closed in time. The close goes on; close again to wait.
            PoisonedError: A write or a sync failed, earlier or now. It is closed all the same.
            ForkedError: In a forked child.
        """

    def aclose(self) -> Ticket[None]:
        """Closes the store without waiting for the end: `await log.aclose()`."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __aenter__(self) -> Ticket[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Ticket[None]: ...
    def __await__(self) -> Generator[object, None, Self]: ...

@final
class Follower:
    """A store that is read while another process may write it. Made by `waldo.follow`.

    Every stream of it is a reader of its own, and keeps its own view of the files.
    """

    def query(self, cursor: Cursor) -> Stream:
        """Reads the logs from `cursor` on that are there now: a stream that ends.

        At its end it looks whether the log really ends there, or damage hides more.

        Raises:
            WaldoError: As `waldo.follow`.
        """

    def stream(self, cursor: Cursor) -> Stream:
        """Reads the logs from `cursor` on, and then waits for what the writer appends.

        It raises `GoneError` where the directory is removed or replaced, once all logs were read.

        Raises:
            WaldoError: As `waldo.follow`.
        """

    def cursor_of_last(self, count: int) -> Cursor:
        """The place before the newest `count` logs, or the oldest log where there are fewer."""

    def metadata(self) -> FollowMetadata:
        """What the store holds now. Reads up to the newest log."""

    @property
    def path(self) -> str:
        """Directory of the store, as an absolute path."""

    def close(self) -> None:
        """Gives up the files. Its streams go on. More than once does no harm."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class FollowMetadata:
    """What a store that is followed holds, in numbers."""

    @property
    def store_id(self) -> str:
        """The random identity of the store, as 32 hexadecimal digits."""

    @property
    def format_version(self) -> int:
        """Version of the format on disk."""

    @property
    def after_seq_no(self) -> int:
        """Every log up to and with this one is gone."""

    @property
    def prev_seq_no(self) -> int:
        """The newest log that is served; 0 where there is none."""

    @property
    def durable_seq_no(self) -> int:
        """The newest log that is proven durable by what is on disk; 0 where there is none. The
        writer knows of more."""

    @property
    def log_count(self) -> int:
        """Logs that can be read."""

    @property
    def page_count(self) -> int:
        """Pages that hold logs."""

    @property
    def ring_size(self) -> int:
        """Page files."""

    @property
    def file_capacity(self) -> int:
        """Bytes of each page file."""

    @property
    def frame_alignment(self) -> int:
        """4,096 where the store was made for direct I/O, 8 otherwise."""

    @property
    def disk_size(self) -> int:
        """Bytes on disk, the page files at their full size."""

    @property
    def index_count(self) -> int:
        """Entries of all pages' indexes."""

    @property
    def index_size(self) -> int:
        """Bytes of memory that the indexes take."""

    @property
    def incarnation(self) -> int:
        """Number of the opening in which its newest log was written. It grows from each opening
        to the next, by more than one."""

    @property
    def writer_pid(self) -> int | None:
        """The process that has the store open for writing, as far as can be told."""

    @property
    def watching(self) -> bool:
        """Whether changes are noticed by inotify, not by polling."""

    def as_dict(self) -> dict[str, object]:
        """The attributes by name."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class VerifyProgress:
    """How far `verify` is."""

    @property
    def bytes_done(self) -> int:
        """Bytes that were checked."""

    @property
    def bytes_total(self) -> int:
        """Bytes that there are to check."""

    def as_dict(self) -> dict[str, object]:
        """The attributes by name."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Finding:
    """Something that `probe` looked at."""

    @property
    def name(self) -> str:
        """What was looked at, such as `"io_uring"`."""

    @property
    def state(self) -> Literal["ok", "degraded", "unusable"]:
        """Whether it is as it should be."""

    @property
    def value(self) -> str:
        """What was found."""

    @property
    def meaning(self) -> str:
        """What that means for Waldo."""

    @property
    def advice(self) -> str:
        """What to do about it; empty where there is nothing to do."""

    def as_dict(self) -> dict[str, object]:
        """The attributes by name."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Options:
    """What a store was opened with: the keyword arguments of `waldo.open`, and where these left
    its sizes open, those that it has."""

    @property
    def ring_size(self) -> int: ...
    @property
    def queue_depth(self) -> int: ...
    @property
    def pool_size(self) -> int: ...
    @property
    def huge_buf(self) -> bool: ...
    @property
    def buf_capacity(self) -> int: ...
    @property
    def page_capacity(self) -> int: ...
    @property
    def index_capacity(self) -> int: ...
    @property
    def index_sparse_bytes(self) -> int: ...
    @property
    def index_sparse_count(self) -> int: ...
    @property
    def file_o_dsync(self) -> bool: ...
    @property
    def file_capacity(self) -> int: ...
    @property
    def tail_capacity(self) -> int: ...
    @property
    def read_capacity(self) -> int: ...
    @property
    def backend(self) -> _Backend: ...
    @property
    def io(self) -> _Io: ...
    @property
    def retention(self) -> _Retention: ...
    @property
    def recovery(self) -> _Recovery: ...
    @property
    def corruption(self) -> _CorruptionPolicy: ...
    @property
    def flush_interval(self) -> float | None: ...
    @property
    def memory_keep(self) -> bool: ...
    @property
    def memory_fail(self) -> _Fault: ...
    @property
    def memory_fail_after(self) -> int: ...
    @property
    def memory_fail_count(self) -> int: ...
    @property
    def memory_errno(self) -> int: ...
    def as_dict(self) -> dict[str, object]:
        """The attributes by name, as `waldo.open(path, **options.as_dict())` takes them."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Metadata:
    """What a store holds and does, in numbers. They are looked up one after the other while the
    store goes on."""

    @property
    def after_seq_no(self) -> int:
        """Every log up to and with this one is gone. `After` of it is the oldest log."""

    @property
    def prev_seq_no(self) -> int:
        """The newest log; 0 where there is none."""

    @property
    def durable_seq_no(self) -> int:
        """The newest log that survives a power loss; 0 where there is none."""

    @property
    def log_count(self) -> int:
        """Logs that can be read."""

    @property
    def index_count(self) -> int:
        """Entries of all pages' indexes."""

    @property
    def disk_size(self) -> int:
        """Bytes on disk, the page files at their full size."""

    @property
    def index_size(self) -> int:
        """Bytes of memory that the indexes take."""

    @property
    def page_count(self) -> int:
        """Pages that hold logs, or held logs that were trimmed."""

    @property
    def pending_resets(self) -> int:
        """Pages that are being prepared."""

    @property
    def pending_appends(self) -> int:
        """Appends and other operations that are not acknowledged yet."""

    @property
    def pending_queries(self) -> int:
        """Reads from disk that are under way."""

    @property
    def pending_fsyncs(self) -> int:
        """Syncs that are under way."""

    @property
    def buffers_free(self) -> int:
        """Buffers that nobody holds."""

    @property
    def buffers_detached(self) -> int:
        """Buffers that only readers hold."""

    @property
    def read_memory_used(self) -> int:
        """Bytes of `read_capacity` that readers hold."""

    @property
    def waiting_streams(self) -> int:
        """Streams that wait for newer logs."""

    @property
    def log_size_limit(self) -> int:
        """Most bytes that one log may take, with its header of 24 bytes and padding to 8."""

    @property
    def batch_size_limit(self) -> int:
        """Most bytes, counted like that, that are appended all or none."""

    @property
    def batch_count_limit(self) -> int:
        """Most logs that are appended all or none."""

    def as_dict(self) -> dict[str, object]:
        """The attributes by name."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class RecoveryReport:
    """What opening a store read, checked, dropped and cut."""

    @property
    def created(self) -> bool:
        """The store was made by this open."""

    @property
    def page_count(self) -> int:
        """Pages that hold logs."""

    @property
    def sealed_page_count(self) -> int:
        """Pages whose seal stood in for a scan."""

    @property
    def bytes_read(self) -> int:
        """Bytes read."""

    @property
    def log_count(self) -> int:
        """Logs that can be read."""

    @property
    def after_seq_no(self) -> int:
        """Every log up to and with this one is gone."""

    @property
    def prev_seq_no(self) -> int:
        """The newest log; 0 where there is none."""

    @property
    def dropped(self) -> Dropped | None:
        """The torn tail that was dropped: writes that nobody was told had succeeded."""

    @property
    def cut(self) -> Corruption | None:
        """The damage at which the log was cut (`corruption="truncate"`)."""

    @property
    def quarantined(self) -> list[str]:
        """Copies of the page files that were cut."""

    @property
    def duration(self) -> float:
        """How long it took, in seconds."""

    def as_dict(self) -> dict[str, object]:
        """The attributes by name; those of `dropped` and `cut`, too."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Dropped:
    """A torn tail."""

    @property
    def page(self) -> int:
        """Number of the page file in which it starts."""

    @property
    def offset(self) -> int:
        """Where in it, in bytes."""

    @property
    def frame_count(self) -> int:
        """Whole frames behind the tear that were dropped with it."""

    def as_dict(self) -> dict[str, object]:
        """The attributes by name."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Corruption:
    """Where stored bytes are not what was written."""

    @property
    def page(self) -> int:
        """Number of the page file."""

    @property
    def offset(self) -> int:
        """Where in it, in bytes."""

    @property
    def after_seq_no(self) -> int:
        """The last log before the damage."""

    @property
    def detail(self) -> str:
        """What is wrong there."""

    def as_dict(self) -> dict[str, object]:
        """The attributes by name."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]
