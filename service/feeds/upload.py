"""An upload on its way to the disk: written as it comes, bounded, gone without trace if it fails.

Both a browser's form and a bare body are taken. The sender's name for the file is kept to be
shown; on the disk the file has a random name with an ending out of a fixed list.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from service.feeds.errors import FULL, DiskFull, FeedTooLarge, UploadCutOff
from service.web import storable

FORM_BYTES: Final = 1024 * 1024
"""What a form may take beside its file."""
_INCOMING: Final = "incoming-"
_STALE_S: Final = 24 * 3600
"""An upload that has not grown for a day was killed with its server."""
_WRITE_BYTES: Final = 1024 * 1024
_FIELD_BYTES: Final = 1000
_ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".txt")
_COMPRESSIONS: Final = (".gz", ".zst")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that came in whole and lies on the disk."""

    path: Path
    name: str
    bytes: int
    digest: str
    """SHA-256."""
    fields: Mapping[str, str]
    """What a form said besides the file."""

    def discard(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def shown_name(name: str) -> str:
    """Return a file's name as it may be shown: without folders and control characters."""
    name = storable(name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = "".join(char for char in name if char.isprintable()).strip()
    return name[-200:] if name.strip(".") else "feed"


def ending(name: str) -> str:
    """Return the ending that says the format, out of a fixed list; empty where it says none."""
    name = name.lower()
    packed = next((c for c in _COMPRESSIONS if name.endswith(c)), "")
    plain = name.removesuffix(packed)
    return next((e for e in _ENDINGS if plain.endswith(e)), "") + packed


def sweep(folder: Path) -> None:
    """Delete what uploads left behind whose server was killed."""
    for path in folder.glob(_INCOMING + "*"):
        try:
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue


class Receiver:
    """A file that is coming in; use it as a context: without ``finish`` nothing is left of it."""

    def __init__(self, folder: Path, limit: int) -> None:
        """``limit`` is the largest size in bytes."""
        self._folder = folder
        self._limit = limit
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._name = ""
        self._size = 0
        self._digest = hashlib.sha256()

    @property
    def begun(self) -> bool:
        """Whether there is a file yet."""
        return self._file is not None

    def begin(self, name: str) -> None:
        """Open the file that the sender calls ``name``."""
        self._name = shown_name(name)
        with _disk():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / f"{_INCOMING}{uuid.uuid4().hex}{ending(self._name)}"
            self._file = self._path.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            FeedTooLarge: they are more than the desk takes.
            DiskFull: they do not fit on the disk.
        """
        assert self._file is not None
        self._size += len(data)
        if self._size > self._limit:
            raise too_large(self._limit)
        self._digest.update(data)
        with _disk():
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]

    def finish(self, fields: Mapping[str, str]) -> Upload:
        """Put the file on the disk for good and return it; it keeps its unfinished name."""
        assert self._file is not None
        assert self._path is not None
        with _disk():
            os.fsync(self._file.fileno())
            self._file.close()
        done = Upload(
            path=self._path,
            name=self._name,
            bytes=self._size,
            digest=self._digest.hexdigest(),
            fields=fields,
        )
        self._path = None
        return done

    def close(self) -> None:
        """Close the file, and delete it unless it is finished."""
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def too_large(limit: int) -> FeedTooLarge:
    """Return the error for a file over the limit."""
    return FeedTooLarge(
        f"the file is larger than {limit / 1024**2:.3g} MiB; compress it, or send it in parts"
    )


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull from error
        raise


class _Form:
    """The parts of a multipart body as they come: the file to the receiver, fields to a dict."""

    def __init__(self, boundary: bytes, receiver: Receiver) -> None:
        self.fields: dict[str, str] = {}
        self.ended = False
        self._receiver = receiver
        self._header, self._header_value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._field = ""
        self._value = b""
        self._is_file = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._more_header,
                "on_header_value": self._more_header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def write(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError:
            raise UploadCutOff("this is not a form that can be read; send it again") from None

    def _begin(self) -> None:
        self._headers, self._value = {}, b""

    def _more_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _more_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._header_value
        self._header, self._header_value = b"", b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._field == "file"
        if self._is_file:
            if self._receiver.begun:
                raise UploadCutOff("send one file at a time")
            self._receiver.begin(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._receiver.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _FIELD_BYTES:
            raise UploadCutOff(f"a field of the form is longer than {_FIELD_BYTES} bytes")

    def _part_end(self) -> None:
        if not self._is_file and self._field and len(self.fields) < 20:
            self.fields[self._field] = storable(self._value.decode("utf-8", "replace")).strip()

    def _end(self) -> None:
        self.ended = True


async def receive(request: Request, *, folder: Path, limit: int, name: str | None) -> Upload:
    """Write the file of a request to the disk and return it.

    ``name`` is the sender's name of a file that comes as a bare body.

    Raises:
        FeedTooLarge: the file is larger than ``limit`` bytes.
        DiskFull: there is no room for it.
        UploadCutOff: the sender went away, or the body is no form and has no name.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit():
        if int(declared) > limit + FORM_BYTES:
            raise too_large(limit)
        await run_in_threadpool(_check_room, folder, int(declared))
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    receiver = Receiver(folder, limit)
    form = None
    try:
        if kind == b"multipart/form-data":
            if not options.get(b"boundary"):
                raise UploadCutOff("the form names no boundary; send it again")
            form = _Form(options[b"boundary"], receiver)
        elif name:
            await run_in_threadpool(receiver.begin, name)
        else:
            raise UploadCutOff(
                "send a form with the file in its field “file”, or the file as the body with its "
                "name in the query: ?name=feed.csv"
            )
        sink = receiver.write if form is None else form.write
        waiting = bytearray()
        async for part in request.stream():
            waiting += part
            if len(waiting) >= _WRITE_BYTES:
                await run_in_threadpool(sink, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(sink, bytes(waiting))
        if form is not None and not (form.ended and receiver.begun):
            raise UploadCutOff(
                "the form has no field “file”" if form.ended else "the upload was cut off"
            )
        return await run_in_threadpool(receiver.finish, form.fields if form else {})
    except ClientDisconnect:
        raise UploadCutOff("the upload was cut off") from None
    finally:
        receiver.close()


def copy(path: Path, *, folder: Path, limit: int) -> Upload:
    """Copy a file of this machine into the feeds' folder and return the copy.

    Raises:
        FeedTooLarge: the file is larger than ``limit`` bytes.
        DiskFull: there is no room for it.
    """
    receiver = Receiver(folder, limit)
    try:
        receiver.begin(path.name)
        with path.open("rb") as file:
            while part := file.read(_WRITE_BYTES):
                receiver.write(part)
        return receiver.finish({})
    finally:
        receiver.close()


def keep(upload: Upload, folder: Path) -> str:
    """Give a file its lasting name, put that on the disk, and return it."""
    name = upload.path.name.removeprefix(_INCOMING)
    upload.path.rename(folder / name)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return name


def _check_room(folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < size:
        raise DiskFull
