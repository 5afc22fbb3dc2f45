"""Beam search against all texts there are."""

from itertools import product

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, greedy_text, log_probability, play, restarted
from tests.drafts import mixed_law

OPTIONS = [{}, {"width": 1}, {"width": 3, "length_penalty": 0.0, "stop": "full"}, {"stop": "never"}]

PROMPT = [0, 1]


def search(net, budget, eos=(), wrap=lambda method: method, rule=None, prompt=PROMPT, **options):
    """The hypotheses and their scores, best first. `rule` is a stop rule of the canvas."""
    canvas = Canvas(prompt, budget, eos=eos, stop=rule)
    method = wrap(build("beam", options, Setting(vocab=net.vocab)))
    play([Request(canvas, method, {"target": net})])
    order = sorted(range(len(canvas.rows)), key=lambda h: -canvas.score[h])
    return [(tuple(canvas.generated(h)), canvas.score[h]) for h in order]


def every_text(net, length, eos, penalty):
    """All texts with their ranks, best first."""
    every = product(range(net.vocab), repeat=length)
    texts = {t[: 1 + next((i for i, x in enumerate(t) if x in eos), length)] for t in every}
    ranked = [(t, log_probability(net, PROMPT, t) / len(t) ** penalty) for t in texts]
    return sorted(ranked, key=lambda text: -text[1])


@pytest.mark.parametrize("net", [ToyCausal(0, 3), mixed_law(1), mixed_law(2)])
@pytest.mark.parametrize("eos", [(), (2,)])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.5])
def test_wide_enough_finds_every_text(net, eos, penalty):
    """With width >= V^length nothing is cut, so the list is the list of all texts."""
    found = search(net, 3, eos, width=27, length_penalty=penalty, stop="never")
    true = every_text(net, 3, eos, penalty)
    assert [text for text, _ in found] == [text for text, _ in true]
    assert [score for _, score in found] == pytest.approx([score for _, score in true])


@pytest.mark.parametrize("stop", ["full", "bound"])
@pytest.mark.parametrize("seed", range(5))
def test_width_one_is_greedy(stop, seed):
    net = ToyCausal(seed, 13)
    plain = greedy_text(net, PROMPT, 8)
    for eos in [(), *((t,) for t in set(plain))]:
        ((text, score),) = search(net, 8, eos, width=1, stop=stop)
        assert list(text) == greedy_text(net, PROMPT, 8, eos=eos)
        assert score == pytest.approx(log_probability(net, PROMPT, text) / len(text))


def test_width_finds_what_greedy_misses():
    """Token 0 is likelier at first, but nothing likely follows it."""
    after = {0: (0.4, 0.3, 0.3), 1: (0.05, 0.05, 0.9), 2: (0.3, 0.3, 0.4)}

    def law(text):
        p = (0.5, 0.4, 0.1) if len(text) == len(PROMPT) else after[text[-1]]
        return torch.tensor(p, dtype=torch.float64).log()

    found = {width: search(ByText(law), 2, width=width)[0][0] for width in (1, 2)}
    assert found == {1: (0, 0), 2: (1, 2)}


@pytest.mark.parametrize("stop", ["full", "bound", "never"])
def test_restarted_at_every_commit(stop):
    """What a row is worth is on the canvas: a beam killed and started again goes on as before."""
    net = ToyCausal(1, 13)
    for eos in ((), (greedy_text(net, PROMPT, 6)[3],)):
        one, two = (search(net, 6, eos, wrap, width=3, stop=stop) for wrap in (lambda m: m, restarted))
        assert [text for text, _ in one] == [text for text, _ in two]
        assert [score for _, score in one] == pytest.approx([score for _, score in two])


def test_stops_once_no_row_can_win():
    """stop=bound ends earlier than stop=never on the same net, with ended hypotheses only."""
    net = ToyCausal(2, 13)
    eos = (greedy_text(net, PROMPT, 2)[0],)
    found = search(net, 12, eos, width=2, stop="bound")
    assert all(text[-1] in eos for text, _ in found)
    assert len(found) == 2


def test_stop_says_how_long_a_row_may_hope():
    """Ending at once is likeliest for now; four near-certain tokens come to be worth more."""

    def law(text):
        p = (0.35, 0.25, 0.4) if len(text) == len(PROMPT) else (0.98, 0.01, 0.01)
        return torch.tensor(p, dtype=torch.float64).log()

    found = {
        stop: search(ByText(law), 4, (2,), width=1, stop=stop)[0][0] for stop in ("full", "bound", "never")
    }
    assert found == {"full": (2,), "bound": (2,), "never": (0, 0, 0, 0)}


def test_stop_rule_ends_one_row_only():
    net = ToyCausal(1, 13)
    token = search(net, 5, width=3)[0][0][1]

    def rule(generated, new):
        return len(generated) if generated[-1] == token else None

    found = search(net, 5, rule=rule, width=3, stop="never")
    assert {len(text) for text, _ in found} > {5}
    assert all(len(text) == 5 or text[-1] == token for text, _ in found)
    assert all(token not in text[:-1] for text, _ in found)


# transformers' beam search ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama():
    """A random llama that nobody trained: its laws are flat enough for ends of text to come anywhere."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=23, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.5, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).double().eval()


def theirs(llama, prompt, budget, eos, width, length_penalty, stop):
    """Texts and scores of transformers' `generate`, best first."""
    early = {"full": True, "bound": False, "never": "never"}[stop]
    config = GenerationConfig(
        num_beams=width, num_return_sequences=width, length_penalty=length_penalty, early_stopping=early,
        max_new_tokens=budget, do_sample=False, eos_token_id=list(eos) or None, pad_token_id=0,
    )  # fmt: skip
    out = llama.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        generation_config=config, output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    texts = [ended(text, eos) for text in out.sequences[:, len(prompt) :].tolist()]
    return texts, out.sequences_scores.tolist()


def ended(text, eos):
    return text[: 1 + next((i for i, token in enumerate(text) if token in eos), len(text))]


@pytest.mark.parametrize("eos", [(), (5,), (2, 3, 5, 7, 11, 13, 17)])
@pytest.mark.parametrize("stop", ["full", "bound", "never"])
@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.0])
def test_hypotheses_and_scores_of_transformers(llama, eos, stop, penalty):
    net = ByText(lambda text: llama(torch.tensor([text])).logits[0, -1].detach().float())
    for prompt, width, budget in [([1, 2], 3, 7), ([4], 2, 1), ([7, 8, 9], 4, 9), ([3], 4, 2)]:
        texts, scores = theirs(llama, prompt, budget, eos, width, penalty, stop)
        given = {"width": width, "length_penalty": penalty, "stop": stop}
        found = search(net, budget, eos, prompt=prompt, **given)
        assert [list(text) for text, _ in found] == texts
        assert [score for _, score in found] == pytest.approx(scores, abs=1e-5)
