"""include/waldo.h for ctypes: every struct, constant and function of libwaldo, and nothing else.

Handles (store, queue, ...) are c_void_p. What a function does, who owns what, and which threads
may call it is said in waldo.h. Calls made through ctypes let other Python threads run meanwhile.
"""

import ctypes
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import TYPE_CHECKING, Any

OK, INVALID_ARGUMENT, AGAIN, CLOSED = 0, -1, -3, -8

KIND_OPEN, KIND_CLOSE, KIND_APPEND, KIND_SYNC, KIND_TRIM = 1, 2, 3, 4, 5
KIND_TRUNCATE, KIND_CLEAR, KIND_QUERY, KIND_STREAM_NEXT = 6, 7, 8, 9

APPEND_ASSIGN, APPEND_ATOMIC, APPEND_DURABLE, APPEND_BORROW = 1, 2, 4, 8
CURSOR_TRIM, CURSOR_TIP, CURSOR_AFTER, CURSOR_FROM = 0, 1, 2, 3
QUERY_WAIT = 1


class Error(Structure):
    _fields_ = [
        ("status", c_int32),
        ("os_errno", c_int32),
        ("wanted", c_uint64),
        ("actual", c_uint64),
        ("reserved", c_uint64 * 4),
        ("message", c_char * 256),
    ]


class Log(Structure):
    _fields_ = [
        ("seq_no", c_uint64),
        ("prev_seq_no", c_uint64),
        ("data", c_void_p),
        ("len", c_uint64),
    ]


class Completion(Structure):
    _fields_ = [
        ("user_data", c_uint64),
        ("kind", c_uint32),
        ("status", c_int32),
        ("os_errno", c_int32),
        ("flags", c_uint32),
        ("first_seq_no", c_uint64),
        ("last_seq_no", c_uint64),
        ("count", c_uint64),
        ("wanted", c_uint64),
        ("actual", c_uint64),
        ("chunk", c_void_p),
        ("store", c_void_p),
        ("reserved", c_uint64 * 2),
    ]


def _numbers(names: str) -> list[tuple[str, type[c_uint64]]]:
    return [(name, c_uint64) for name in names.split()]


class Metadata(Structure):
    _fields_ = _numbers(
        "after_seq_no prev_seq_no durable_seq_no log_count index_count disk_size index_size"
        " page_count pending_resets pending_appends pending_queries pending_fsyncs buffers_free"
        " buffers_detached read_memory_used waiting_streams log_size_limit batch_size_limit"
        " batch_count_limit"
    )


class Recovery(Structure):
    _fields_ = _numbers(
        "created page_count sealed_page_count bytes_read log_count after_seq_no prev_seq_no"
        " dropped dropped_page dropped_offset dropped_frame_count cut cut_page cut_offset"
        " cut_after_seq_no quarantined_count duration_ns"
    )


CompletionFn = CFUNCTYPE(None, c_void_p, POINTER(Completion), c_size_t)

_handle, _out_handle = c_void_p, POINTER(c_void_p)
_error, _out_u64, _out_size = POINTER(Error), POINTER(c_uint64), POINTER(c_size_t)
_status = c_int32
# Arguments that many calls have in common: the last of asynchronous ones, the first of appends.
_submit = [_handle, c_uint64, _error]
_logs = [_handle, POINTER(Log), c_size_t, c_uint32]
_packed = [_handle, c_void_p, c_uint64, POINTER(c_uint64), c_size_t, c_uint32]

_FUNCTIONS = {
    "version_number": (c_uint32, []),
    "version_string": (c_char_p, []),
    "abi_version": (c_uint32, []),
    "probe": (_status, [_out_u64, _error]),
    "status_name": (c_char_p, [_status]),
    "status_traits": (c_uint32, [_status]),
    "options_new": (_status, [_out_handle]),
    "options_free": (None, [_handle]),
    "options_set": (_status, [_handle, c_char_p, c_char_p, _error]),
    "options_set_u64": (_status, [_handle, c_char_p, c_uint64, _error]),
    "options_get": (_status, [_handle, c_char_p, c_char_p, c_size_t, _error]),
    "options_key": (c_char_p, [c_size_t]),
    "queue_new": (_status, [c_uint32, _out_handle, _error]),
    "queue_new_callback": (_status, [c_uint32, CompletionFn, c_void_p, _out_handle, _error]),
    "queue_fd": (c_int, [_handle]),
    "queue_poll": (c_size_t, [_handle, POINTER(Completion), c_size_t]),
    "queue_wait": (
        _status,
        [_handle, POINTER(Completion), c_size_t, c_size_t, c_int64, _out_size],
    ),
    "queue_cancel": (_status, [_handle, c_uint64]),
    "queue_release": (None, [_handle]),
    "open": (_status, [c_char_p, _handle, _out_handle, _error]),
    "open_async": (_status, [c_char_p, _handle, *_submit]),
    "close": (_status, [_handle, c_int64, _error]),
    "close_async": (_status, [_handle, *_submit]),
    "retain": (None, [_handle]),
    "release": (None, [_handle]),
    "append": (_status, [*_logs, _out_u64, _error]),
    "append_async": (_status, [*_logs, *_submit]),
    "append_packed": (_status, [*_packed, _out_u64, _error]),
    "append_packed_async": (_status, [*_packed, *_submit]),
    "sync": (_status, [_handle, _error]),
    "sync_async": (_status, [_handle, *_submit]),
    "trim": (_status, [_handle, c_uint64, _error]),
    "trim_async": (_status, [_handle, c_uint64, *_submit]),
    "truncate": (_status, [_handle, c_uint64, _error]),
    "truncate_async": (_status, [_handle, c_uint64, *_submit]),
    "clear": (_status, [_handle, _error]),
    "clear_async": (_status, [_handle, *_submit]),
    "query": (_status, [_handle, c_uint32, c_uint64, c_uint32, c_int64, _out_handle, _error]),
    "query_async": (_status, [_handle, c_uint32, c_uint64, c_uint32, *_submit]),
    "stream_new": (_status, [_handle, c_uint32, c_uint64, c_uint32, _out_handle, _error]),
    "stream_next": (_status, [_handle, c_int64, _out_handle, _error]),
    "stream_next_async": (_status, [_handle, *_submit]),
    "stream_position": (c_uint64, [_handle]),
    "stream_seek": (_status, [_handle, c_uint64, _error]),
    "stream_release": (None, [_handle]),
    "chunk_count": (c_size_t, [_handle]),
    "chunk_logs": (c_size_t, [_handle, c_size_t, POINTER(Log), c_size_t]),
    "chunk_data": (c_void_p, [_handle, _out_size]),
    "chunk_retain": (None, [_handle]),
    "chunk_release": (None, [_handle]),
    "metadata_get": (_status, [_handle, POINTER(Metadata), c_size_t, _error]),
    "recovery_get": (_status, [_handle, POINTER(Recovery), c_size_t, _error]),
    "prev_seq_no": (_status, [_handle, _out_u64]),
    "durable_seq_no": (_status, [_handle, _out_u64]),
}


class Library:
    """libwaldo: `append` is the C function `waldo_append`, and so on."""

    def __init__(self, name: str) -> None:
        library = ctypes.CDLL(name)
        for function, (result, arguments) in _FUNCTIONS.items():
            found = getattr(library, "waldo_" + function)
            found.restype, found.argtypes = result, arguments
            setattr(self, function, found)
        if self.abi_version() != 0:
            raise ImportError(f"{name} has ABI {self.abi_version()}; this module is for ABI 0")

    if TYPE_CHECKING:

        def __getattr__(self, function: str) -> Any: ...


lib = Library(os.environ.get("WALDO_LIBRARY", "libwaldo.so.0"))


def bytes_at(log: Log) -> bytes:
    """A copy of a log's payload."""
    return ctypes.string_at(log.data, log.len) if log.len else b""
