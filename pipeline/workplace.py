"""Where a run keeps its unfinished output, so that a kill at any moment loses at most a chunk.

``OUTPUT.part/`` holds the bytes written so far (``data``, ``rejects``), the saved score memory,
and ``state.json``, which is replaced in one step after the bytes it speaks of are on the disk.
A resumed run cuts the files back to what the state says. At the end the files are renamed to
their places; ``state.json`` goes last, so every step can be done again after a kill.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import orjson

from pipeline.errors import CannotResume, DiskFull, OutputError, printable_path

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DATA: Final = "data"
_REJECTS: Final = "rejects"
_STATE: Final = "state.json"
_ASSEMBLED: Final = "assembled"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was finished: rows of the feed, bytes of each file, and the summary so far."""

    records: int = 0
    data_bytes: int = 0
    reject_bytes: int = 0
    generation: int = 0
    memory_bytes: int = 0
    complete: bool = False
    summary: Mapping[str, Any] = field(default_factory=dict)


class Workplace:
    """The folder of one unfinished output, locked against a second run."""

    def __init__(self, output: Path, identity: Mapping[str, Any]) -> None:
        """``identity`` tells feed, model and options; a run resumes only its own kind."""
        self.output = output
        self.rejects_path = rejects_path(output)
        self.folder = part_folder(output)
        self.state = State()
        self._identity = dict(identity)
        self._files: dict[str, IO[bytes]] = {}
        self._lock: IO[bytes] | None = None

    def start(self) -> None:
        """Begin anew, throwing away what an unfinished run left."""
        with writing(self.output):
            self.folder.mkdir(exist_ok=True)
            self._take_lock()
            (self.folder / _STATE).unlink(missing_ok=True)  # first: without it nothing is resumed
            self._clear(keep=("lock",))
            self._save(State())

    def resume(self) -> None:
        """Go back to the last finished chunk; raises CannotResume if the run is of another kind."""
        saved = read_state(self.output)
        if saved is None:
            self.start()
            return
        identity, state = saved
        where = printable_path(self.folder)
        for name, value in self._identity.items():
            if identity.get(name) != value:
                raise CannotResume(
                    f"{where}: the unfinished run had another {name}; use what it used, or start "
                    "anew with --overwrite"
                )
        with writing(self.output):
            self._take_lock()
            self.state = state
            if state.complete:
                return
            for name, size in self._sizes(state).items():
                path = self.folder / name
                if size > (path.stat().st_size if path.exists() else 0):
                    raise CannotResume(
                        f"{where}: the unfinished run is damaged; start anew with --overwrite"
                    )
                if path.exists():
                    os.truncate(path, size)

    def saved_memory(self) -> tuple[bytes, bytes]:
        """Return the saved generations of the score memory, the older one first."""
        old, young = (
            self.folder / _memory(generation)
            for generation in (self.state.generation - 1, self.state.generation)
        )
        young_bytes = young.read_bytes()[: self.state.memory_bytes] if young.exists() else b""
        return (old.read_bytes() if old.exists() else b""), young_bytes

    def append(
        self,
        *,
        data: bytes,
        rejects: bytes,
        memory: bytes,
        records: int,
        next_generation: bool,
        summary: Mapping[str, Any],
    ) -> None:
        """Put a finished chunk on the disk, then the state that says so."""
        before = self.state
        with writing(self.output):
            self._write(_DATA, data)
            self._write(_REJECTS, rejects)
            self._write(_memory(before.generation), memory)
            self._save(
                State(
                    records=before.records + records,
                    data_bytes=before.data_bytes + len(data),
                    reject_bytes=before.reject_bytes + len(rejects),
                    generation=before.generation + next_generation,
                    memory_bytes=0 if next_generation else before.memory_bytes + len(memory),
                    summary=summary,
                )
            )
            if next_generation:
                self._close(_memory(before.generation))
                (self.folder / _memory(before.generation - 1)).unlink(missing_ok=True)

    def finish(self, assemble: Callable[[Path, Path], None] | None, *, keep_data: bool) -> None:
        """Move the files to their places; ``keep_data`` False leaves only the rejects.

        Safe to do again after a kill at any step.
        """
        with writing(self.output):
            for name in list(self._files):
                self._close(name)
            if not self.state.complete:
                self._save_complete()
            rejects, data = self.folder / _REJECTS, self.folder / _DATA
            if rejects.exists():
                rejects.replace(self.rejects_path)
            elif not self.state.reject_bytes:
                self.rejects_path.unlink(missing_ok=True)  # of the run that is overwritten
            if keep_data and data.exists():
                if assemble is not None:
                    assembled = self.folder / _ASSEMBLED
                    assemble(data, assembled)
                    _sync(assembled)
                    assembled.replace(self.output)
                else:
                    data.replace(self.output)
            _sync(self.output.parent)
            self._clear(keep=(_STATE, "lock"))
            (self.folder / _STATE).unlink(missing_ok=True)
            (self.folder / "lock").unlink(missing_ok=True)
            self.folder.rmdir()
            self.close()

    def close(self) -> None:
        """Close the files; what is on the disk stays."""
        for name in list(self._files):
            self._close(name)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _sizes(self, state: State) -> dict[str, int]:
        return {
            _DATA: state.data_bytes,
            _REJECTS: state.reject_bytes,
            _memory(state.generation): state.memory_bytes,
        }

    def _write(self, name: str, data: bytes) -> None:
        if not data:
            return
        if name not in self._files:
            self._files[name] = (self.folder / name).open("ab", buffering=0)
        file = self._files[name]
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())

    def _close(self, name: str) -> None:
        if name in self._files:
            self._files.pop(name).close()

    def _save_complete(self) -> None:
        state = self.state
        self._save(
            State(
                records=state.records,
                data_bytes=state.data_bytes,
                reject_bytes=state.reject_bytes,
                generation=state.generation,
                memory_bytes=state.memory_bytes,
                complete=True,
                summary=state.summary,
            )
        )

    def _save(self, state: State) -> None:
        draft = self.folder / (_STATE + ".draft")
        with draft.open("wb") as file:
            file.write(orjson.dumps({"identity": self._identity, "state": state}))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / _STATE)
        _sync(self.folder)
        self.state = state

    def _take_lock(self) -> None:
        lock = (self.folder / "lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise OutputError(
                f"{printable_path(self.output)}: another run is writing it; wait for its end"
            ) from error
        self._lock = lock

    def _clear(self, *, keep: tuple[str, ...]) -> None:
        for path in self.folder.iterdir():
            if path.name not in keep:
                path.unlink()


def part_folder(output: Path) -> Path:
    """Return the folder of an output's unfinished run."""
    return output.with_name(output.name + ".part")


def rejects_path(output: Path) -> Path:
    """Return the file of an output's rejected rows."""
    return output.with_name(output.name + ".rejects.csv")


def read_state(output: Path) -> tuple[dict[str, Any], State] | None:
    """Return identity and state of an unfinished run, or None if there is none to go on with."""
    try:
        saved = orjson.loads((part_folder(output) / _STATE).read_bytes())
        return saved["identity"], State(**saved["state"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turn the errors of the disk into sentences; what is on it stays."""
    name = printable_path(output)
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f"{name}: the disk is full; what is finished is kept, so make room and run the "
                "same command with --resume"
            ) from error
        raise OutputError(
            f"{name}: cannot be written ({error.strerror}); choose another place with -o"
        ) from error


def _memory(generation: int) -> str:
    return f"memory-{generation}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
