"""The bytes of a feed: opened, decompressed, turned into UTF-8, counted, all in constant memory."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from pipeline.errors import FeedError, printable_path

HEAD_BYTES: Final = 256 * 1024
"""How much of a feed is looked at to tell its format; also the size of one read."""
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_READ_BYTES: Final = 4096
_UTF16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class StreamBroken(Exception):
    """The compressed stream ends too early or is damaged (internal: readers add the line)."""


class Source:
    """A feed's bytes as UTF-8 without a byte order mark.

    ``head`` is the first part of it, ``stream`` all of it; ``position()`` tells how many bytes
    of the ``size`` of the file (compressed, as it lies on the disk) have been read.
    Raises FeedError when the feed cannot be opened, is a folder or is empty.
    """

    def __init__(self, path: Path | None, stdin: BinaryIO | None = None) -> None:
        """Open ``path``, or read ``stdin`` when it is None."""
        self.path = path
        self.name = "stdin" if path is None else printable_path(path)
        raw = _open(path, self.name) if path is not None else stdin
        if raw is None:
            raise FeedError("there is nothing on stdin to read; name a file instead")
        self._counted = _Counted(raw)
        self.size: int | None = None if path is None else os.fstat(raw.fileno()).st_size
        try:
            self._prepare()
        except StreamBroken as error:
            self.close()
            raise FeedError(f"{self.name}: {error}; fetch the file again") from error
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        magic = _read_up_to(self._counted, 4)
        stream: io.RawIOBase = _Prefixed(magic, self._counted)
        if magic.startswith(_GZIP):
            # read1, for read throws away what it has when the stream breaks off.
            stream = _Guarded(gzip.GzipFile(fileobj=io.BufferedReader(stream, HEAD_BYTES)).read1)
        elif magic == _ZSTD:
            stream = _Guarded(_zstd_read(stream))
        head = _read_up_to(stream, HEAD_BYTES)
        if not head:
            raise FeedError(f"{self.name}: the file is empty; there is nothing to score")
        stream = _Prefixed(head, stream)
        encoding = _UTF16.get(head[:2])
        self.had_bom = encoding is not None or head.startswith(codecs.BOM_UTF8)
        if encoding is not None:
            stream = _Recoded(stream, encoding)
            head = _read_up_to(stream, HEAD_BYTES)
            stream = _Prefixed(head, stream)
        elif _is_unmarked_utf16(head):
            raise FeedError(
                f"{self.name}: line 1: this looks like UTF-16 without its mark; save it as UTF-8"
            )
        if head.startswith(codecs.BOM_UTF8):
            stream.read(3)
            head = head[3:]
        if b"\n" not in head and b"\r" in head[:-1]:  # the line ends of old Mac programs
            head = head.replace(b"\r", b"\n")
            stream = _Mapped(stream)
        self.head = head
        self.stream: BinaryIO = io.BufferedReader(stream, HEAD_BYTES)

    def position(self) -> int:
        """Return how many bytes of the file have been read so far."""
        return self._counted.count

    def close(self) -> None:
        """Close the file; stdin is left open."""
        if self.path is not None:
            self._counted.inner.close()


def _open(path: Path, name: str) -> BinaryIO:
    try:
        if path.is_dir():
            raise FeedError(f"{name}: this is a folder; name a file in it")
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise FeedError(f"{name}: there is no such file; check the name and the folder") from error
    except PermissionError as error:
        raise FeedError(
            f"{name}: the file may not be read; ask its owner for permission (chmod u+r)"
        ) from error
    except OSError as error:
        raise FeedError(f"{name}: the file cannot be opened ({error.strerror})") from error


def _read_up_to(stream: io.RawIOBase, count: int) -> bytes:
    """Read ``count`` bytes, fewer only at the end or before a break in the stream."""
    parts: list[bytes] = []
    while count > 0:
        try:
            part = stream.read(count)
        except StreamBroken:
            if parts:  # the break is met again, and reported with its line, when reading on
                break
            raise
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _is_unmarked_utf16(head: bytes) -> bool:
    """Return whether every other byte is NUL and the rest is not, as in UTF-16 of Latin text."""
    even, odd = head[:64:2], head[1:64:2]
    if len(odd) < 4:
        return False
    return (not any(odd) and all(even)) or (not any(even) and all(odd))


class _Reader(io.RawIOBase, ABC):
    """Base of the layers: a subclass gives the next bytes."""

    def readable(self) -> bool:
        return True

    @abstractmethod
    def _next(self, limit: int) -> bytes:
        """Return at most ``limit`` bytes, none at the end."""

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        part = self._next(len(view))
        view[: len(part)] = part
        return len(part)


class _Counted(_Reader):
    def __init__(self, inner: BinaryIO) -> None:
        self.inner = inner
        self.count = 0

    def _next(self, limit: int) -> bytes:
        part = self.inner.read(limit)
        self.count += len(part)
        return part


class _Prefixed(_Reader):
    def __init__(self, prefix: bytes, rest: io.RawIOBase) -> None:
        self._prefix = prefix
        self._rest = rest

    def _next(self, limit: int) -> bytes:
        if self._prefix:
            part, self._prefix = self._prefix[:limit], self._prefix[limit:]
            return part
        return self._rest.read(limit) or b""


class _Guarded(_Reader):
    """Decompressed bytes; the many ways of saying "damaged" become StreamBroken."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def _next(self, limit: int) -> bytes:
        try:
            return self._read(min(limit, HEAD_BYTES))
        except EOFError as error:
            raise StreamBroken("the compressed file is cut short") from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise StreamBroken("the compressed file is damaged") from error
        except OSError as error:
            if error.errno is not None:  # the disk or the network failed, not the format
                raise
            cut = "runcated" in str(error)
            raise StreamBroken(
                f"the compressed file is {'cut short' if cut else 'damaged'}"
            ) from error


def _zstd_read(stream: io.RawIOBase) -> Callable[[int], bytes]:
    # Arrow's reader notices a cut frame and reads frame after frame; zstandard's does neither.
    import pyarrow as pa

    inner = pa.PythonFile(io.BufferedReader(stream, HEAD_BYTES), mode="r")
    read: Callable[[int], bytes] = pa.CompressedInputStream(inner, "zstd").read
    # A read that meets the end of a cut stream gives nothing at all: small ones lose little.
    return lambda limit: read(min(limit, _ZSTD_READ_BYTES))


class _Recoded(_Reader):
    """UTF-16 as UTF-8; what is not valid stays invalid, so that its row is rejected."""

    def __init__(self, inner: io.RawIOBase, encoding: str) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._ready = b""
        self._ended = False

    def _next(self, limit: int) -> bytes:
        while not self._ready and not self._ended:
            part = self._inner.read(HEAD_BYTES) or b""
            self._ended = not part
            try:
                text = self._decoder.decode(part, final=self._ended)
            except UnicodeDecodeError:  # half a character at the very end
                self._ready = b"\xff"
                break
            self._ready = text.encode("utf-8", "surrogatepass")
        result, self._ready = self._ready[:limit], self._ready[limit:]
        return result


class _Mapped(_Reader):
    def __init__(self, inner: io.RawIOBase) -> None:
        self._inner = inner

    def _next(self, limit: int) -> bytes:
        return (self._inner.read(limit) or b"").replace(b"\r", b"\n")
