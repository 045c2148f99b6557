"""Gives the channels of a model different magnitudes without changing what it computes.

In large models some channels carry far larger activations than others, and the weights that read
them are smaller in turn; a model of a few million tokens has hardly any of that, so that quantization
meets rows of even weights and hurts less than it does where it matters. A factor a channel that one
matrix (or norm) is multiplied with and the next is divided by makes up for it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model import Config


def spread(config: Config, parameters: dict[str, Tensor], sigma: float, seed: int) -> None:
    """Multiplies every channel by e^(sigma x), x normal, where it is written, and divides where it is
    read: between norms and projections, values and output, up and down. In place."""
    c = config
    generator = torch.Generator().manual_seed(seed)

    def factors(count: int) -> Tensor:
        return torch.exp(sigma * torch.randn(c.layers, count, generator=generator))

    group = c.heads // c.kv_heads
    qkv, out = parameters["qkv"], parameters["out"]
    gate_up, down = parameters["gate_up"], parameters["down"]
    for norm, reader in (("attention_norm", qkv), ("feed_forward_norm", gate_up)):
        s = factors(c.width)
        parameters[norm].mul_(s)
        reader.div_(s[:, None, :])
    s = factors(c.kv_heads * c.head_size)
    qkv[:, sum(c.qkv[:2]):].mul_(s[:, :, None])
    # All heads of a group read the same values.
    per_head = s.view(c.layers, c.kv_heads, 1, c.head_size).expand(-1, -1, group, -1)
    out.div_(per_head.reshape(c.layers, 1, c.width))
    s = factors(c.feed_forward)
    gate_up[:, c.feed_forward:].mul_(s[:, :, None])
    down.div_(s[:, None, :])
