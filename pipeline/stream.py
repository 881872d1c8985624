"""Output on a stream: chunks are written as they are finished; nothing can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

from pipeline.errors import OutputError
from pipeline.workplace import State, writing


class StreamPlace:
    """Stdout, and a file for the rejects if one was asked for."""

    def __init__(self, stdout: BinaryIO, rejects: Path | None) -> None:
        """``rejects`` is created when the first row is rejected."""
        self.state = State()
        self._stdout = stdout
        self._rejects_path = rejects
        self._rejects: IO[bytes] | None = None

    def append(
        self,
        *,
        data: bytes,
        rejects: bytes,
        memory: bytes,  # noqa: ARG002 - nothing of a stream is saved
        records: int,
        next_generation: bool,  # noqa: ARG002
        summary: Mapping[str, Any],  # noqa: ARG002
    ) -> None:
        """Write a finished chunk; raises BrokenPipeError when nobody reads any more."""
        try:
            self._stdout.write(data)
            self._stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"stdout: cannot be written ({error.strerror})") from error
        if rejects and self._rejects_path is not None:
            with writing(self._rejects_path):
                if self._rejects is None:
                    self._rejects = self._rejects_path.open("wb")
                self._rejects.write(rejects)
                self._rejects.flush()
        self.state = State(
            records=self.state.records + records,
            data_bytes=self.state.data_bytes + len(data),
            reject_bytes=self.state.reject_bytes + len(rejects),
        )

    def finish(
        self,
        assemble: Callable[[Path, Path], None] | None,
        *,
        keep_data: bool,
    ) -> None:
        """Do nothing: a stream is finished as it is."""

    def close(self) -> None:
        """Close the rejects; the stream belongs to the caller."""
        if self._rejects is not None:
            self._rejects.close()
