"""How a command ends, in a number."""

from enum import IntEnum

import waldo


class ExitCode(IntEnum):
    """The exit status of every command."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    CORRUPT = 3
    LOCKED = 4
    UNSUPPORTED = 5
    NOT_A_STORE = 6
    NEWER = 7
    INCOMPLETE = 8
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILURE: "something else went wrong",
    ExitCode.USAGE: "wrong options",
    ExitCode.CORRUPT: "stored logs are damaged",
    ExitCode.LOCKED: "another process has the store open for writing",
    ExitCode.UNSUPPORTED: "the system lacks what is needed",
    ExitCode.NOT_A_STORE: "there is no store, or it was removed",
    ExitCode.NEWER: "the store was written by a newer version",
    ExitCode.INCOMPLETE: "logs went (trimmed, overwritten, truncated) before they were read",
    ExitCode.INTERRUPTED: "Ctrl-C",
    ExitCode.BROKEN_PIPE: "whoever reads the output went away",
}

_OF_EXCEPTIONS: list[tuple[type[BaseException], ExitCode]] = [
    (waldo.CorruptionError, ExitCode.CORRUPT),
    (waldo.LockedError, ExitCode.LOCKED),
    (waldo.UnsupportedError, ExitCode.UNSUPPORTED),
    (waldo.NotAStoreError, ExitCode.NOT_A_STORE),
    (waldo.StoreNotFoundError, ExitCode.NOT_A_STORE),
    (waldo.GoneError, ExitCode.NOT_A_STORE),
    (waldo.NewerError, ExitCode.NEWER),
]


def of_exception(error: BaseException) -> ExitCode:
    """The exit code that says what went wrong."""
    return next(
        (code for kind, code in _OF_EXCEPTIONS if isinstance(error, kind)), ExitCode.FAILURE
    )
