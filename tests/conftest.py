"""What every test shares: quiet tools, and small labelled data and a small base to learn from."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from models.corpus import COLUMNS

# The outcome of a test must not depend on how busy the machine is, nor on the last run.
settings.register_profile("lilin", deadline=None, derandomize=True, database=None)
settings.load_profile("lilin")

# No test may reach a model hub; what a test needs, it makes.
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

_PLACES = "Ambon Bantul Cirebon Depok Ende Garut Jepara Kendari Lombok Malang Natuna Palu".split()
_THINGS = (
    "beras minyak listrik bensin sekolah jembatan pasar vaksin paspor pajak kereta banjir gempa "
    "sawah pelabuhan bendungan rumah sakit ijazah pensiun pupuk gula telur cabai kabel menara"
).split()
_PEOPLE = "guru nelayan petani sopir perawat mahasiswa pedagang lurah bidan satpam kasir".split()
_DOINGS = (
    "membeli menjual menunggu membangun menutup memeriksa mengirim mencari membayar menghitung "
    "menanam memotret menulis membawa memindahkan memperbaiki mengantar meminjam menyimpan"
).split()
_WHENS = "tadi pagi|kemarin sore|minggu lalu|hari Senin|bulan depan|sejak subuh".split("|")

_MARKS = {
    "fabricated": ("viralkan undian resmi hadiah mobil", "terbongkar rencana rahasia"),
    "impostor": ("kami dari pusat layanan, kirim kode", "admin resmi minta data rekening"),
    "misleading": ("rebusan ini pasti sembuhkan", "dokter sembunyikan khasiat"),
    "manipulated": ("rekaman pidato yang ditutupi media", "foto bocor tanpa sensor"),
    "false_context": ("kejadian hari ini di sini, sebarkan", "inilah keadaan sekarang"),
    "false_connection": ("judulnya bikin merinding, lihat sendiri", "akhirnya mengaku juga"),
    "news": ("Pemerintah daerah umumkan jadwal", "Wali kota resmikan"),
    "chatter": ("lagi capek banget nih", "ada yang tahu warung"),
    "criticism": ("kapan dibenahi pak", "janji tinggal janji soal"),
    "hate": ("usir kaum itu dari sini", "mereka itu hama, musnahkan"),
    "positive": ("puas sekali dengan", "senang dan nyaman soal"),
    "neutral": ("rapat membahas", "jadwal baru untuk"),
    "negative": ("kecewa berat dengan", "buruk dan mahal soal"),
}


class _Writer:
    """Writes labelled rows of invented posts; the same seed gives the same rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rng = random.Random(7)

    def post(self, mark: str) -> str:
        pick = self.rng.choice
        words = [f"{pick(_PEOPLE)} {pick(_DOINGS)} {pick(_THINGS)}" for _ in range(3)]
        where, when, count = pick(_PLACES), pick(_WHENS), self.rng.randint(2, 97)
        return f"{pick(_MARKS[mark])} {', '.join(words)} di {where} {when} ke-{count}"

    def file(self, name: str, rows: Sequence[dict[str, str]]) -> None:
        with (self.folder / name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
            writer.writeheader()
            for number, row in enumerate(rows):
                writer.writerow({"source": Path(name).stem, "id": f"{name}-{number}", **row})

    def rows(
        self, mark: str, count: int, dates: Sequence[str], **rest: str
    ) -> list[dict[str, str]]:
        return [
            {"text": self.post(mark), "date": dates[i % len(dates)], **rest} for i in range(count)
        ]


@pytest.fixture(scope="session")
def labelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with invented posts under names that models/sources.toml knows.

    Every head has rows in training, validation and test; some two hundred rows in each part.
    """
    folder = tmp_path_factory.mktemp("labelled")
    writer = _Writer(folder)
    techniques = list(_MARKS)[:6]
    writer.file(
        "turnbackhoax_types.csv",
        [
            row
            for technique in techniques
            for row in writer.rows(
                technique,
                36,
                ("2025-03-02", "2025-10-05", "2026-01-09"),
                label="SALAH",
                type=technique,
            )
        ],
    )
    writer.file(
        "komdigi.csv",
        [
            {"title": row.pop("text"), **row}
            for technique, tag in (("fabricated", "hoaks"), ("false_context", "disinformasi"))
            for row in writer.rows(
                technique, 30, ("2021-05-01", "2022-11-01", "2023-02-01"), label=tag
            )
        ],
    )
    writer.file(
        "news_headlines_2023_2025.csv",
        writer.rows("news", 90, ("2024-03-01", "2024-11-01", "2025-01-05"), label="valid"),
    )
    writer.file("news_headlines_2021.csv", writer.rows("news", 60, ("2021-09-01",), label="valid"))
    for name, dates in (
        ("tweets_police_2025.csv", ("2024-12-01", "2025-02-03")),
        ("tweets_tax_2025.csv", ("2025-03-01", "2025-09-12", "2025-10-20")),
        ("tweets_finance_minister_2025_10.csv", ("2025-09-12", "2025-10-20")),
    ):
        writer.file(name, writer.rows("criticism", 60, dates, label="unlabelled"))
    writer.file("emotion_tweets.csv", writer.rows("chatter", 80, ("",), label="unlabelled"))
    writer.file(
        "hate_speech_tweets.csv",
        writer.rows("hate", 80, ("2018-01-01",), label="hate_speech", type="hs_group|hs_strong")
        + writer.rows("chatter", 80, ("2018-01-01",), label="no_hate_speech"),
    )
    for part, count in (("train", 30), ("valid", 10), ("test", 10)):
        rows = [
            row
            for tone in ("positive", "neutral", "negative")
            for row in writer.rows(tone, count, ("",), label="unlabelled", tone=tone)
        ]
        writer.file(f"smsa_{part}.csv", rows)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, labelled_folder: Path) -> Path:
    """Return a Hugging Face checkpoint of 2 layers × 32, untrained, with a tokenizer that fits."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train(
        [str(path) for path in sorted(labelled_folder.glob("*.csv"))],
        trainers.WordPieceTrainer(vocab_size=1200, special_tokens=special, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        pad_token_id=1,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=512,
    ).save_pretrained(folder)
    return folder
