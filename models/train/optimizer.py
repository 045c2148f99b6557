"""Muon for the matrices, Adam for the embedding and the norms.

Muon replaces the momentum of a matrix by the nearest matrix with orthonormal rows or columns (a few
Newton-Schulz steps), so that every direction of the matrix learns at the same rate. Where a stacked tensor holds several matrices a layer
(q, k, v; gate, up), each is orthogonalised by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model import Config


def orthogonalised(g: Tensor, steps: int = 5) -> Tensor:
    """About U V' of each matrix U S V' in a batch (the quintic of K. Jordan's Muon)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = g.shape[-2] > g.shape[-1]
    x = g.transpose(-2, -1) if tall else g
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        s = x @ x.transpose(-2, -1)
        x = a * x + (b * s + c * (s @ s)) @ x
    return x.transpose(-2, -1) if tall else x


class Optimizer:
    """Updates the part of every tensor (cut along its first axis) that worker `rank` owns.

    `state` holds the full tensors of all workers, so that any of them can write a checkpoint.
    """

    def __init__(self, config: Config, parameters: dict[str, Tensor], state: dict[str, Tensor],
                 matrix_rate: float, vector_rate: float, rank: int = 0, workers: int = 1) -> None:
        self.matrix_rate, self.vector_rate = matrix_rate, vector_rate
        c = config
        self.cuts: dict[str, list[int]] = {
            "qkv": list(c.qkv), "out": [c.width], "gate_up": [c.feed_forward] * 2, "down": [c.width]}
        self.rank, self.workers = rank, workers
        self.parameters = {name: self.own(p) for name, p in parameters.items()}
        self.state = {name: self.own(s) for name, s in state.items()}

    @staticmethod
    def new_state(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Zero moments for all parameters."""
        return {f"{name}.{moment}": torch.zeros_like(p) for name, p in parameters.items()
                for moment in ("m", "v")}

    def own(self, full: Tensor) -> Tensor:
        """This worker's slice of a tensor."""
        return full.detach().tensor_split(self.workers)[self.rank]

    @torch.no_grad()
    def step(self, gradients: dict[str, Tensor], count: int, scale: float) -> None:
        """Update number `count` (from 1) at `scale` times the peak rates; gradients of own parts."""
        for name, p in self.parameters.items():
            if p.shape[0] == 0:
                continue
            m, v = self.state[f"{name}.m"], self.state[f"{name}.v"]
            if name in self.cuts:
                _muon(p, gradients[name], m, self.cuts[name], self.matrix_rate * scale)
            else:
                _adam(p, gradients[name], m, v, count, self.vector_rate * scale)


def _muon(p: Tensor, gradient: Tensor, m: Tensor, cuts: list[int], rate: float,
          momentum: float = 0.95) -> None:
    m.lerp_(gradient, 1 - momentum)
    direction = gradient.lerp(m, momentum)  # Nesterov
    for part, d in zip(p.split(cuts, 1), direction.split(cuts, 1)):
        # Tall matrices get larger steps, so that the change of the output has one size.
        part.add_(orthogonalised(d), alpha=-rate * max(1.0, d.shape[1] / d.shape[2]) ** 0.5)


def _adam(p: Tensor, gradient: Tensor, m: Tensor, v: Tensor, count: int, rate: float) -> None:
    m.lerp_(gradient, 0.1)
    v.lerp_(gradient.square(), 0.02)
    m_hat, v_hat = m / (1 - 0.9 ** count), v / (1 - 0.98 ** count)
    p.addcdiv_(m_hat, v_hat.sqrt_().add_(1e-8), value=-rate)
