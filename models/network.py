"""The network: a BERT encoder, one embedding, four heads and a wide part from a single pass.

Known only to training and export; scoring runs the exported graph without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from models.labels import HEADS, HOAX_TECHNIQUES, TECHNIQUES, head_slices
from models.wide import Wide

HEAD_WIDTH: Final = 192
DROPOUT: Final = 0.1


class Network(nn.Module):
    """``input_ids``, ``attention_mask`` (batch × tokens) in; ``logits`` and ``embedding`` out.

    ``logits`` is batch × ``LOGITS`` (heads in the order of ``HEADS``); ``embedding`` is
    batch × hidden, the mean over the tokens of the last layer, scaled to length 1.
    """

    def __init__(self, encoder: Any, hidden: int) -> None:
        super().__init__()
        self.encoder: Any = encoder  # transformers is not followed by mypy
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Dropout(DROPOUT),
                    nn.Linear(2 * hidden, HEAD_WIDTH),
                    nn.GELU(),
                    nn.Dropout(DROPOUT),
                    nn.Linear(HEAD_WIDTH, width),
                )
                for name, width in HEADS.items()
            }
        )
        self.wide = Wide()

    @classmethod
    def from_base(cls, base: str) -> Network:
        """Return an untrained network on a pretrained encoder (a folder or a hub's name)."""
        config = _without_dropout(AutoConfig.from_pretrained(base))
        encoder = AutoModel.from_pretrained(
            base, config=config, add_pooling_layer=False, attn_implementation="eager"
        )
        return cls(encoder, config.hidden_size)

    @classmethod
    def from_config(cls, base: str) -> Network:
        """Return a network of the base's shape with random weights (to load a checkpoint)."""
        config = _without_dropout(AutoConfig.from_pretrained(base))
        encoder = AutoModel.from_config(
            config, add_pooling_layer=False, attn_implementation="eager"
        )
        return cls(encoder, config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits, embedding)``."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        features = torch.cat([mean, hidden[:, 0]], dim=-1)
        logits = torch.cat([head(features) for head in self.heads.values()], dim=-1)
        logits = self.wide(logits, input_ids, attention_mask)
        return logits, nn.functional.normalize(mean, dim=-1)


def _without_dropout(config: Any) -> Any:
    """Turn dropout off inside the encoder: augmentation does its work, a quarter faster."""
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    return config


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How the parts of the loss stand to one another.

    ``shares`` is, per label, the share of the training rows that carry it: each part is divided
    by the number of rows expected in a batch, not by those that happen to be in it, so that a row
    counts the same in whatever company.
    """

    shares: Mapping[str, float]
    technique_weights: Tensor
    tone_weights: Tensor
    malinformation_weight: float
    heads: Mapping[str, float]
    """Weight of each part of the loss: false, malinformation, technique, group, tone."""
    keep_embedding: float


def masked_loss(
    logits: Tensor, embedding: Tensor, labels: Mapping[str, Tensor], balance: Balance
) -> Tensor:
    """Return the loss of a batch; each head learns only from rows that carry its label.

    ``labels`` holds, per row: ``false``, ``malinformation`` (0, 1 or NaN), ``technique``,
    ``group``, ``tone`` (index or -1), ``weight`` (of ``false``, whose weak labels count less),
    ``malinformation_weight`` and ``anchor`` (the base's embedding, or zeros). A group label teaches
    the sum of its techniques' probabilities.
    """
    at = head_slices()
    rows = logits.shape[0]

    def mean(loss: Tensor, label: str) -> Tensor:
        return loss.sum() / max(rows * balance.shares[label], 1.0)

    def weighted(loss: Tensor, label: str) -> Tensor:
        return balance.heads[label] * mean(loss, label)

    def binary(name: str, weight: str, positive: float) -> Tensor:
        known = ~torch.isnan(labels[name])
        return nn.functional.binary_cross_entropy_with_logits(
            logits[known, at[name]].squeeze(-1),
            labels[name][known],
            weight=labels[weight][known],
            pos_weight=torch.tensor(positive, device=logits.device),
            reduction="none",
        )

    total = weighted(binary("false", "weight", 1.0), "false")
    hate = binary("malinformation", "malinformation_weight", balance.malinformation_weight)
    total = total + weighted(hate, "malinformation")

    log_p = nn.functional.log_softmax(logits[:, at["technique"]], dim=-1)
    single = labels["technique"] >= 0
    loss = nn.functional.nll_loss(
        log_p[single],
        labels["technique"][single],
        weight=balance.technique_weights.to(logits.device),
        reduction="none",
    )
    total = total + weighted(loss, "technique")
    grouped = (labels["group"] >= 0) & ~single
    hoax = torch.tensor([t in HOAX_TECHNIQUES for t in TECHNIQUES], device=logits.device)
    sums = torch.stack(
        [torch.logsumexp(log_p[:, hoax], -1), torch.logsumexp(log_p[:, ~hoax], -1)], dim=-1
    )
    loss = nn.functional.nll_loss(sums[grouped], labels["group"][grouped], reduction="none")
    total = total + weighted(loss, "group")

    toned = labels["tone"] >= 0
    loss = nn.functional.cross_entropy(
        logits[toned, at["tone"]],
        labels["tone"][toned],
        weight=balance.tone_weights.to(logits.device),
        reduction="none",
    )
    total = total + weighted(loss, "tone")

    anchored = labels["anchor"].abs().sum(-1) > 0
    cosine = (embedding[anchored] * labels["anchor"][anchored]).sum(-1)
    return total + balance.keep_embedding * mean(1.0 - cosine, "anchor")
