"""What the comparisons with another quantizer share: running programs, dealing out a text."""

import subprocess

PIECE = 4096  # bytes of text


def run(*command, both=False):
    """Standard output of a program, with `both` its errors behind; ends with what it says if it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"[-800:])
    return done.stdout + (done.stderr if both else "")


def deal(text, paths):
    """Writes the pieces of a text to the files in turn, so that they are disjoint and alike."""
    data = text.read_bytes()
    pieces = [data[i:i + PIECE] for i in range(0, len(data), PIECE)]
    for i, path in enumerate(paths):
        path.write_bytes(b"".join(pieces[i::len(paths)]))
