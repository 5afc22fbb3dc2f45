"""Exits share the whole net's cells: the same answers, the same bits, and no block is run twice."""

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Ask, Commit, chain
from anyorder.drafters.draft_model import chained_drafts
from anyorder.methods.speculative.speculative import with_drafter
from anyorder.nets.causal import CHUNK, Causal
from anyorder.nets.lean import lean as lean_body
from anyorder.nets.memory import Full, Memory
from anyorder.nets.parts import Trimmed, first_blocks
from anyorder.nets.products import product
from tests.nets.test_causal import TREE, V, model, near, random_asks, whole
from tests.nets.test_products import numbers, poured

BLOCKS = 3  # of the small model


def body_of(precision: str):
    return lean_body(model("llama").to(torch.bfloat16 if precision == "bf16" else torch.float32), precision)


def made(precision: str = "fp32", memory: Memory | None = None):
    """A net and its exits by blocks."""
    body = body_of(precision)
    net = Causal(body, memory)
    return net, {n: first_blocks(net, body.some(range(n)), n, BLOCKS) for n in (1, 2, 3)}


def cut(blocks: int):
    """The small model cut by transformers itself."""
    short = model("llama").float()
    short.model.layers = short.model.layers[:blocks]
    return short


@pytest.mark.parametrize("seed", range(3))
def test_whole_net_and_exits_answer_like_fresh_ones_whoever_runs_first(seed: int) -> None:
    """Texts, forks and guesses at random, and for each run another of the net and its exits."""
    net, exits = made()
    nets = [(net, model("llama").float()), *((exits[n], cut(n)) for n in (1, 2))]
    rng = random.Random(seed)
    canvases = [Canvas([rng.randrange(1, V) for _ in range(rng.randrange(1, 8))], 60) for _ in range(3)]
    for _ in range(60):
        asked, reference = rng.choice(nets)
        asks = list(random_asks(canvases, rng))
        for (ask, canvas), answer in zip(asks, asked(asks), strict=True):
            for lines, tree in zip(answer.rows, ask.guess, strict=True):
                for i in range(ask.skip, len(tree) + 1):
                    path = canvas.rows[lines.row] + tree.path(i - 1)
                    with torch.no_grad():
                        want = reference(torch.tensor([path])).logits[0, -1]
                    torch.testing.assert_close(answer.logits[lines.start + i], want, **near(3e-4))
            if rng.random() < 0.5:  # else another net is asked about the same text
                continue
            if len(canvas.rows) < 3 and rng.random() < 0.3:
                commit = Commit([[rng.randrange(1, V)], []], parents=(0, len(canvas.rows) - 1))
            else:
                commit = Commit([tree.path(rng.randrange(-1, len(tree))) for tree in ask.guess])
            canvas.write(commit)
            for one, _ in nets:
                one.follow(canvas, commit)
    held = {slot for h in net.held.values() for path in h.rows for slot in (*path.slots, *h.guesses)}
    assert net.slots.used == len(held), "slots are held that no row spells"
    assert set(net.slots.partial) <= held, "states are kept of cells that are gone"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_cell_that_went_on_from_an_exit_has_the_bits_of_one_that_never_stopped(precision: str) -> None:
    text = list(range(1, 8))
    net, exits = made(precision)
    canvas = Canvas(text, 9)
    exits[1]([(Ask(whole, guess=(chain([3, 4]),)), canvas)])
    exits[2]([(Ask(whole, guess=(chain([3]),)), canvas)])
    assert sorted(kept.blocks for kept in net.slots.partial.values()) == [1, *[2] * 8]
    (after,) = net([(Ask(whole, guess=(TREE,)), canvas)])  # some of its guesses are there, some are not
    (straight,) = made(precision)[0]([(Ask(whole, guess=(TREE,)), Canvas(text, 9))])
    assert torch.equal(after.logits, straight.logits)
    assert torch.equal(after.hidden, straight.hidden)


def test_layers_below_the_exit_are_run_for_who_names_them() -> None:
    net, exits = made()
    canvas, tree = Canvas([1, 2, 3, 4], 9), chain([3, 4])
    exits[2]([(Ask(whole, guess=(tree,)), canvas)])
    ask = Ask(whole, guess=(tree,), layers=(0, 1, 2, 3))
    (after,), (straight,) = net([(ask, canvas)]), made()[0]([(ask, Canvas([1, 2, 3, 4], 9))])
    for layer in ask.layers:
        assert torch.equal(after.layers[layer], straight.layers[layer])


class Counted:
    """A product that notes how many cells it is run over."""

    def __init__(self, made, runs: list[int]):
        self.made, self.runs, self.takes = made, runs, made.takes

    def __call__(self, x):
        self.runs.append(x.cells)
        return self.made(x)


def test_a_round_costs_gamma_e_and_l_block_passes() -> None:
    """LayerSkip: gamma drafts through E blocks, one verification through L, of which only the last draft
    sees the first E: nobody drafted with it yet."""
    body, runs = body_of("fp32"), []
    counted = tuple(replace(b, qkv=Counted(b.qkv, runs)) for b in body.layers)
    body = replace(body, layers=counted)
    net, gamma, deep = Causal(body), 4, 2
    nets = {"target": net, "exit": first_blocks(net, body.some(range(deep)), deep, BLOCKS)}
    method = with_drafter(chained_drafts("exit", gamma, False, "x"), Setting())
    rounds, cells = [], []
    for _ in decode([Request(Canvas([1, 2, 3, 4, 5], 12), method, nets)]):
        rounds.append(len(runs))
        cells.append(list(runs))
        runs.clear()
    assert rounds[:-1] == [gamma * deep + BLOCKS] * (len(rounds) - 1)
    assert cells[0] == [5, 5, *[1] * 6, 1, 1, 9]  # the prompt stops at the exit and goes on from there
    assert cells[1] == [*[1] * 8, 1, 1, gamma + 1]


def test_a_prompt_that_the_net_read_costs_the_exit_nothing() -> None:
    net, exits = made()
    canvas = Canvas(list(range(1, 31)), 9)
    net([(Ask(whole), canvas)])
    (answer,) = exits[1]([(Ask(whole), canvas)])
    assert answer.cells == 1
    assert not net.slots.partial, "a whole cell stays whole"
    (answer,) = net([(Ask(whole, guess=(chain([3]),), skip=1), canvas)])
    assert answer.cells == 1


def test_a_long_prompt_goes_through_the_exit_and_on_in_chunks() -> None:
    reference, rng = model("llama").float(), random.Random(4)
    text = [rng.randrange(1, V) for _ in range(2 * CHUNK + 30)]
    net, exits = made()
    canvas, ask = Canvas(text, 9), Ask(whole, guess=(TREE,))
    for one, want in (exits[2], cut(2)), (net, reference):
        assert [one([(ask, canvas)]) for _ in range(2)] == [[None], [None]]
        (answer,) = one([(ask, canvas)])
        with torch.no_grad():
            line = want(torch.tensor([text])).logits[0, -1]
        torch.testing.assert_close(answer.logits[0], line, **near(3e-4))
    assert not net.slots.partial


def test_states_count_as_memory_and_go_with_their_cells() -> None:
    net, exits = made()
    canvas = Canvas([1, 2, 3, 4], 9)
    exits[1]([(Ask(whole, guess=(chain([3]),)), canvas)])
    assert net.state_bytes == 32 * 4
    assert net.used == 5 * (net.cell_bytes + net.state_bytes)
    net.pause(canvas)
    assert net.used == 0
    small = Memory(5 * net.cell_bytes)
    tight, exits = made(memory=small)
    (said,) = exits[1]([(Ask(whole, guess=(chain([3]),)), canvas)])
    assert isinstance(said, Full)
    (answer,) = tight([(Ask(whole, guess=(chain([3]),)), canvas)])
    assert answer.cells == 5


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_trimmed_head_says_what_the_whole_one_says_of_the_tokens_it_keeps(precision: str) -> None:
    body = body_of(precision)
    keep = torch.tensor([0, 3, 17, 18, 60])  # not the lowest ids
    ask, text = Ask(whole, guess=(TREE,), layers=(1,)), [1, 2, 3]
    (full,) = Causal(body)([(ask, Canvas(text, 9))])
    (part,) = Causal(Trimmed(body.trimmed(keep), keep))([(ask, Canvas(text, 9))])
    assert torch.equal(part.logits[:, keep], full.logits[:, keep])
    others = [t for t in range(V) if t not in keep.tolist()]
    assert bool((part.logits[:, others] == -torch.inf).all())
    torch.testing.assert_close(part.head(full.layers[1])[:, keep], full.head(full.layers[1])[:, keep])
    everything = torch.arange(V)
    (same,) = Causal(Trimmed(body.trimmed(everything), everything))([(ask, Canvas(text, 9))])
    assert torch.equal(same.logits, full.logits)


def test_a_part_of_a_product_keeps_its_bias() -> None:
    torch.manual_seed(5)
    linear, outputs, x = nn.Linear(96, 64), torch.tensor([5, 2, 63]), torch.randn(3, 96)
    for precision in ("fp32", "bf16", "int8"):
        made = product(precision, linear)
        given = poured(x, made.takes)
        assert torch.equal(numbers(made.part(outputs)(given))[:3], numbers(made(given))[:3][:, outputs])


def test_the_head_of_a_layer_is_what_an_exit_there_says() -> None:
    net, exits = made()
    (answer,) = net([(Ask(whole, guess=(TREE,), layers=(1, 2)), Canvas([1, 2, 3], 9))])
    for layer in (1, 2):
        (said,) = exits[layer]([(Ask(whole, guess=(TREE,)), Canvas([1, 2, 3], 9))])
        assert torch.equal(answer.head(answer.layers[layer]), said.logits)
