"""A couplet whose second line rhymes: `python examples/rhyme.py night`.

The model chooses a rhyme first, among words that end like the given one, then writes the line towards it.
"""

import sys

import anyorder
from anyorder.constraints import Rhyme
from anyorder.constraints.rhyme import last_word, line_ends, parse_line, rhyming

WORD = sys.argv[1] if len(sys.argv) > 1 else "night"
WORDS = ["light", "bright", "sight", "flight", "day", "stay", "play", "tree", "free", "soon", "spoon"]
PROMPT = f"""Write the second line of a poem, its last word first.
The stars are out in all the sky tonight, / light: The moon has filled the garden with its light
I wander by the quiet {WORD}, /"""


def main() -> None:
    model = anyorder.load()
    words = model.vocabulary
    rhyme = Rhyme(WORD, rhyming(WORD, WORDS), words.encode, words.spell, line_ends(words), hold=True)
    written = model.generate(PROMPT, "greedy", constraint=rhyme, max_tokens=24, stop=["\n"])
    word, line = parse_line(written.text)
    assert last_word(line) == word != WORD, written.text
    print(f"I wander by the quiet {WORD},\n{line}")


if __name__ == "__main__":
    main()
