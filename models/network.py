"""The network: a BERT encoder, one embedding and four heads from a single pass.

Known only to training and export; scoring runs the exported graph without torch.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from models.labels import HEADS, HOAX_TECHNIQUES, TECHNIQUES

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

    @classmethod
    def from_base(cls, base: str) -> Network:
        """Return an untrained network on a pretrained encoder (a folder or a hub's name)."""
        config = AutoConfig.from_pretrained(base)
        encoder = AutoModel.from_pretrained(base, add_pooling_layer=False)
        return cls(encoder, config.hidden_size)

    @classmethod
    def from_config(cls, base: str) -> Network:
        """Return a network of the base's shape with random weights (to load a checkpoint)."""
        config = AutoConfig.from_pretrained(base)
        return cls(AutoModel.from_config(config, add_pooling_layer=False), config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits, embedding)``."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        features = torch.cat([mean, hidden[:, 0]], dim=-1)
        logits = torch.cat([head(features) for head in self.heads.values()], dim=-1)
        return logits, nn.functional.normalize(mean, dim=-1)


def masked_loss(
    logits: Tensor,
    embedding: Tensor,
    labels: dict[str, Tensor],
    *,
    technique_weights: Tensor,
    tone_weights: Tensor,
    malinformation_weight: float,
    keep_embedding: float,
) -> Tensor:
    """Return the loss of a batch; each head learns only from rows that carry its label.

    ``labels`` holds, per row: ``false``, ``malinformation`` (0, 1 or NaN), ``technique``,
    ``group``, ``tone`` (index or -1), ``weight`` and ``anchor`` (the base's embedding, or zeros).
    A group label teaches the sum of its techniques' probabilities.
    """
    from models.labels import head_slices

    at = head_slices()
    weight = labels["weight"]
    total = logits.sum() * 0.0

    for name, positive in (("false", 1.0), ("malinformation", malinformation_weight)):
        value = labels[name]
        known = ~torch.isnan(value)
        if known.any():
            loss = nn.functional.binary_cross_entropy_with_logits(
                logits[known, at[name]].squeeze(-1),
                value[known],
                pos_weight=torch.tensor(positive, device=value.device),
                reduction="none",
            )
            total = total + (loss * weight[known]).sum() / weight[known].sum()

    log_p = nn.functional.log_softmax(logits[:, at["technique"]], dim=-1)
    single = labels["technique"] >= 0
    if single.any():
        total = total + nn.functional.nll_loss(
            log_p[single], labels["technique"][single], weight=technique_weights
        )
    grouped = (labels["group"] >= 0) & ~single
    if grouped.any():
        hoax = torch.tensor([t in HOAX_TECHNIQUES for t in TECHNIQUES], device=log_p.device)
        sums = torch.stack(
            [torch.logsumexp(log_p[:, hoax], -1), torch.logsumexp(log_p[:, ~hoax], -1)], dim=-1
        )
        total = total + nn.functional.nll_loss(sums[grouped], labels["group"][grouped])

    toned = labels["tone"] >= 0
    if toned.any():
        total = total + nn.functional.cross_entropy(
            logits[toned, at["tone"]], labels["tone"][toned], weight=tone_weights
        )

    anchored = labels["anchor"].abs().sum(-1) > 0
    if anchored.any() and keep_embedding > 0:
        cosine = (embedding[anchored] * labels["anchor"][anchored]).sum(-1)
        total = total + keep_embedding * (1.0 - cosine).mean()
    return total
