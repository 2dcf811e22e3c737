"""Waldo: an append-only, on-disk ring buffer of log records, made for write-ahead logs.

    import waldo

    with waldo.open("journal", create=True) as log:
        seq_no = log.append(b"payload")
        for chunk in log.query(waldo.From(seq_no)):
            for record in chunk:
                print(record.seq_no, record.data)

The same objects serve asyncio: `async with waldo.open(...)`, `await log.submit([...])`,
`async for chunk in log.stream(waldo.Tip)`.
"""

from waldo._errors import (
    BatchTooLargeError,
    BusyError,
    ClosedError,
    CorruptionError,
    ExceedsLimitError,
    ExhaustedError,
    ForkedError,
    FullError,
    GoneError,
    LockedError,
    NewerError,
    NotAStoreError,
    NotFoundError,
    OptionError,
    OrderError,
    PoisonedError,
    SequenceError,
    StorageError,
    StoreNotFoundError,
    TrimmedError,
    TruncatedError,
    UnsupportedError,
    WaldoError,
)
from waldo._waldo import (
    After,
    Chunk,
    Corruption,
    Cursor,
    Dropped,
    From,
    Log,
    Metadata,
    Options,
    RecoveryReport,
    Sink,
    Stream,
    Ticket,
    Tip,
    Trim,
    Waldo,
    __version__,
    open,
)

__all__ = [
    "After",
    "BatchTooLargeError",
    "BusyError",
    "Chunk",
    "ClosedError",
    "Corruption",
    "CorruptionError",
    "Cursor",
    "Dropped",
    "ExceedsLimitError",
    "ExhaustedError",
    "ForkedError",
    "From",
    "FullError",
    "GoneError",
    "LockedError",
    "Log",
    "Metadata",
    "NewerError",
    "NotAStoreError",
    "NotFoundError",
    "OptionError",
    "Options",
    "OrderError",
    "PoisonedError",
    "RecoveryReport",
    "SequenceError",
    "Sink",
    "StorageError",
    "StoreNotFoundError",
    "Stream",
    "Ticket",
    "Tip",
    "Trim",
    "TrimmedError",
    "TruncatedError",
    "UnsupportedError",
    "Waldo",
    "WaldoError",
    "__version__",
    "open",
]
