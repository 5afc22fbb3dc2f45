"""`make demo`: the main job on the embedded model.

Text appears live by the plain loop and by other methods, then the benchmark's table says what each gained and
whether the text stayed the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROMPT = "Write a short story about a lighthouse keeper who finds a message in a bottle."
METHODS = ["greedy", "prompt_lookup", "token_recycling", "auto", "beam"]
BENCH = "transformers,prompt_lookup,token_recycling,suffix,lookahead,auto"


def anyorder(*arguments: str) -> None:
    shown = " ".join(f'"{a}"' if " " in a else a for a in arguments)
    print(f"\n$ anyorder {shown}", flush=True)
    subprocess.run([sys.executable, "-m", "anyorder", *arguments], check=True)


def main() -> None:
    for method in METHODS:
        anyorder("generate", PROMPT, "--method", method, "--max-tokens", "80")
    anyorder("bench", "--methods", BENCH, "--prompts", "2", "--max-tokens", "96")
    command = os.path.relpath(Path(sys.executable).with_name("anyorder"))
    print(
        f"\nTo watch methods write side by side, and to serve them: {command} serve\n"
        "and open http://127.0.0.1:8000 (any order: --model list-diffusion)"
    )


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except KeyboardInterrupt:
        sys.exit(130)
