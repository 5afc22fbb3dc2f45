"""Chained drafters."""

from anyorder.testing import subject

OPTIONS = [{}, {"drafters": "jacobi,lookahead"}]


def test_chained_takes_the_first_that_guesses():
    record = subject("chained", options={"drafters": "prompt_lookup,jacobi"}).run([0, 1, 2, 0, 1], 12)
    sources = [set(ask.guess[0].source) for ask, _ in record.answers]
    assert sources[0] == {"prompt_lookup"}
    assert {"jacobi"} in sources
    assert all(len(source) == 1 for source in sources)
