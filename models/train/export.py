"""Writes the F16 GGUF file of a checkpoint.

    python3 export.py --run run1 --out ../brink-skills-f16.gguf
"""

from __future__ import annotations

import argparse
import pathlib

import torch

import gguf
from model import Config
from tokenizer import Tokenizer

NAME = "brink-skills"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", default="last.pt")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args(arguments)
    checkpoint = torch.load(args.run / args.checkpoint, map_location="cpu")
    gguf.write(args.out, Config(**checkpoint["config"]), checkpoint["model"],
               Tokenizer.load(args.run / "tokenizer.json"), NAME)
    print(f"{args.out}: step {checkpoint['step']}, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
