"""A disk that is full or fails, a system that refuses io_uring, files that are damaged."""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest
import waldo
from conftest import Script, fill, finished, numbers, small

# Mounts belong to the process then, and go with it.
PRIVATE_MOUNTS = ["unshare", "--map-root-user", "--mount"]


def can_mount() -> bool:
    tried = subprocess.run(
        [*PRIVATE_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"],
        check=False,
        capture_output=True,
    )
    return tried.returncode == 0


@pytest.mark.skipif(
    shutil.which("unshare") is None or not can_mount(),
    reason="a small file system can be mounted neither as root nor in a user namespace",
)
def test_a_full_disk(script: Script, tmp_path: Path) -> None:
    """Space is taken when a store is made: it is there for good, or the open fails."""
    process = script(
        """
        import errno, subprocess
        home = sys.argv[1]
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", home], check=True)
        ballast = open(home + "/ballast", "wb")
        ballast.write(bytes(2 * 1024 * 1024))
        ballast.flush()
        try:
            waldo.open(home + "/store", create=True, **small())
        except waldo.StorageError as error:
            print(error.errno == errno.ENOSPC, error.filename.startswith(home))

        async def main():
            try:
                await waldo.open(home + "/store", create=True, **small())
            except OSError as error:
                print(error.errno == errno.ENOSPC)

        asyncio.run(main())
        ballast.truncate(0)
        with waldo.open(home + "/store", create=True, **small()) as log:
            try:
                ballast.write(bytes(8 * 1024 * 1024))
                ballast.flush()
            except OSError as error:
                print(error.errno == errno.ENOSPC)
            # Three times round the ring.
            fill(log, 120_000)
            print(log.prev_seq_no)
        ballast.close()
        """,
        tmp_path,
        prefix=PRIVATE_MOUNTS,
    )
    assert finished(process) == "True True\nTrue\nTrue\n120000\n"


def test_a_store_is_opened_with_the_sizes_it_was_made_with(directory: Path) -> None:
    """The defaults removed two page files of six, and refused pages that are not of 64 MiB."""

    def files() -> dict[str, int]:
        return {path.name: path.stat().st_size for path in directory.glob("*.page")}

    with waldo.open(
        directory,
        create=True,
        ring_size=6,
        file_capacity=128 * 1024,
        buf_capacity=64 * 1024,
        index_capacity=64,
    ) as log:
        log.append(b"one")
        made = log.options
    before = files()
    assert len(before) == 6
    for _ in range(2):
        with waldo.open(directory) as log:
            assert (log.options.ring_size, log.options.file_capacity) == (6, 128 * 1024)
            # No larger than a page.
            assert log.options.buf_capacity == 128 * 1024
            log.append_many([b"x" * 1000] * 2000)
            assert log.metadata().disk_size == made.ring_size * made.file_capacity
        assert files() == before
    with waldo.open(directory, ring_size=None, file_capacity=None) as log:
        options = log.options
    # What it says can be given back.
    with waldo.open(directory, **options.as_dict()) as log:  # type: ignore[arg-type]
        assert log.options == options
    assert files() == before
    with waldo.open(directory, ring_size=7) as log:
        assert log.options.ring_size == 7
    assert len(files()) == 7


def test_where_io_uring_is_refused(script: Script, directory: Path) -> None:
    process = script(
        """
        import errno, faults
        faults.refuse(errno.EPERM, "io_uring_setup")
        with waldo.open(sys.argv[1], create=True) as log:
            print(log.append(b"one"))
        try:
            waldo.open(sys.argv[1], backend="io_uring")
        except waldo.UnsupportedError as error:
            print(error.errno == errno.EPERM, "seccomp" in error.hint, error.hint in str(error))
            print('the option backend="threads"' in error.hint)
        with waldo.open(sys.argv[1] + "-8", create=True, io="buffered", **small()):
            pass
        try:
            waldo.open(sys.argv[1] + "-8", io="direct", backend="threads")
        except waldo.OptionError as error:
            print(error.name, error.value, str(error).endswith('io="auto" or io="buffered"'))
        """,
        directory,
    )
    assert finished(process) == "1\nTrue True True\nTrue\nio direct True\n"


def test_a_disk_that_fails_poisons_the_store(script: Script, directory: Path) -> None:
    process = script(
        """
        import errno, faults
        log = waldo.open(sys.argv[1], create=True, backend="threads", **small())
        fill(log, 10)
        stream = log.stream(waldo.After(10))
        faults.refuse(errno.EIO, "pwrite64", "pwritev2", "fsync", "fdatasync")
        failed = []

        async def main():
            try:
                await log.submit([b"x"])
            except waldo.PoisonedError as error:
                failed.append(error.errno)
            try:
                await anext(stream)
            except waldo.PoisonedError as error:
                failed.append(error.errno)

        asyncio.run(main())
        for call in (
            lambda: log.append(b"x"),
            lambda: log.submit([b"x"]),
            lambda: log.sync(),
            lambda: stream.next(),
            lambda: log.close(),
            lambda: log.close(),
        ):
            try:
                call()
            except waldo.PoisonedError as error:
                failed.append(error.errno)
        print(failed == [errno.EIO] * 8)
        # What was acknowledged can be read all the same.
        print(numbers(log.query(waldo.Trim)) == list(range(1, 11)))
        """,
        directory,
    )
    assert finished(process) == "True\nTrue\n"
    with waldo.open(directory, **small()) as log:
        fill(log, 5)
        assert numbers(log.query(waldo.Trim)) == list(range(1, 16))


@pytest.mark.parametrize("fault", ["write", "short_write", "sync"])
def test_failures_in_memory(tmp_path: Path, fault: Literal["write", "short_write", "sync"]) -> None:
    log = waldo.open(
        tmp_path / fault,
        backend="memory",
        memory_fail=fault,
        memory_fail_after=2,
        memory_errno=errno.ENODEV,
        **small(),
    )
    with pytest.raises(waldo.PoisonedError) as raised:
        for _ in range(10):
            fill(log, 1)
    assert raised.value.errno == (None if fault == "short_write" else errno.ENODEV)
    with pytest.raises(waldo.PoisonedError):
        log.close()
    # It works again once it is opened anew.
    with waldo.open(tmp_path / fault, backend="memory", **small()) as log:
        fill(log, 10)
    assert not (tmp_path / fault).exists()


def test_reads_that_fail_are_tried_again(tmp_path: Path) -> None:
    with waldo.open(tmp_path, backend="memory", memory_fail="read", **small()) as log:
        fill(log, 10_000)
        query = log.query(waldo.Trim)
        with pytest.raises(waldo.StorageError) as raised:
            query.next()
        assert raised.value.errno == errno.EIO
        assert numbers(query) == list(range(1, 10_001))


def test_a_disk_that_fills_up_while_a_store_grows(tmp_path: Path) -> None:
    with waldo.open(
        tmp_path, backend="memory", memory_fail="space", memory_fail_after=1024 * 1024, **small()
    ) as log:
        with pytest.raises(waldo.StorageError) as raised:
            fill(log, 100_000)
        assert raised.value.errno == errno.ENOSPC
        tip = log.prev_seq_no
        assert numbers(log.query(waldo.Trim)) == list(range(1, tip + 1))
        # There is room again, and the same append can be tried again.
        while log.prev_seq_no < tip + 1000:
            with contextlib.suppress(waldo.StorageError):
                fill(log, 100)
        assert numbers(log.query(waldo.From(tip))) == list(range(tip, log.prev_seq_no + 1))


def damage(directory: Path, offset: int) -> None:
    page = min(directory.glob("*.page"))
    with page.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def test_damage_is_reported_and_cut_only_if_asked(directory: Path) -> None:
    with waldo.open(directory, create=True, **small()) as log:
        for _ in range(20):
            fill(log, 100)
    damage(directory, 20_000)
    with pytest.raises(waldo.CorruptionError) as raised:
        waldo.open(directory, **small())
    error = raised.value
    assert error.page == 0
    assert 0 < error.offset <= 20_000
    with waldo.open(directory, corruption="truncate", **small()) as log:
        report = log.recovery_report
        assert report.cut is not None
        assert (report.cut.page, report.cut.offset) == (error.page, error.offset)
        assert report.cut.after_seq_no == error.after_seq_no == log.prev_seq_no
        assert report.cut.as_dict() == report.as_dict()["cut"]
        assert [Path(copy).parent.name for copy in report.quarantined] == ["quarantine"]
        assert numbers(log.query(waldo.Trim)) == list(range(1, log.prev_seq_no + 1))


def test_a_torn_tail_is_dropped(script: Script, directory: Path) -> None:
    process = script(
        """
        log = waldo.open(sys.argv[1], create=True, file_o_dsync=False, **small())
        fill(log, 10)
        os._exit(0)
        """,
        directory,
    )
    assert finished(process) == ""
    # Garbage behind the last frame, as a write leaves it that was under way.
    page = min(directory.glob("*.page"))
    content = page.read_bytes()
    end = len(content.rstrip(b"\0"))
    with page.open("r+b") as file:
        file.seek((end + 4095) // 4096 * 4096)
        file.write(content[4096:8192])
    with waldo.open(directory, **small()) as log:
        assert numbers(log.query(waldo.Trim)) == list(range(1, log.prev_seq_no + 1))
        assert log.prev_seq_no in {0, 10}
