"""Greedy answers to many prompts at a time, with a KV cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from corpus import prompt_ids
from model import Llama
from tokenizer import Tokenizer


@torch.no_grad()
def greedy(model: Llama, prompts: list[list[int]], end: int, limit: int) -> list[list[int]]:
    """The tokens after each prompt up to `end` (left out), at most `limit`."""
    device = model.embedding.device
    batch, width = len(prompts), max(map(len, prompts))
    # Prompts end in the same column; what stands before a shorter one is never looked at.
    tokens = torch.zeros(batch, width, dtype=torch.long)
    first = torch.tensor([width - len(p) for p in prompts])
    for i, prompt in enumerate(prompts):
        tokens[i, width - len(prompt):] = torch.tensor(prompt)
    tokens, first = tokens.to(device), first.to(device)
    columns = torch.arange(width, device=device)
    seen = (columns[None, :] <= columns[:, None])[None] & (columns >= first[:, None])[:, None]
    seen |= torch.eye(width, dtype=torch.bool, device=device)  # a softmax over nothing is NaN
    mask = torch.zeros(seen.shape, device=device).masked_fill(~seen, -math.inf)
    cache: list[list[Tensor]] = [[] for _ in range(model.config.layers)]
    positions = (columns - first[:, None]).clamp(min=0)
    hidden = model(tokens, mask, model.rotations(positions), cache)
    answers: list[list[int]] = [[] for _ in prompts]
    running = torch.ones(batch, dtype=torch.bool)
    for step in range(limit):
        token = model.logits(hidden[:, -1]).argmax(-1)
        running &= (token != end).cpu()
        for i in running.nonzero().flatten().tolist():
            answers[i].append(int(token[i]))
        if not running.any() or step + 1 == limit:
            break
        key_mask = torch.zeros(batch, 1, width + step + 1, device=device)
        key_mask[:, 0, :width] = mask[:, -1]
        hidden = model(token[:, None], key_mask, model.rotations((width + step - first)[:, None]),
                       cache)
    return answers


def answer_all(model: Llama, tokenizer: Tokenizer, questions: list[str], limit: int = 96,
               batch: int = 100) -> list[str]:
    """The model's answer to each question. Questions of like length share a batch."""
    prompts = [prompt_ids(tokenizer, q) for q in questions]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    for at in range(0, len(order), batch):
        some = order[at:at + batch]
        for i, ids in zip(some, greedy(model, [prompts[i] for i in some], tokenizer.end, limit)):
            answers[i] = tokenizer.decode(ids)
    return answers
