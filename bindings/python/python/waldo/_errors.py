"""What can go wrong.

Every exception of this package is a `WaldoError`; times that are over raise the builtin
`TimeoutError`. Attributes say what a program needs to act, and all of it survives pickling.
"""

from __future__ import annotations

__all__ = [
    "BatchTooLargeError",
    "BusyError",
    "ClosedError",
    "CorruptionError",
    "ExceedsLimitError",
    "ExhaustedError",
    "ForkedError",
    "FullError",
    "GoneError",
    "LockedError",
    "NewerError",
    "NotAStoreError",
    "NotFoundError",
    "OptionError",
    "OrderError",
    "PoisonedError",
    "SequenceError",
    "StorageError",
    "StoreNotFoundError",
    "TrimmedError",
    "TruncatedError",
    "UnsupportedError",
    "WaldoError",
]


class WaldoError(Exception):
    """Base of every exception of this package."""


class _DescribedError(WaldoError):
    """An exception whose first argument is the whole message."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class OptionError(_DescribedError, ValueError):
    """An option has a value that cannot work, here or for this store."""

    def __init__(self, message: str, name: str, value: str) -> None:
        super().__init__(message, name, value)
        self.name: str = name
        """Name of the option."""
        self.value: str = value
        """The value that it has, as text."""


class SequenceError(_DescribedError):
    """A log does not follow the newest one, or the one before it in the same call.

    Nothing of that call was appended, unless it was larger than a frame.
    """

    def __init__(self, message: str, seq_no: int, wanted: int, actual: int) -> None:
        super().__init__(message, seq_no, wanted, actual)
        self.seq_no: int = seq_no
        """Number of the log."""
        self.wanted: int = wanted
        """The `prev_seq_no` that would have been accepted."""
        self.actual: int = actual
        """The `prev_seq_no` that the log has."""


class OrderError(_DescribedError, ValueError):
    """The `seq_no` of a log is not greater than its `prev_seq_no`."""

    def __init__(self, message: str, seq_no: int, prev_seq_no: int) -> None:
        super().__init__(message, seq_no, prev_seq_no)
        self.seq_no: int = seq_no
        """Number of the log."""
        self.prev_seq_no: int = prev_seq_no
        """The number that it says comes before."""


class ExceedsLimitError(_DescribedError, ValueError):
    """A log is larger than a buffer or a page can take; nothing was appended."""

    def __init__(self, message: str, seq_no: int, size: int, limit: int) -> None:
        super().__init__(message, seq_no, size, limit)
        self.seq_no: int = seq_no
        """Number of the log; its index in the call where the store numbers."""
        self.size: int = size
        """Bytes that the log takes, with its header."""
        self.limit: int = limit
        """Bytes that a log may take."""


class BatchTooLargeError(_DescribedError, ValueError):
    """Logs that are to be appended all or none do not fit one frame; nothing was appended."""

    def __init__(
        self, message: str, count: int, count_limit: int, size: int, size_limit: int
    ) -> None:
        super().__init__(message, count, count_limit, size, size_limit)
        self.count: int = count
        """Logs in the batch."""
        self.count_limit: int = count_limit
        """Logs that a frame may hold."""
        self.size: int = size
        """Bytes that the logs take, with their headers."""
        self.size_limit: int = size_limit
        """Bytes that a frame may take."""


class ExhaustedError(_DescribedError):
    """No sequence numbers are left to be assigned."""

    def __init__(self, message: str, tip: int) -> None:
        super().__init__(message, tip)
        self.tip: int = tip
        """The newest log."""


class FullError(_DescribedError):
    """The ring is full of logs that are held: trim some, and try again."""

    def __init__(self, message: str, oldest: int) -> None:
        super().__init__(message, oldest)
        self.oldest: int = oldest
        """The oldest log, which would have to go."""


class TrimmedError(_DescribedError):
    """The logs asked for are trimmed. A stream goes on with the oldest one that is left."""

    def __init__(self, message: str, oldest: int) -> None:
        super().__init__(message, oldest)
        self.oldest: int = oldest
        """The oldest log that is left: go on with `From(error.oldest)`."""


class TruncatedError(_DescribedError):
    """Logs that a reader had reached were truncated. A stream goes on behind them."""

    def __init__(self, message: str, tip: int) -> None:
        super().__init__(message, tip)
        self.tip: int = tip
        """The last log that is left: go on with `After(error.tip)`."""


class CorruptionError(_DescribedError):
    """Stored bytes are not what was written. Nothing was changed."""

    def __init__(self, message: str, page: int, offset: int, after_seq_no: int) -> None:
        super().__init__(message, page, offset, after_seq_no)
        self.page: int = page
        """Number of the page file."""
        self.offset: int = offset
        """Where in it, in bytes."""
        self.after_seq_no: int = after_seq_no
        """The last log before the damage."""


class NotFoundError(_DescribedError, LookupError):
    """A truncation names a log that the store does not hold."""

    def __init__(self, message: str, seq_no: int) -> None:
        super().__init__(message, seq_no)
        self.seq_no: int = seq_no
        """The number asked for."""


class LockedError(_DescribedError):
    """Another handle, in this process or another, has the store open."""

    def __init__(self, message: str, path: str, pid: int | None) -> None:
        super().__init__(message, path, pid)
        self.path: str = path
        """Directory of the store."""
        self.pid: int | None = pid
        """The process that has it, where that could be read."""


class NotAStoreError(_DescribedError):
    """The directory holds something other than a store."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message, path)
        self.path: str = path
        """The directory."""


class NewerError(_DescribedError):
    """The store was written by a newer version of Waldo."""

    def __init__(self, message: str, path: str, version: int, features: int) -> None:
        super().__init__(message, path, version, features)
        self.path: str = path
        """The page file."""
        self.version: int = version
        """Version of the format that was found there."""
        self.features: int = features
        """Features that are unknown here, as bits."""


class UnsupportedError(_DescribedError):
    """The system lacks something that was asked for explicitly."""

    def __init__(self, message: str, hint: str, errno: int | None) -> None:
        super().__init__(message, hint, errno)
        self.hint: str = hint
        """What to do about it."""
        self.errno: int | None = errno
        """The system's answer."""


class PoisonedError(_DescribedError):
    """A write or a sync failed, now or earlier.

    What was not acknowledged may be on disk or not. Close the store and open it again to recover.
    """

    def __init__(self, message: str, errno: int | None) -> None:
        super().__init__(message, errno)
        self.errno: int | None = errno
        """The system's error number, where the system failed it."""


class ClosedError(_DescribedError):
    """The store is closed."""


class GoneError(_DescribedError):
    """The directory of a store that is followed was removed, moved or replaced."""


class BusyError(_DescribedError, RuntimeError):
    """The stream or sink is in use: by one thread or task at a time."""


class ForkedError(_DescribedError):
    """The object was made before a fork, and is used in the child: open the store anew there."""


class StorageError(WaldoError, OSError):
    """The system refused a call on a file, or the disk is full (`errno` is `ENOSPC`).

    `errno`, `strerror` and `filename` are those of `OSError`.
    """


class StoreNotFoundError(StorageError, FileNotFoundError):
    """There is no store in the directory, and `create=True` was not asked for."""
