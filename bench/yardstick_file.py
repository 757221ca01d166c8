"""The bare pipeline's file: a preallocated ring that takes one write and one fdatasync per call, off the event loop."""

import asyncio
import os
import pathlib
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

RING = 64 << 20
"""Bytes. Written full of zeros beforehand, so that no sync has to allocate blocks or change the file's size."""

_RECORD = struct.Struct("<II")
"""Length and CRC-32 before every record."""


class RingFile:
    """Appends records and starts again at the front when full: nobody reads it back."""

    def __init__(self, path: pathlib.Path, size: int = RING) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._size = size
        self._offset = 0
        self._worker = ThreadPoolExecutor(1, "disk")
        for start in range(0, size, 1 << 20):
            os.pwrite(self._file, bytes(min(1 << 20, size - start)), start)
        os.fsync(self._file)

    async def append(self, records: Sequence[bytes]) -> None:
        """Make the records durable: one write, one fdatasync."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._worker, self._write_and_sync, records)

    def _write_and_sync(self, records: Sequence[bytes]) -> None:
        joined = b"".join(_framed(records))
        if self._offset + len(joined) > self._size:
            self._offset = 0
        view = memoryview(joined)
        while view:
            written = os.pwrite(self._file, view, self._offset)
            self._offset += written
            view = view[written:]
        os.fdatasync(self._file)

    def close(self) -> None:
        """Finish what was submitted and give the file up."""
        self._worker.shutdown()
        os.close(self._file)


def _framed(records: Sequence[bytes]) -> list[bytes]:
    pieces: list[bytes] = []
    for record in records:
        pieces += (_RECORD.pack(len(record), zlib.crc32(record)), record)
    return pieces
