"""A transformers model as a Net: every answer equals a plain run of the same model over the same text."""

import copy
import random
from functools import partial

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Answer, Ask, Commit, Tree
from anyorder.hypotheses import Rule
from anyorder.methods.search.beam import search
from anyorder.nets.causal import CHUNK, Causal
from anyorder.nets.lean import Lean
from anyorder.nets.lean import lean as lean_body
from anyorder.nets.stock import Stock
from anyorder.trees import branches

V = 61
SMALL = {
    "vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512,
    "pad_token_id": 0,
}  # fmt: skip
KINDS = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "qwen2": {},
    "qwen3": {},
    "gemma2": {"query_pre_attn_scalar": 8, "sliding_window": 5},
    "gemma3_text": {"query_pre_attn_scalar": 8, "sliding_window": 5, "sliding_window_pattern": 2},
    "olmo2": {},
    "gpt_oss": {"num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 5},
}
lean = partial(lean_body, precision="fp32")
ROUNDED = ("gemma2", "gpt_oss")  # their own code rounds to float32 on the way


def near(distance: float) -> dict[str, float]:
    return {"atol": distance, "rtol": distance}


def model(kind: str, seed: int = 0):
    torch.manual_seed(seed)
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SMALL, **KINDS[kind]}))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.3)
    return (made if kind == "gpt_oss" else made.double()).eval()  # its experts multiply in float32 only


def whole(answer: Answer, chance) -> Answer:
    return answer


@torch.no_grad()
def plain(reference, text: list[int]) -> torch.Tensor:
    """[V] the stock model's logits after the text, without cache, mask or positions of ours."""
    return reference(torch.tensor([text])).logits[0, -1]


TREE = Tree((3, 4, 5, 3, 9, 4), (-1, -1, 0, 0, 2, -1))  # branches, and token 4 twice under the root


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_of_a_tree_equals_a_plain_run_of_its_path(kind: str) -> None:
    reference = model(kind)
    net = Causal(Stock(copy.deepcopy(reference)))
    text = [random.Random(1).randrange(1, V) for _ in range(11)]
    canvas = Canvas(text, 40)
    close = near(1e-4 if kind in ROUNDED else 1e-9)
    for _ in range(2):  # the second time everything but the wanted cells is cached
        (answer,) = net([(Ask(whole, guess=(TREE,)), canvas)])
        paths = [text, *(text + TREE.path(i) for i in range(len(TREE)))]
        for line, path in zip(answer.logits, paths, strict=True):
            torch.testing.assert_close(line, plain(reference, path), **close)


@pytest.mark.parametrize("make", [Stock, lambda m: lean(m.float())], ids=["stock", "lean"])
def test_cells_of_the_text_are_told_by_what_stands_before_them(make) -> None:
    """`at` on a net that reads from left to right: the law of any cell, and of the next one."""
    reference = model("llama")
    net, text = Causal(make(copy.deepcopy(reference))), [random.Random(3).randrange(1, V) for _ in range(12)]
    canvas = Canvas(text, 9)
    for cells in ([5, 3, 12], [1], list(range(1, 13))):
        (answer,) = net([(Ask(whole, at=[cells]), canvas)])
        assert answer.rows[0].cells == tuple(cells)
        assert [answer.rows[0].position(i) for i in range(len(cells))] == cells
        for line, cell in zip(answer.logits, cells, strict=True):
            torch.testing.assert_close(line.double(), plain(reference, text[:cell]), **near(2e-4))


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2"])
def test_the_lean_body_gives_the_stock_body_s_answers(kind: str) -> None:
    reference = model(kind).float()
    body = lean(copy.deepcopy(reference))
    assert isinstance(body, Lean)
    net, text = Causal(body), [random.Random(2).randrange(1, V) for _ in range(9)]
    (answer,) = net([(Ask(whole, guess=(TREE,), layers=(0, 2, 3)), Canvas(text, 9))])
    paths = [text, *(text + TREE.path(i) for i in range(len(TREE)))]
    for i, path in enumerate(paths):
        torch.testing.assert_close(answer.logits[i], plain(reference, path), **near(2e-4))
        out = reference(torch.tensor([path]), output_hidden_states=True)
        for layer in (0, 2, 3):
            got, want = answer.layers[layer][i], out.hidden_states[layer][0, -1]
            torch.testing.assert_close(got, want, **near(2e-4))


def test_a_model_of_another_shape_keeps_its_stock_body() -> None:
    assert isinstance(lean(model("qwen3")), Stock)  # its queries and keys are normed


def test_a_body_that_does_not_agree_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = model("llama").float()
    monkeypatch.setattr(wrong.config, "rms_norm_eps", 3.0)
    assert lean(wrong) is None


def random_asks(canvases, rng):
    for canvas in canvases:
        if rng.random() < 0.7:
            trees = tuple(
                branches([[rng.randrange(1, V) for _ in range(rng.randrange(4))] for _ in range(3)])
                for _ in canvas.live
            )
            yield Ask(whole, guess=trees, skip=rng.choice([0, 0, 1])), canvas


def check_random_runs(
    net, reference, seed: int, runs: int = 40, before=lambda: None, distance: float = 1e-9
) -> None:
    """Texts, forks and guesses at random; every line equals a plain run of its path."""
    rng = random.Random(seed)
    canvases = [Canvas([rng.randrange(1, V) for _ in range(rng.randrange(1, 8))], 60) for _ in range(3)]
    for _ in range(runs):
        before()
        while not (asks := list(random_asks(canvases, rng))):
            pass
        for (ask, canvas), answer in zip(asks, net(asks), strict=True):
            for lines, tree in zip(answer.rows, ask.guess, strict=True):
                for i in range(ask.skip, len(tree) + 1):
                    path = canvas.rows[lines.row] + tree.path(i - 1)
                    got = answer.logits[lines.start + i]
                    torch.testing.assert_close(got, plain(reference, path), **near(distance))
            if len(canvas.rows) < 3 and rng.random() < 0.3:
                commit = Commit([[rng.randrange(1, V)], []], parents=(0, len(canvas.rows) - 1))
            else:
                commit = Commit([tree.path(rng.randrange(-1, len(tree))) for tree in ask.guess])
            canvas.write(commit)
            net.follow(canvas, commit)
    held = {slot for h in net.held.values() for path in h.rows for slot in path.slots}
    assert net.slots.used == len(held), "slots are held that no row spells"


@pytest.mark.parametrize("body", [Stock, lean])
def test_random_texts_forks_and_guesses_always_answer_like_a_fresh_net(body) -> None:
    reference = model("llama") if body is Stock else model("llama").float()
    net = Causal(body(copy.deepcopy(reference)))
    check_random_runs(net, reference, seed=3, distance=1e-9 if body is Stock else 3e-4)


def test_accepted_guesses_are_never_computed_again() -> None:
    net = Causal(Stock(model("llama")))
    canvas = Canvas([1, 2, 3], 20)
    tree = branches([[4, 5, 6], [4, 7]])
    (answer,) = net([(Ask(whole, guess=(tree,)), canvas)])
    assert answer.cells == 3 + 4
    commit = Commit([[4, 5, 9]])
    canvas.write(commit)
    net.follow(canvas, commit)
    (answer,) = net([(Ask(whole), canvas)])
    assert answer.cells == 1


def test_forked_rows_share_their_prefix() -> None:
    net = Causal(Stock(model("llama")))
    canvas = Canvas(list(range(1, 21)), 8)
    for _ in decode([Request(canvas, lambda c: search(c, Rule(4, 1.0, "never")), {"target": net})]):
        assert net.slots.used <= 20 + 2 * 4 * 8


def test_a_new_request_reuses_a_finished_one_s_prefix() -> None:
    net = Causal(Stock(model("llama")))
    first = Canvas([1, 2, 3, 4, 5], 2)
    net([(Ask(whole), first)])
    commit = Commit([[6, 7]])
    first.write(commit)
    net.follow(first, commit)
    second = Canvas([1, 2, 3, 9, 9], 2)
    (answer,) = net([(Ask(whole), second)])
    assert answer.cells == 2
    net.follow(second, None)
    net.follow(first, None)
    assert net.slots.used <= 7, "a prefix is stored once"
    while net.idle() is not None:
        net.drop_idle()
    assert net.slots.used == 0


@pytest.mark.parametrize("body, distance", [(Stock, 1e-5), (lean, 3e-4)])
def test_a_long_prompt_is_fed_in_chunks_with_the_same_answer(body, distance: float) -> None:
    reference = model("llama").float()
    rng = random.Random(4)
    text = [rng.randrange(1, V) for _ in range(2 * CHUNK + 30)]
    net, canvas = Causal(body(copy.deepcopy(reference))), Canvas(text, 9)
    ask = Ask(whole, guess=(TREE,))
    assert net([(ask, canvas)]) == [None], "a long prompt is put off"
    assert net([(ask, canvas)]) == [None]
    (answer,) = net([(ask, canvas)])
    paths = [text, *(text + TREE.path(i) for i in range(len(TREE)))]
    for line, path in zip(answer.logits, paths, strict=True):
        torch.testing.assert_close(line, plain(reference, path), **near(distance))


def test_a_run_that_fails_leaves_nothing_that_passes_for_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = model("llama")
    net = Causal(Stock(copy.deepcopy(reference)))
    canvas, body = Canvas([1, 2, 3, 4], 9), net.body

    def broken(*parts):
        raise KeyboardInterrupt

    broken.store = body.store
    net.body = broken
    with pytest.raises(KeyboardInterrupt):
        net([(Ask(whole, guess=(TREE,)), canvas)])
    net.body = body
    (answer,) = net([(Ask(whole), canvas)])
    assert answer.cells == 4
    torch.testing.assert_close(answer.logits[0], plain(reference, [1, 2, 3, 4]), **near(1e-9))


def test_a_recurrent_model_is_refused_with_a_sentence() -> None:
    config = AutoConfig.for_model("mamba", hidden_size=16, num_hidden_layers=1, vocab_size=20, state_size=4)
    with pytest.raises(ValueError, match="cannot roll back"):
        Stock(AutoModelForCausalLM.from_config(config))
