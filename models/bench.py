"""The benchmark of scoring: speed beside rivals in one run, memory over a million rows, start-up.

Timings depend on the machine; the report says which one it was. Nothing here is asserted.
"""

from __future__ import annotations

import csv
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.corpus import EXAMPLES_FOLDER
from models.evaluate import read_slices
from models.labels import LOGITS
from models.scorer import Scorer
from models.text import normalise

POSTS: Final = 5000
DUPLICATES: Final = 0.2
"""Share of exact copies: what ten days of a real campaign feed had (876 of 4,372)."""
RIVAL_POSTS: Final = 500
REPEATS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Posts per second of one way to score: the median of the repeats, and all of them."""

    name: str
    posts: int
    median: float
    repeats: tuple[float, ...]


def written_posts() -> list[str]:
    """Return the posts written for Lilin (examples and slices)."""
    posts = [text for texts in read_slices().values() for text in texts]
    with (EXAMPLES_FOLDER / "examples.csv").open(encoding="utf-8", newline="") as stream:
        posts += [row["text"] for row in csv.DictReader(stream)]
    return posts


def unique_posts(count: int, *, seed: int = 3) -> Iterator[str]:
    """Yield distinct posts of usual lengths: the written ones, then halves of two put together."""
    rng = random.Random(seed)
    written = list(dict.fromkeys(written_posts()))
    rng.shuffle(written)
    seen: set[str] = set()
    yield from written[:count]
    for _ in range(count - len(written)):
        while True:
            a, b = (rng.choice(written).split() for _ in range(2))
            text = " ".join([*a[: (len(a) + 1) // 2], *b[len(b) // 2 :]])
            if normalise(text) not in seen:
                break
        seen.add(normalise(text))
        yield text


def mixed_posts(count: int = POSTS, *, duplicates: float = DUPLICATES, seed: int = 3) -> list[str]:
    """Return ``count`` posts, a share of them copies of others, in random order."""
    rng = random.Random(seed)
    unique = list(unique_posts(round(count * (1 - duplicates)), seed=seed))
    copies = [rng.choice(unique[: max(1, len(unique) // 20)]) for _ in range(count - len(unique))]
    posts = unique + copies
    rng.shuffle(posts)
    return posts


def _timed(name: str, posts: Sequence[str], run: Callable[[Sequence[str]], Any]) -> Rate:
    run(posts[:32])
    rates = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run(posts)
        rates.append(len(posts) / (time.perf_counter() - start))
    return Rate(name=name, posts=len(posts), median=float(np.median(rates)), repeats=tuple(rates))


def rival_pipeline(scorer: Scorer, folder: Path) -> Callable[[Sequence[str]], Any]:
    """Return ``transformers.pipeline("text-classification")`` in fp32 on the same architecture.

    The same encoder, tokenizer and number of outputs, with random weights: speed does not depend
    on their values.
    """
    import torch
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        PreTrainedTokenizerFast,
        pipeline,
    )

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(scorer.release.tokenizer),
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    )
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=LOGITS,
        pad_token_id=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    torch.set_num_threads(os.cpu_count() or 1)
    model = BertForSequenceClassification.from_pretrained(folder)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    return lambda posts: classify(list(posts), truncation=True, top_k=None)


def naive_loop(scorer: Scorer) -> Callable[[Sequence[str]], Any]:
    """Return one run of the shipped graph per post, in order, all cores inside the run."""
    import onnxruntime
    from tokenizers import Tokenizer

    session = onnxruntime.InferenceSession(
        str(scorer.release.model), providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(scorer.release.tokenizer))

    def run(posts: Sequence[str]) -> None:
        for post in posts:
            ids = np.array([tokenizer.encode(normalise(post)).ids[:512]], np.int64)
            session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})

    return run


def speed() -> list[Rate]:
    """Measure posts per second of Lilin and its rivals, on the same posts, in this process."""
    scorer = Scorer.load()
    mixed, distinct = mixed_posts(), list(unique_posts(POSTS))
    rng = random.Random(1)
    sample = rng.sample(mixed, RIVAL_POSTS)
    with tempfile.TemporaryDirectory() as folder:
        rival = rival_pipeline(scorer, Path(folder))
        return [
            _timed('transformers.pipeline("text-classification"), fp32', sample, rival),
            _timed(
                "onnxruntime, the shipped graph, one post at a time", sample, naive_loop(scorer)
            ),
            _timed(f"Lilin, {len(mixed):,} posts, {DUPLICATES:.0%} copies", mixed, scorer.score),
            _timed(f"Lilin, {len(distinct):,} distinct posts", distinct, scorer.score),
        ]


_FIRST_SCORE: Final = """
import time; start = time.perf_counter()
from models.scorer import Scorer
Scorer.load().score(["Sebarkan! Bantuan tunai cair hari ini, daftar di tautan berikut."])
print(time.perf_counter() - start)
"""


def first_score() -> list[float]:
    """Return the seconds from the start of the interpreter to the first score, five times."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", _FIRST_SCORE], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return seconds


def million_rows(rows: int = 1_000_000) -> tuple[float, int, int]:
    """Score a feed of ``rows`` rows with the command; return (seconds, peak MB, rows written).

    The feed repeats 2,000 distinct posts, so that it ends within minutes; the memory is that of
    the whole path.
    """
    posts = list(unique_posts(2000))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        feed, out = folder / "feed.csv", folder / "scored.csv"
        with feed.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "full_text"])
            writer.writerows((i, posts[(i * 7919) % len(posts)]) for i in range(rows))
        command = [sys.executable, "-m", "service.cli", "score", str(feed), "-o", str(out), "-q"]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_peak(process.pid))
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        with out.open(encoding="utf-8", newline="") as stream:
            written = sum(1 for _ in csv.reader(stream)) - 1
    return seconds, peak, written


def resident_peak(pid: int) -> int:
    """Return the most memory a running process has had, in MB (0: it has ended).

    Not ``ru_maxrss``: at its start a process inherits that figure from the one that made it, here
    the benchmark with torch in it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def machine() -> str:
    """Return the processor, its vector extensions and the number of cores in words."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    fields = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in text.splitlines())
        if value
    }
    flags = set(fields.get("flags", "").split())
    extensions = [
        f for f in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if f in flags
    ]
    return (
        f"{fields.get('model name', platform.processor() or platform.machine())}, "
        f"{os.cpu_count()} cores, {' '.join(extensions) or 'no AVX2'}, "
        f"Python {platform.python_version()}"
    )


def benchmark_report(rates: list[Rate], start: list[float], million: tuple[float, int, int]) -> str:
    """Return docs/benchmark.md."""
    rival = rates[0].median
    seconds, peak, written = million
    lines = [
        "# Benchmark of scoring",
        "",
        f"Written by `make bench` on: {machine()}. One run, one process, the same posts; median "
        f"of {REPEATS} repeats.",
        "",
        "| way to score | posts | posts a second | repeats | against the pipeline |",
        "|---|---|---|---|---|",
    ]
    for rate in rates:
        repeats = ", ".join(f"{r:.0f}" for r in rate.repeats)
        lines.append(
            f"| {rate.name} | {rate.posts:,} | {rate.median:.1f} | {repeats} "
            f"| {rate.median / rival:.1f}× |"
        )
    lines += [
        "",
        "Targets: 7× with a feed's copies, 5.5× on distinct posts. The rivals score a random "
        f"{RIVAL_POSTS} of the same posts. The posts are those written for Lilin, and halves of "
        "two of them put together where more are needed.",
        "",
        f"From process start to the first score: {np.median(start):.2f} s (median of "
        f"{len(start)}; slowest {max(start):.2f} s). Target: under 2 s.",
        "",
        f"A feed of {written:,} rows (2,000 distinct posts) through `lilin score`: {seconds:.0f} s, "
        f"{written / seconds:,.0f} rows a second, peak resident memory {peak} MB. "
        "Target: under 700 MB.",
        "",
    ]
    return "\n".join(lines)
