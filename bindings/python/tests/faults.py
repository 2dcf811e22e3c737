"""Has the kernel refuse system calls of this process, for good."""

from __future__ import annotations

import ctypes
import os
import struct

# Numbers of the calls, by machine.
CALLS = {
    "x86_64": {"pwrite64": 18, "fsync": 74, "fdatasync": 75, "pwritev2": 328, "preadv2": 327},
    "aarch64": {"pwrite64": 68, "fsync": 82, "fdatasync": 83, "pwritev2": 287, "preadv2": 286},
}

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}


def refuse(errno: int, *names: str) -> None:
    """Has calls fail with an error number, in every thread."""
    machine = os.uname().machine
    calls = {"io_uring_setup": 425, **CALLS[machine]}
    load_number = struct.pack("HBBI", 0x20, 0, 0, 0)
    instructions = [load_number]
    for left, name in enumerate(reversed(names), 1):
        # On a match, jump to the last instruction.
        instructions.insert(1, struct.pack("HBBI", 0x15, left, 0, calls[name]))
    instructions.append(struct.pack("HBBI", 0x06, 0, 0, SECCOMP_RET_ALLOW))
    instructions.append(struct.pack("HBBI", 0x06, 0, 0, SECCOMP_RET_ERRNO | errno))
    code = ctypes.create_string_buffer(b"".join(instructions))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    filtered = libc.syscall(
        SYS_SECCOMP[machine],
        SECCOMP_SET_MODE_FILTER,
        SECCOMP_FILTER_FLAG_TSYNC,
        ctypes.create_string_buffer(program),
    )
    if filtered != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
