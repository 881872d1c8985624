"""Training, calibration, export and evaluation, on a small network."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from models.augment import augment, read_slang
from models.base import dequantise_q4_0, kept_pieces, trim_tokenizer
from models.build import build_release, network_logits
from models.calibrate import calibrate, mix_weights, weighted_quantile
from models.corpus import Corpus, build_corpus
from models.errors import TrainingError
from models.evaluate import evaluate, wilson
from models.export import activation_peaks, export
from models.labels import LOGITS, TECHNIQUES, head_slices
from models.metrics import interval, recall_at, weighted_calibration_error
from models.network import Balance, masked_loss
from models.reports import evaluation_report, model_card
from models.scorer import Scorer
from models.train import (
    Settings,
    TokenBudgetSampler,
    base_embeddings,
    joined,
    load_network,
    predict,
    train,
)

SETTINGS = Settings(
    epochs=1, checkpoints=2, tokens_per_batch=4096, learning_rate=1e-3, head_learning_rate=5e-3
)


@pytest.fixture(scope="module")
def corpus(labelled_folder: Path) -> Corpus:
    return build_corpus(labelled_folder)


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus, tiny_base: Path) -> Path:
    out = tmp_path_factory.mktemp("model")
    return train(corpus, str(tiny_base), out, settings=SETTINGS)


@pytest.fixture(scope="module")
def release(best: Path, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("release")
    build_release(best, corpus, out, base="tiny")
    return out


def test_the_exported_graph_is_the_trained_network(best: Path, tmp_path: Path) -> None:
    import onnxruntime

    network, tokenizer = load_network(best)
    texts = ["kabar dari desa", "harga cabai turun di pasar induk sejak senin pagi", "a"]
    assert network.wide.table.abs().sum() > 0
    expected, vectors = predict(network, tokenizer, texts)
    batch = tokenizer(texts, padding=True, return_tensors="np")
    inputs = {k: batch[k].astype(np.int64) for k in ("input_ids", "attention_mask")}
    peaks = activation_peaks(network, tokenizer, texts)
    for precision, tolerance in (("fp32", 1e-4), ("weights8", 0.1), ("int8", 0.1)):
        path = export(network, tmp_path / "m.onnx", precision, peaks)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        logits, embedding = session.run(None, inputs)
        assert np.abs(logits - expected).max() < tolerance
        assert (embedding * vectors).sum(-1).min() > 0.99


def test_a_release_scores_alike_in_any_batch(release: Path) -> None:
    scorer = Scorer.load(release)
    posts = [f"kabar {i} dari desa " * (i % 7 + 1) for i in range(40)]
    together, alone = scorer.logits(posts)[0], [scorer.logits([p])[0][0] for p in posts]
    assert np.abs(together - np.stack(alone)).max() < 1e-3


def test_training_goes_on_from_its_last_checkpoint(
    corpus: Corpus, tiny_base: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="no checkpoint"):
        train(corpus, str(tiny_base), tmp_path, settings=SETTINGS, resume=True)
    train(corpus, str(tiny_base), tmp_path, settings=SETTINGS)
    before = (tmp_path / "best" / "network.pt").stat().st_mtime_ns
    train(corpus, str(tiny_base), tmp_path, settings=SETTINGS, resume=True)
    assert (tmp_path / "best" / "network.pt").stat().st_mtime_ns > before


def test_an_evaluation_measures_every_system_and_writes_its_report(
    release: Path, best: Path, corpus: Corpus, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.evaluate.interval", partial(interval, resamples=40))
    result = evaluate(
        Scorer.load(release),
        corpus,
        fp32=network_logits(best),
        embed_base=base_embeddings(str(tiny_base)),
    )
    assert {s for row in result.rows for s in row.systems} == {"TF-IDF", "base", "fp32", "shipped"}
    for row in result.rows:
        for measured in row.systems.values():
            assert measured.low - 1e-9 <= measured.value <= measured.high + 1e-9
    text = evaluation_report(result)
    assert "satire" in text
    assert "ROC AUC" in model_card(result, base="tiny")


BALANCE = Balance(
    shares=dict.fromkeys(("false", "malinformation", "technique", "group", "tone", "anchor"), 0.5),
    technique_weights=torch.ones(len(TECHNIQUES)),
    tone_weights=torch.ones(3),
    malinformation_weight=1.0,
    heads=dict.fromkeys(("false", "malinformation", "technique", "group", "tone"), 1.0),
    keep_embedding=0.1,
)


def test_each_head_learns_only_from_rows_that_carry_its_label() -> None:
    logits = torch.zeros(2, LOGITS, requires_grad=True)
    labels = {
        "false": torch.tensor([1.0, float("nan")]),
        "malinformation": torch.tensor([float("nan")] * 2),
        "technique": torch.tensor([-1, -1]),
        "group": torch.tensor([-1, 0]),
        "tone": torch.tensor([-1, -1]),
        "weight": torch.ones(2),
        "malinformation_weight": torch.ones(2),
        "anchor": torch.zeros(2, 4),
    }
    masked_loss(logits, torch.zeros(2, 4), labels, BALANCE).backward()
    assert logits.grad is not None
    touched = logits.grad.abs() > 0
    at = head_slices()
    assert touched[0, at["false"]].all()
    assert not touched[1, at["false"]].any()
    assert touched[1, at["technique"]].all()
    assert not touched[:, at["tone"]].any()
    assert not touched[:, at["malinformation"]].any()


def test_a_weak_label_of_falsehood_does_not_weaken_the_row_s_other_labels() -> None:
    grads = []
    for weight in (1.0, 0.1):
        logits = torch.zeros(1, LOGITS, requires_grad=True)
        labels = {
            "false": torch.tensor([0.0]),
            "malinformation": torch.tensor([1.0]),
            "technique": torch.tensor([-1]),
            "group": torch.tensor([-1]),
            "tone": torch.tensor([-1]),
            "weight": torch.tensor([weight]),
            "malinformation_weight": torch.ones(1),
            "anchor": torch.zeros(1, 4),
        }
        masked_loss(logits, torch.zeros(1, 4), labels, BALANCE).backward()
        assert logits.grad is not None
        grads.append(logits.grad[0])
    at = head_slices()
    assert torch.allclose(grads[1][at["false"]], 0.1 * grads[0][at["false"]])
    assert torch.equal(grads[1][at["malinformation"]], grads[0][at["malinformation"]])


def test_joined_texts_are_genuine_and_carry_no_label_of_one_half_alone(corpus: Corpus) -> None:
    training = corpus.part("train")
    by_id = {e.id: e for e in training}
    new = joined(training, seed=3)
    assert len(new) > 5
    for example in new:
        first, second = (by_id[i] for i in example.id.split("+"))
        assert first.false == second.false == example.false == 0
        assert example.text == f"{first.text}. {second.text}"
        assert example.tone is None
        if None in (first.malinformation, second.malinformation):
            assert example.malinformation is None


def test_batches_of_an_epoch_hold_every_row_once() -> None:
    sampler = TokenBudgetSampler([5, 60, 7, 33, 12, 64, 9] * 20, budget=256, seed=1)
    assert sorted(i for batch in sampler for i in batch) == list(range(140))
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_augmentation_is_drawn_anew_but_repeats_with_its_seed(tmp_path: Path) -> None:
    import random

    (tmp_path / "slang_words.csv").write_text("slang,formal\nga,tidak\n", encoding="utf-8")
    slang = read_slang(tmp_path)
    text = "saya tidak tahu, kenapa #bantuan tidak cair di desa kami sampai hari ini 😂"
    once = [augment(text, random.Random(i), slang) for i in range(60)]
    assert once == [augment(text, random.Random(i), slang) for i in range(60)]
    assert len(set(once)) > 20
    assert any(" ga " in variant for variant in once)


def test_calibrated_budgets_flag_their_share_of_the_mix(corpus: Corpus) -> None:
    examples = corpus.part("valid")
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(len(examples), LOGITS))
    logits[:, 0] += [3.0 if e.false == 1 else -3.0 for e in examples]
    settings = calibrate(logits, examples)
    assert settings["budgets"]["budget_1"] >= settings["budgets"]["budget_5"]
    assert mix_weights(examples).sum() == pytest.approx(1.0)


def test_figures_of_known_cases() -> None:
    assert weighted_quantile(np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4), 0.25) == 4.0
    assert recall_at([0] * 100 + [1, 1], [*range(100), 99.5, 3], 0.05) == 0.5
    assert weighted_calibration_error([0, 1] * 50, [0.5] * 100, np.ones(100), bins=1) == 0.0
    value, low, high = interval(lambda x: float(np.mean(x)), [0.0, 1.0] * 100)
    assert low < value < high
    assert wilson(0, 100)[1] == pytest.approx(0.037, abs=0.001)


def test_q4_blocks_are_read_low_nibbles_first() -> None:
    scale = np.array([0.5], "<f2").tobytes()
    nibbles = bytes([0x80 | (i % 16) for i in range(16)])
    weights = dequantise_q4_0(scale + nibbles, 32)
    assert weights[:3].tolist() == [-4.0, -3.5, -3.0]
    assert weights[16:].tolist() == [0.0] * 16


def test_a_trimmed_tokenizer_keeps_specials_and_renumbers() -> None:
    vocab = [
        ["<s>", 0],
        ["<pad>", 0],
        ["</s>", 0],
        ["<unk>", 0],
        ["▁a", -1],
        ["日", -2],
        ["kan", -3],
    ]
    spec = {
        "model": {"type": "Unigram", "vocab": [*vocab, ["<mask>", 0]]},
        "added_tokens": [{"id": 7, "content": "<mask>"}],
    }
    keep = kept_pieces(spec["model"]["vocab"], {6})  # type: ignore[index]
    trimmed = trim_tokenizer(spec, keep)
    assert [p for p, _ in trimmed["model"]["vocab"]][4:] == ["▁a", "kan", "<mask>"]
    assert trimmed["added_tokens"][0]["id"] == 6
