"""Tasks of which all right answers are known: edits of a waiting line, Latin squares, small sudokus.

They are about items, not text: an item is a word, an answer a sequence of words (ParallelBench,
arXiv:2510.04767). The shipped diffusion model learns them and the benchmark asks them. A module has

    draw(...) -> Example                           a task's next example, from a `random.Random`
    accepted(example, answer) -> bool              whether an answer is right
    answers(example) -> list[tuple[str, ...]]      every right answer
"""
