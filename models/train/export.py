"""Writes the F16 GGUF file of a checkpoint.

    python3 export.py --run run1 --out ../brink-skills-f16.gguf
"""

from __future__ import annotations

import argparse
import pathlib

import torch

import gguf
from channels import spread
from model import Config
from tokenizer import Tokenizer

NAME = "brink-skills"
SPREAD = 0.5  # chosen on the development items: at two bits skills are lost, at eight none


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", default="last.pt")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--spread", type=float, default=SPREAD,
                        help="how far channels differ in magnitude (channels.py)")
    args = parser.parse_args(arguments)
    checkpoint = torch.load(args.run / args.checkpoint, map_location="cpu")
    config = Config(**checkpoint["config"])
    spread(config, checkpoint["model"], args.spread, seed=0)
    gguf.write(args.out, config, checkpoint["model"],
               Tokenizer.load(args.run / "tokenizer.json"), NAME)
    print(f"{args.out}: step {checkpoint['step']}, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
