"""A llama: RMS norm, rotary positions, grouped-query attention, SwiGLU, output tied to the embedding.

The weights of all layers are stacked in one tensor a kind. That keeps the number of tensors (and of
calls of the optimizer) independent of the depth, which is what counts for a small model.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOOK_BACK = (1, 2, 2, 3)  # distances that the heads of the first layer start with
CONSTANT = 0  # a channel that starts alike for all tokens


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes. Row lengths (width, heads * head size, feed_forward) are multiples of 256: k-quants."""

    vocabulary: int = 1536
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 768
    context: int = 512
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def qkv(self) -> tuple[int, int, int]:
        return self.width, self.kv_heads * self.head_size, self.kv_heads * self.head_size


class Llama(nn.Module):
    """Parameters: embedding, then one stacked tensor [layers, out, in] a kind, and norms."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = c = config

        def weight(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) * scale)

        inner = c.width ** -0.5
        self.embedding = weight(c.vocabulary, c.width, scale=inner)
        self.qkv = weight(c.layers, sum(c.qkv), c.width, scale=inner)
        # What layers add is small at first, so that they see the tokens and not each other's noise.
        self.out = weight(c.layers, c.width, c.width, scale=0.02 * inner)
        self.gate_up = weight(c.layers, 2 * c.feed_forward, c.width, scale=inner)
        self.down = weight(c.layers, c.width, c.feed_forward, scale=0.02 * c.feed_forward ** -0.5)
        self.attention_norm = nn.Parameter(torch.ones(c.layers, c.width))
        self.feed_forward_norm = nn.Parameter(torch.ones(c.layers, c.width))
        self.output_norm = nn.Parameter(torch.ones(c.width))
        self._angles: Tensor | None = None
        with torch.no_grad():
            sources = self._look_back()
            if c.layers > 1:
                self._look_up(*sources)

    def _values(self, layer: int, group: int) -> Tensor:
        """The value projection of a layer's KV head, made to pick a random subspace."""
        c, d = self.config, self.config.head_size
        value = self.qkv[layer, sum(c.qkv[:2]) + group * d:][:d]
        value.copy_(torch.linalg.qr(torch.randn(c.width, d))[0].T)
        value[:, CONSTANT] = 0
        return value

    def _look_back(self) -> tuple[list[Tensor], list[Tensor]]:
        """The first layer's heads start by copying what stands LOOK_BACK tokens before.

        A few million tokens are too few to find this by chance, and all that is looked up in the
        context is built on it. Queries and keys see little but a channel that is the same for every
        token, so that only the distance counts; the fastest rotations tell neighbours apart.
        Returns what each KV head reads and where each head writes it.
        """
        c, d, fast = self.config, self.config.head_size, 8
        self.embedding[:, CONSTANT] = 4 * c.width ** -0.5
        angles = c.rope_base ** -(torch.arange(0, d, 2)[:fast] / d)
        self.qkv[0, :c.qkv[0] + c.qkv[1]] *= 0.2
        read, written = [], []
        for group in range(c.kv_heads):
            key = self.qkv[0, c.qkv[0] + group * d:][:d, CONSTANT]
            key[0:2 * fast:2], key[1:2 * fast:2] = 2, 0
            read.append(self._values(0, group).clone())
        subspaces = torch.linalg.qr(torch.randn(c.width, c.width))[0]
        for head in range(c.heads):
            query = self.qkv[0, head * d:][:d, CONSTANT]
            turned = angles * LOOK_BACK[head % len(LOOK_BACK)]
            query[0:2 * fast:2], query[1:2 * fast:2] = 2 * turned.cos(), -2 * turned.sin()
            written.append(subspaces[:, head * d:][:, :d])
            self.out[0, :, head * d:][:, :d] = written[-1] / 8
        return read, written

    def _look_up(self, read: list[Tensor], written: list[Tensor]) -> None:
        """The second layer's heads start by finding an earlier place like this one and copying it.

        The heads of the first group match this token with the token before a place (what followed
        when it came last?), those of the last group the second token before this one with the third
        before a place (`COST = ` finds the value in an earlier `COST = 4`). Slow rotations alone: they
        do not mind the distance.
        """
        c, d = self.config, self.config.head_size
        slow = slice(24 * d // 64, d)
        count = d - slow.start
        per_group = c.heads // c.kv_heads
        pairs = {0: (read[0], written[0].T),
                 c.kv_heads - 1: (written[-2].T, written[-1].T)}
        for group in range(c.kv_heads):
            if group in pairs:
                wanted, offered = pairs[group]
                key = self.qkv[1, c.qkv[0] + group * d:][:d]
                key *= 0.3
                key[slow] = 1.5 * offered[:count]
            value = self._values(1, group)
            for head in range(group * per_group, (group + 1) * per_group):
                self.out[1, :, head * d:][:, :d] = value.T / 8
                if group in pairs:
                    query = self.qkv[1, head * d:][:d]
                    query *= 0.3
                    query[slow] = 1.5 * wanted[:count]

    def rotations(self, positions: Tensor) -> Tensor:
        """Complex factors [..., head_size / 2]: GGUF's llama turns neighbouring pairs."""
        c = self.config
        if self._angles is None or self._angles.device != positions.device:
            steps = torch.arange(0, c.head_size, 2, device=positions.device) / c.head_size
            self._angles = c.rope_base ** -steps.float()
        angles = positions.float()[..., None] * self._angles
        return torch.polar(torch.ones_like(angles), angles)

    def forward(self, tokens: Tensor, mask: Tensor, rotations: Tensor,
                cache: list[list[Tensor]] | None = None) -> Tensor:
        """Normalised hidden states [batch, time, width].

        `mask` is added to the scores (0 or -inf); with a `cache` (per layer keys and values so far,
        [batch, kv_heads, time, head_size]) the new ones are appended to it.
        """
        c = self.config
        b, t = tokens.shape
        group = c.heads // c.kv_heads
        x = self.embedding[tokens]
        layers = zip(self.qkv.unbind(0), self.out.unbind(0), self.gate_up.unbind(0),
                     self.down.unbind(0), self.attention_norm.unbind(0),
                     self.feed_forward_norm.unbind(0))
        for index, (qkv, out, gate_up, down, norm1, norm2) in enumerate(layers):
            h = F.linear(rms_norm(x, norm1, c.epsilon), qkv)
            qk, v = h.split([c.qkv[0] + c.qkv[1], c.qkv[2]], dim=-1)
            qk = rotate(qk.reshape(b, t, c.heads + c.kv_heads, c.head_size), rotations)
            q, k = qk.transpose(1, 2).split([c.heads, c.kv_heads], dim=1)
            v = v.reshape(b, t, c.kv_heads, c.head_size).transpose(1, 2)
            if cache is not None:
                if cache[index]:
                    k = torch.cat([cache[index][0], k], dim=2)
                    v = torch.cat([cache[index][1], v], dim=2)
                cache[index] = [k, v]
            # The heads of a group share keys: they are rows of one product.
            q = q.reshape(b, c.kv_heads, group * t, c.head_size)
            scores = (q * c.head_size ** -0.5) @ k.transpose(2, 3)
            scores = scores.view(b, c.kv_heads, group, t, -1) + mask[:, None, None]
            weights = scores.softmax(-1).view(b, c.kv_heads, group * t, -1)
            a = (weights @ v).view(b, c.heads, t, c.head_size).transpose(1, 2).reshape(b, t, -1)
            x = x + F.linear(a, out)
            gate, up = F.linear(rms_norm(x, norm2, c.epsilon), gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, down)
        return rms_norm(x, self.output_norm, c.epsilon)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embedding)


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x over its root mean square, times a weight a channel."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight


def rotate(x: Tensor, rotations: Tensor) -> Tensor:
    """Rotary positions on [batch, time, heads, head_size]; rotations [batch, time, head_size / 2]."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotations[:, :, None]).flatten(-2).to(x.dtype)


def document_mask(documents: Tensor) -> Tensor:
    """0 where a token may look (its own document, not ahead), else -inf: [batch, time, time]."""
    t = documents.shape[1]
    same = documents[:, :, None] == documents[:, None, :]
    seen = torch.ones(t, t, dtype=torch.bool, device=documents.device).tril() & same
    return torch.zeros(seen.shape, device=documents.device).masked_fill(~seen, -math.inf)
