"""Trains the model: seeded, resumable, on the CPU (one process a core) or a CUDA device.

    nice -n 19 python3 train.py --out run1 --seed 1 --steps 1300
    python3 train.py --out run1 --seed 1 --steps 4000 --device cuda --rows 128

The learning rate warms up, stays, and falls to zero over the last part (`--decay`). The checkpoint
where the fall begins is kept as `stable.pt`: `--continue-from` it with more steps trains longer
without having wasted anything. `last.pt` is written every few minutes; the same command resumes from
it and goes through exactly the same steps as an uninterrupted run.

Processes with one thread each, which meet once a step, use two cores twice as well as threads that
meet in every product, most of all where other programs want the cores too.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import sys
import time

# Before torch starts its threads: waiting ones must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch import multiprocessing  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import corpus  # noqa: E402
from model import Config, Llama, document_mask  # noqa: E402
from optimizer import Optimizer  # noqa: E402
from tokenizer import Tokenizer  # noqa: E402

CHUNK_STEPS = 64  # rows are made for so many steps at a time


def rate_at(step: int, args: argparse.Namespace) -> float:
    """The share of the peak rate at a step."""
    left = (args.steps - step) / max(1.0, args.decay * args.steps)
    return min((step + 1) / args.warmup, left, 1.0)


class Batches:
    """The rows of any step, from nothing but the seed and the number of the step."""

    def __init__(self, tokenizer: Tokenizer, args: argparse.Namespace, rank: int) -> None:
        self.tokenizer, self.args, self.rank = tokenizer, args, rank
        self.chunk, self.rows = -1, None
        self.pool = None
        self.futures: dict[int, concurrent.futures.Future[corpus.Rows]] = {}
        if args.device != "cpu":  # there the corpus would be the bottleneck
            self.pool = concurrent.futures.ProcessPoolExecutor(
                max(1, (os.cpu_count() or 2) - 2), multiprocessing.get_context("spawn"))

    def _arguments(self, chunk: int) -> tuple[Tokenizer, str, int, int, bool]:
        a = self.args
        return (self.tokenizer, f"{a.seed}/{chunk}", CHUNK_STEPS * a.rows, a.length,
                chunk * CHUNK_STEPS < a.early_steps)

    def _make(self, chunk: int) -> corpus.Rows:
        if self.pool is None:
            return corpus.pack(*self._arguments(chunk))
        last = min(chunk + self.pool._max_workers, self.args.steps // CHUNK_STEPS + 1)
        for ahead in range(chunk, last):
            if ahead not in self.futures:
                self.futures[ahead] = self.pool.submit(corpus.pack, *self._arguments(ahead))
        return self.futures.pop(chunk).result()

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor, float]:
        """Own tokens, weights of the targets and documents of a step, and the sum of all weights."""
        chunk, index = divmod(step, CHUNK_STEPS)
        if chunk != self.chunk:
            self.chunk, self.rows = chunk, self._make(chunk)
        assert self.rows is not None
        at = slice(index * self.args.rows, (index + 1) * self.args.rows)
        tokens, kind, document = (torch.from_numpy(a[at].astype("int64")) for a in (
            self.rows.tokens, self.rows.kind, self.rows.document))
        weights = torch.tensor([0.0, self.args.prompt_weight, 1.0, self.args.prose_weight])[kind]
        # The first token of a document has nothing before it.
        weights[:, 1:] *= document[:, 1:] == document[:, :-1]
        total = float(weights[:, 1:].sum())
        own = slice(self.rank, None, self.args.workers)
        device = self.args.device
        return (tokens[own].to(device), weights[own, 1:].to(device), document[own].to(device), total)


def loss_of(model: Llama, batch: tuple[Tensor, Tensor, Tensor, float],
            autocast: contextlib.AbstractContextManager) -> tuple[Tensor, Tensor]:
    """Own share of the weighted mean loss, and the summed answer loss and count for the log."""
    tokens, weights, documents, total = batch
    positions = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
    with autocast:
        hidden = model(tokens, document_mask(documents), model.rotations(positions))
        logits = model.logits(hidden[:, :-1])
    losses = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(),
                             reduction="none").view(weights.shape)
    answers = weights == 1.0
    told = torch.stack([losses.detach()[answers].sum(), answers.sum().float()])
    return (losses * weights).sum() / total, told


@dataclasses.dataclass
class Shared:
    """What the workers share: parameters, moments, one gradient each, and figures for the log."""

    parameters: dict[str, Tensor]
    state: dict[str, Tensor]
    gradients: list[dict[str, Tensor]]
    told: Tensor
    start: int
    barrier: object


def save(path: pathlib.Path, step: int, shared: Shared, config: Config) -> None:
    """Writes a checkpoint; a reader never sees half of one."""
    new = path.with_suffix(".new")
    torch.save({"step": step, "config": dataclasses.asdict(config),
                "model": {k: v.detach().cpu() for k, v in shared.parameters.items()},
                "state": {k: v.cpu() for k, v in shared.state.items()}}, new)
    os.replace(new, path)


def work(rank: int, args: argparse.Namespace, config: Config, shared: Shared) -> None:
    """One worker: its rows of every step, its part of every update."""
    # torch sends this signal when the parent ends; a shell's background jobs would ignore it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(args.threads)
    out = pathlib.Path(args.out)
    tokenizer = Tokenizer.load(out / "tokenizer.json")
    batches = Batches(tokenizer, args, rank)
    model = Llama(config).to(args.device)
    for name, p in model.named_parameters():
        p.data = shared.parameters[name]
        p.grad = shared.gradients[rank][name]
    optimizer = Optimizer(config, shared.parameters, shared.state, args.matrix_rate,
                          args.vector_rate, rank, args.workers)
    autocast = (torch.autocast("cuda", torch.bfloat16) if args.device == "cuda"
                else contextlib.nullcontext())

    def meet() -> None:
        if args.workers > 1:
            shared.barrier.wait(4 * 3600)  # type: ignore[attr-defined]

    begun = saved = time.time()
    log = torch.zeros(2)
    for step in range(shared.start, min(args.steps, args.stop_at)):
        for g in shared.gradients[rank].values():
            g.zero_()
        loss, told = loss_of(model, batches(step), autocast)
        loss.backward()
        shared.told[rank] = told.cpu()
        meet()
        own = {name: sum(optimizer.own(g[name]) for g in shared.gradients)
               for name in shared.parameters}
        optimizer.step(own, step + 1, rate_at(step, args))
        if rank == 0:
            log += shared.told.sum(0)
        meet()
        if rank != 0:
            continue
        if (step + 1) % args.log_steps == 0:
            rate = (step + 1 - shared.start) * args.rows * args.length / (time.time() - begun)
            print(f"{time.strftime('%H:%M:%S')} step {step + 1} answer loss {log[0] / log[1]:.4f} "
                  f"rate {rate_at(step, args):.3f} tokens/s {rate:.0f}", flush=True)
            log.zero_()
        if step + 1 == int(args.steps * (1 - args.decay)):
            save(out / "stable.pt", step + 1, shared, config)
        if time.time() - saved > 60 * args.save_minutes or step + 1 in (
                args.steps, args.stop_at):
            # The others only add up gradients meanwhile: they cannot change anything before they
            # meet this worker again.
            save(out / "last.pt", step + 1, shared, config)
            saved = time.time()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="folder of the run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--rows", type=int, default=16, help="rows a step")
    parser.add_argument("--length", type=int, default=256, help="tokens a row")
    parser.add_argument("--vocabulary", type=int, default=1536)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--feed-forward", type=int, default=768)
    parser.add_argument("--matrix-rate", type=float, default=0.01)
    parser.add_argument("--vector-rate", type=float, default=0.003)
    parser.add_argument("--warmup", type=int, default=40)
    parser.add_argument("--decay", type=float, default=0.35, help="share of the steps")
    parser.add_argument("--early-steps", type=int, default=128, help="steps with many drills")
    parser.add_argument("--prompt-weight", type=float, default=0.1)
    parser.add_argument("--prose-weight", type=float, default=0.3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--workers", type=int, help="processes (default: one a core; CUDA: one)")
    parser.add_argument("--threads", type=int, default=1, help="threads a process")
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--stop-at", type=int, default=1 << 60, help="stop early, to continue later")
    parser.add_argument("--log-steps", type=int, default=25)
    parser.add_argument("--continue-from", help="checkpoint of another run to begin with")
    args = parser.parse_args(arguments)
    if args.workers is None:
        args.workers = 1 if args.device == "cuda" else os.cpu_count() or 1
    return args


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    if not (out / "tokenizer.json").exists():
        corpus.fit_tokenizer(0, args.vocabulary).save(out / "tokenizer.json")
    config = Config(vocabulary=len(Tokenizer.load(out / "tokenizer.json").tokens),
                    layers=args.layers, heads=args.heads, kv_heads=args.kv_heads,
                    feed_forward=args.feed_forward)
    parameters = {n: p.detach().to(args.device) for n, p in Llama(config).named_parameters()}
    state = Optimizer.new_state(parameters)
    start = 0
    source = out / "last.pt" if (out / "last.pt").exists() else args.continue_from
    if source:
        checkpoint = torch.load(source, map_location=args.device)
        assert checkpoint["config"] == dataclasses.asdict(config), "another model"
        parameters, state, start = checkpoint["model"], checkpoint["state"], checkpoint["step"]
        print(f"continues {source} at step {start}", flush=True)
    gradients = [{n: torch.zeros_like(p) for n, p in parameters.items()}
                 for _ in range(args.workers)]
    shared = Shared(parameters, state, gradients, torch.zeros(args.workers, 2), start,
                    multiprocessing.get_context("spawn").Barrier(args.workers))
    (out / "arguments.json").write_text(json.dumps(vars(args), indent=1) + "\n")
    print(f"{sum(p.numel() for p in parameters.values())} parameters, "
          f"{args.steps * args.rows * args.length} tokens", flush=True)
    if args.workers == 1:
        work(0, args, config, shared)
        return
    for group in (parameters, state, *gradients):
        for tensor in group.values():
            tensor.share_memory_()
    shared.told.share_memory_()
    multiprocessing.spawn(work, (args, config, shared), args.workers)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
