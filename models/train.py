"""Fine-tuning: corpus in, checkpoint out. Reads from top to bottom.

``transformers.Trainer`` runs the loop (checkpoints, resume, progress, device, seed); what is
ours is the masked loss, batches budgeted by tokens, and the balance between sources.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader, Sampler
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

from models import wide
from models.augment import augment, read_slang
from models.calibrate import mix_weights
from models.corpus import Corpus, Example
from models.errors import TrainingError
from models.labels import TECHNIQUES, TONES
from models.metrics import validation_figures
from models.network import Balance, Network, masked_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run is made of; the defaults are those of the shipped model."""

    epochs: float = 3.0
    learning_rate: float = 1.5e-4
    head_learning_rate: float = 7e-4
    layer_decay: float = 0.95
    """Learning rate of a layer relative to the one above it."""
    tokens_per_batch: int = 4096
    max_tokens: int = 80
    warmup: float = 0.06
    heads: Mapping[str, float] = field(
        default_factory=lambda: {
            "false": 1.5,
            "malinformation": 1.5,
            "technique": 0.5,
            "group": 0.8,
            "tone": 0.8,
        }
    )
    """Weight of each part of the loss. A part is a mean over its own rows: with equal weights the
    3,400 rows of ``technique`` would pull as hard as the 50,000 of ``false``, and be learnt by
    heart."""
    keep_embedding: float = 0.3
    anchor_share: float = 0.08
    """Share of the training texts whose embedding is held near the base's."""
    checkpoints: int = 6
    """How often, over the run, validation is measured and a checkpoint kept."""
    validation_rows: int = 2000
    """Rows of the validation part on which checkpoints are compared."""
    seed: int = 20231


class TokenBudgetSampler(Sampler[list[int]]):
    """Batches of texts of like length, at most ``budget`` padded tokens each, in random order."""

    def __init__(self, lengths: Sequence[int], budget: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.budget = budget
        self.seed = seed
        self.epoch = 0
        self._size = len(self._batches(0))

    def set_epoch(self, epoch: int) -> None:
        """Draw another order; the loop calls this before each epoch."""
        self.epoch = epoch

    def _batches(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng(self.seed + epoch)
        # Noise on the length keeps batches from being the same company every epoch.
        order = np.argsort(self.lengths * rng.uniform(0.85, 1.15, len(self.lengths)))
        batches: list[list[int]] = []
        batch: list[int] = []
        longest = 0
        for i in order.tolist():
            longest = max(longest, int(self.lengths[i]))
            if batch and longest * (len(batch) + 1) > self.budget:
                batches.append(batch)
                batch, longest = [], int(self.lengths[i])
            batch.append(i)
        batches.append(batch)
        return [batches[i] for i in rng.permutation(len(batches))]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches(self.epoch))

    def __len__(self) -> int:
        return self._size


class Collator:
    """Turns rows into padded tensors; augments when ``rng_seed`` is given."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_tokens: int,
        hidden: int,
        slang: dict[str, list[str]] | None = None,
        rng_seed: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.hidden = hidden
        self.slang = slang or {}
        self.rng = random.Random(rng_seed) if rng_seed is not None else None

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return ``input_ids``, ``attention_mask`` and the ``labels`` of ``masked_loss``."""
        texts = [row["text"] for row in rows]
        if self.rng is not None:
            texts = [augment(text, self.rng, self.slang) for text in texts]
        encoded = self.tokenizer(
            texts, truncation=True, max_length=self.max_tokens, padding=True, return_tensors="pt"
        )
        anchors = [row.get("anchor") or [0.0] * self.hidden for row in rows]
        return {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "labels": {
                "false": torch.tensor([row["false"] for row in rows], dtype=torch.float32),
                "malinformation": torch.tensor(
                    [row["malinformation"] for row in rows], dtype=torch.float32
                ),
                "technique": torch.tensor([row["technique"] for row in rows]),
                "group": torch.tensor([row["group"] for row in rows]),
                "tone": torch.tensor([row["tone"] for row in rows]),
                "weight": torch.tensor([row["weight"] for row in rows], dtype=torch.float32),
                "malinformation_weight": torch.tensor(
                    [row["malinformation_weight"] for row in rows], dtype=torch.float32
                ),
                "anchor": torch.tensor(anchors, dtype=torch.float32),
            },
        }


JOINED: Final = 0.12
"""Joined texts beside the genuine ones, as a share of them."""


def joined(examples: Sequence[Example], seed: int) -> list[Example]:
    """Return new examples, each of two genuine texts put together.

    Most genuine texts of the corpus are titles and most long texts are false posts, but length
    must not say that a post is false.
    """
    rng = random.Random(seed)
    genuine = [e for e in examples if e.false == 0]
    return [
        replace(
            a,
            id=f"{a.id}+{b.id}",
            text=f"{a.text}. {b.text}",
            weight=min(a.weight, b.weight),
            malinformation_weight=min(a.malinformation_weight, b.malinformation_weight),
            malinformation=None
            if a.malinformation is None or b.malinformation is None
            else max(a.malinformation, b.malinformation),
            tone=None,
        )
        for a, b in (rng.choices(genuine, k=2) for _ in range(round(JOINED * len(genuine))))
    ]


def to_dataset(examples: Sequence[Example]) -> Dataset:
    """Return the examples as a ``datasets.Dataset``; a missing label is NaN or -1."""

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    def index(value: int | None) -> int:
        return -1 if value is None else value

    return Dataset.from_dict(
        {
            "text": [e.text for e in examples],
            "false": [number(e.false) for e in examples],
            "malinformation": [number(e.malinformation) for e in examples],
            "technique": [index(e.technique) for e in examples],
            "group": [index(e.group) for e in examples],
            "tone": [index(e.tone) for e in examples],
            "weight": [e.weight for e in examples],
            "malinformation_weight": [e.malinformation_weight for e in examples],
        }
    )


class _Trainer(Trainer):
    """The loop with our loss, our batches and layer-wise learning rates."""

    def __init__(self, *, settings: Settings, collators: tuple[Collator, Collator], **rest: Any):
        super().__init__(**rest)
        self.settings = settings
        self.collators = collators
        examples: Dataset = self.train_dataset
        self.balance = _balance(examples, settings)
        lengths = [
            min(len(ids), settings.max_tokens)
            for ids in collators[0].tokenizer(examples["text"][:])["input_ids"]
        ]
        self.sampler = TokenBudgetSampler(lengths, settings.tokens_per_batch, settings.seed)

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(
            self.train_dataset, batch_sampler=self.sampler, collate_fn=self.collators[0]
        )

    def create_optimizer(self, *_: Any) -> torch.optim.Optimizer:
        network: Any = self.model
        settings = self.settings
        layers = network.encoder.config.num_hidden_layers
        groups: dict[tuple[float, float], list[Any]] = {}
        for name, parameter in network.named_parameters():
            if name.startswith("heads."):
                rate = settings.head_learning_rate
            else:
                part = name.split(".layer.")
                depth = int(part[1].split(".")[0]) + 1 if len(part) > 1 else 0
                rate = settings.learning_rate * settings.layer_decay ** (layers - depth)
            decay = 0.0 if parameter.ndim < 2 or "embeddings" in name else 0.01
            groups.setdefault((rate, decay), []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": p, "lr": rate, "weight_decay": d} for (rate, d), p in groups.items()],
            fused=True,
        )
        return self.optimizer

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        logits, embedding = model(inputs["input_ids"], inputs["attention_mask"])
        loss = masked_loss(logits.float(), embedding.float(), inputs["labels"], self.balance)
        return (loss, {"logits": logits}) if return_outputs else loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        logits, _embedding = predict(
            self.model, self.collators[1].tokenizer, self.eval_dataset["text"][:]
        )
        figures = validation_figures(logits, self.eval_dataset)
        metrics = {f"eval_{name}": value for name, value in figures.items()}
        self.log(metrics)
        return metrics


def _balance(examples: Dataset, settings: Settings) -> Balance:
    """Return the balance of the loss; class weights fall with the root of the frequency, mean 1."""

    def weights(column: str, classes: int) -> torch.Tensor:
        counts = Counter(v for v in examples[column][:] if v >= 0)
        raw = [1.0 / math.sqrt(max(counts[c], 30)) for c in range(classes)]
        return torch.tensor(raw) * classes / sum(raw)

    rows = len(examples)
    technique = np.asarray(examples["technique"][:])
    known = {
        "technique": technique >= 0,
        "group": (np.asarray(examples["group"][:]) >= 0) & (technique < 0),
        "tone": np.asarray(examples["tone"][:]) >= 0,
        "anchor": np.array([a is not None for a in examples["anchor"][:]]),
    }
    for name in ("false", "malinformation"):
        known[name] = ~np.isnan(np.asarray(examples[name][:], dtype=float))
    # Each part is divided by the weight that its rows bring, so that a weight is a share of it.
    weight = {
        "false": np.asarray(examples["weight"][:]),
        "malinformation": np.asarray(examples["malinformation_weight"][:]),
    }
    shares = {n: float((weight.get(n, 1.0) * mask).sum()) / rows for n, mask in known.items()}
    positives = sum(1 for v in examples["malinformation"][:] if v == 1)
    negatives = shares["malinformation"] * rows - positives
    ratio = math.sqrt(negatives / positives) if positives else 1.0
    return Balance(
        shares=shares,
        technique_weights=weights("technique", len(TECHNIQUES)),
        tone_weights=weights("tone", len(TONES)),
        malinformation_weight=max(1.0, ratio),
        heads=settings.heads,
        keep_embedding=settings.keep_embedding,
    )


def predict(
    network: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_tokens: int = 128,
    tokens_per_batch: int = 4096,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return ``(logits, embeddings)`` of normalised texts, in their order, cut at ``max_tokens``."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    ids = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    logits: list[Any] = [None] * len(ids)
    embeddings: list[Any] = [None] * len(ids)
    start = 0
    with torch.inference_mode():
        while start < len(order):
            end = start + 1
            while end < len(order) and len(ids[order[end]]) * (end - start + 1) <= tokens_per_batch:
                end += 1
            chunk = order[start:end]
            batch = tokenizer.pad({"input_ids": [ids[i] for i in chunk]}, return_tensors="pt")
            out, pooled = network(batch["input_ids"].to(device), batch["attention_mask"].to(device))
            for i, row, vector in zip(chunk, out.cpu().numpy(), pooled.cpu().numpy(), strict=True):
                logits[i], embeddings[i] = row, vector
            start = end
    network.train(was_training)
    return np.stack(logits), np.stack(embeddings)


CHECKPOINTS: Final = "checkpoints"


def train(
    corpus: Corpus,
    base: str,
    out: Path,
    *,
    settings: Settings | None = None,
    data_folder: Path | None = None,
    resume: bool = False,
) -> Path:
    """Fine-tune ``base`` on the corpus, fit the wide part, and return the folder of the best.

    The best checkpoint is chosen by the mean of the validation figures. ``resume`` goes on from the last
    checkpoint in ``out``. Runs on a GPU where there is one, else on the CPU; in bf16 where the
    processor multiplies it itself.

    Raises:
        TrainingError: a part is empty, or there is nothing to resume.
    """
    settings = settings or Settings()
    training, validation = corpus.part("train"), corpus.part("valid")
    if not training or not validation:
        raise TrainingError("training and validation need at least one example each")
    set_seed(settings.seed)
    training = training + joined(training, settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    network = Network.from_base(base)
    hidden = network.encoder.config.hidden_size
    dataset = to_dataset(training).add_column(
        "anchor", _anchors(network, tokenizer, training, settings)
    )
    slang = read_slang(data_folder) if data_folder else {}
    collators = (
        Collator(
            tokenizer,
            max_tokens=settings.max_tokens,
            hidden=hidden,
            slang=slang,
            rng_seed=settings.seed,
        ),
        Collator(tokenizer, max_tokens=settings.max_tokens, hidden=hidden),
    )
    gpu = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=1 / settings.checkpoints,
        save_steps=1 / settings.checkpoints,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_mean",
        greater_is_better=True,
        logging_steps=25,
        use_cpu=not gpu,
        bf16=gpu or torch.cpu._is_avx512_bf16_supported(),
        seed=settings.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
        dataloader_pin_memory=gpu,
    )
    trainer = _Trainer(
        settings=settings,
        collators=collators,
        model=network,
        args=arguments,
        train_dataset=dataset,
        eval_dataset=to_dataset(_sample(validation, settings)),
    )
    if resume and not any((out / CHECKPOINTS).glob("checkpoint-*")):
        raise TrainingError(f"{out} holds no checkpoint to resume from; run without --resume")
    trainer.train(resume_from_checkpoint=resume or None)
    deep, _ = predict(network, tokenizer, [e.text for e in validation])
    network.wide = wide.fit(
        tokenizer, training, validation, deep.astype(np.float64), mix_weights(validation)
    )
    best = out / "best"
    best.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), best / "network.pt")
    network.encoder.config.save_pretrained(best)
    tokenizer.save_pretrained(best)
    return best


def _sample(examples: Sequence[Example], settings: Settings) -> list[Example]:
    """Return validation rows to compare checkpoints on: false posts whole, the others drawn."""
    rng = random.Random(settings.seed)
    first = [e for e in examples if e.false == 1 or e.malinformation == 1]
    rest = [e for e in examples if not (e.false == 1 or e.malinformation == 1)]
    rng.shuffle(rest)
    return first + rest[: max(0, settings.validation_rows - len(first))]


def load_network(folder: Path) -> tuple[Network, PreTrainedTokenizerBase]:
    """Return the trained network of ``train`` (in evaluation mode) and its tokenizer.

    Raises:
        TrainingError: the folder holds no trained network.
    """
    weights = folder / "network.pt"
    if not weights.is_file():
        raise TrainingError(f"{folder} holds no trained network: run `make train` first")
    network = Network.from_config(str(folder))
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval(), AutoTokenizer.from_pretrained(folder)


def base_embeddings(base: str) -> Callable[[Sequence[str]], np.ndarray[Any, Any]]:
    """Return a function from normalised texts to the embeddings of a base without fine-tuning."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    network = Network.from_base(base).eval()
    return lambda texts: predict(network, tokenizer, texts)[1]


def _anchors(
    network: Network,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    settings: Settings,
) -> list[list[float] | None]:
    """Return the base's embedding for a share of the texts, None for the others."""
    rng = random.Random(settings.seed)
    chosen = [i for i in range(len(examples)) if rng.random() < settings.anchor_share]
    anchors: list[list[float] | None] = [None] * len(examples)
    if chosen and settings.keep_embedding > 0:
        _, vectors = predict(
            network,
            tokenizer,
            [examples[i].text for i in chosen],
            max_tokens=settings.max_tokens,
        )
        for i, vector in zip(chosen, vectors, strict=True):
            anchors[i] = vector.tolist()
    return anchors
