"""Stores to measure on: the same sizes as those of the bench of the Rust engine."""

from __future__ import annotations

import os
import time
from pathlib import Path

import waldo

BATCH_COUNT = 2048
BATCH_PAYLOAD = 1024
SMALL_PAYLOAD = 256
MIB = 1024 * 1024
_BLOCK = 4096


def bulk(directory: Path, *, durable: bool, depth: int) -> waldo.Waldo:
    """A store for batches of 2,048 logs of 1 KiB, of 1 GiB."""
    batch = BATCH_COUNT * (BATCH_PAYLOAD + 32) + 2 * _BLOCK
    buf_capacity = -(-batch // _BLOCK) * _BLOCK
    return waldo.open(
        directory,
        create=True,
        ring_size=4,
        pool_size=depth + 1,
        buf_capacity=buf_capacity,
        file_capacity=256 * MIB,
        index_capacity=65_536,
        file_o_dsync=durable,
    )


def small(directory: Path) -> waldo.Waldo:
    """A durable store for small logs, of 512 MiB."""
    return waldo.open(
        directory, create=True, ring_size=4, file_capacity=128 * MIB, index_capacity=65_536
    )


def wait_until_prepared(log: waldo.Waldo) -> None:
    """Waits until no page is being prepared, as the bench of the Rust engine does."""
    while log.metadata().pending_resets:
        time.sleep(0.01)


def hot(directory: Path) -> waldo.Waldo:
    """A store with 16 MiB of logs of 1 KiB, all of them in memory."""
    log = waldo.open(
        directory,
        create=True,
        file_o_dsync=False,
        tail_capacity=32 * MIB,
        pool_size=16,
    )
    batch = [os.urandom(BATCH_PAYLOAD) for _ in range(512)]
    for _ in range(32):
        log.append_many(batch)
    return log
