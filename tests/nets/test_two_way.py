"""A two-way net gives what a plain computation of the whole row gives, whatever it kept."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Ask, Commit
from anyorder.methods.diffusion.static import static
from anyorder.nets.adapter import Adapter
from anyorder.nets.lean import lean
from anyorder.nets.memory import Memory
from anyorder.nets.stock import Stock
from anyorder.nets.two_way import TwoWay

MASK, VOCAB = 29, 30


def model(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.3, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def net(adapter: Adapter, body: str = "stock", memory: Memory | None = None) -> TwoWay:
    made = model().double() if body == "stock" else model()
    return TwoWay(Stock(made) if body == "stock" else lean(made, "fp32"), adapter, memory)


@torch.no_grad()
def plain(text: Sequence[int], order: Sequence[int], sees: Sequence[int]) -> torch.Tensor:
    """[n, V] by transformers alone: the cells of `order`, each seeing the first so many of them."""
    module = model().double()
    count = len(order)
    mask = torch.full((1, 1, count, count), -torch.inf, dtype=torch.float64)
    for i, far in enumerate(sees):
        mask[0, 0, i, :far] = 0.0
    said = module(
        input_ids=torch.tensor([[text[i] for i in order]]), position_ids=torch.tensor([list(order)]),
        attention_mask=mask, use_cache=False,
    ).logits[0]  # fmt: skip
    out = torch.zeros(len(text), VOCAB, dtype=torch.float64)
    out[list(order)] = said
    out[:, MASK] = -torch.inf
    return out


def views(adapter: Adapter, canvas: Canvas, text: Sequence[int], cells: Sequence[int]) -> torch.Tensor:
    """What each kind of attention should say of a row, computed from nothing."""
    n = len(text)
    match adapter.attention:
        case "full":
            said = plain(text, range(n), [n] * n)
        case "block":
            said = plain(text, range(n), [min((i // adapter.block + 1) * adapter.block, n) for i in range(n)])
        case "hybrid":
            block = next(b for b in canvas.blocks() if cells[0] in b)
            said = plain(text[: block.stop], range(block.stop),
                         [*range(1, block.start + 1), *[block.stop] * len(block)])  # fmt: skip
        case _:
            order = [i for i in range(n) if text[i] != MASK] + [i for i in cells if text[i] == MASK]
            said = plain(text, order, range(1, len(order) + 1))
    return said[[max(0, i - adapter.shift) for i in cells]]


ADAPTERS = (
    Adapter(MASK), Adapter(MASK, shift=True), Adapter(MASK, "block", block=4),
    Adapter(MASK, "block", True, 4), Adapter(MASK, "hybrid", True), Adapter(MASK, "hybrid"),
    Adapter(MASK, "reordered"),
)  # fmt: skip


def filled_at_random(adapter: Adapter, two: TwoWay, seed: int, loose: float) -> int:
    """Fill a canvas in random order within its blocks; every answer is held against the plain one."""
    rng, asked = random.Random(seed), 0
    prompt = [rng.randrange(MASK) for _ in range(rng.randrange(1, 7))]
    origin = 0 if adapter.attention == "block" else None
    canvas = Canvas(prompt, 10, mask=MASK, block=4, origin=origin)
    for block in canvas.blocks():
        while (holes := canvas.holes(block))[0]:
            (answer,) = two([(Ask(lambda a, c: None, at=holes), canvas)])
            wanted = views(adapter, canvas, canvas.rows[0], holes[0])
            assert torch.equal(answer.logits.isinf(), wanted.isinf())
            off = (answer.logits - wanted).nan_to_num().abs().max()
            assert off < loose, f"{adapter}: {off} off at cells {holes[0]}"
            asked += 1
            at = rng.sample(holes[0], rng.randrange(1, len(holes[0]) + 1))
            commit = Commit([[rng.randrange(MASK) for _ in at]], at=[at])
            canvas.write(commit)
            two.follow(canvas, commit)
            if canvas.done:
                break
    two.follow(canvas, None)
    assert two.used == 0
    return asked


@pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
def test_every_answer_is_the_plain_one(adapter: Adapter) -> None:
    two = net(adapter)
    assert sum(filled_at_random(adapter, two, seed, 1e-10) for seed in range(8)) > 30


@pytest.mark.parametrize("adapter", ADAPTERS[:3] + ADAPTERS[5:], ids=str)
def test_lean_body_agrees(adapter: Adapter) -> None:
    two = net(adapter, "lean")
    assert sum(filled_at_random(adapter, two, seed, 2e-4) for seed in range(4)) > 12


@pytest.mark.parametrize("attention", ["block", "hybrid", "reordered"])
def test_finished_text_is_not_fed_again(attention: str) -> None:
    """The exact block cache feeds a finished block once (together with the next one), then never again."""
    two = net(Adapter(MASK, attention, block=4))
    canvas = Canvas([1, 2, 3, 4], 12, mask=MASK, block=4, origin=0)
    fed = []
    for block in canvas.blocks():
        for i in block:
            (answer,) = two([(Ask(lambda a, c: None, at=canvas.holes(block)), canvas)])
            fed.append(answer.cells)
            commit = Commit([[7]], at=[[i]])
            canvas.write(commit)
            two.follow(canvas, commit)
    first = {"block": 8, "hybrid": 8, "reordered": 8}[attention]
    if attention == "reordered":  # left to right: the cell just filled becomes the prefix at its next feeding
        assert fed == [8, 4, 3, 2, 5, 4, 3, 2, 5, 4, 3, 2]
    else:
        assert fed == [first, 4, 4, 4, 8, 4, 4, 4, 8, 4, 4, 4]


def test_assumed_tokens_answer_as_written_ones_and_are_taken_over() -> None:
    adapter = Adapter(MASK, "block", block=4)
    two, canvas = net(adapter), Canvas([1, 2, 3, 4], 8, mask=MASK, block=4, origin=0)
    drafts = [{4: 5}, {4: 5, 6: 9}, {4: 5, 5: 3, 6: 9, 7: 2}]
    asks = []
    for draft in drafts:
        text = [draft.get(i, t) for i, t in enumerate(canvas.rows[0])]
        cells = [i for i in range(4, 8) if text[i] == MASK] or [8, 9, 10, 11]
        asks.append((Ask(lambda a, c: None, at=[cells], fill=(draft,)), text, cells))
    answers = two([(ask, canvas) for ask, _, _ in asks])
    for answer, (_, text, cells) in zip(answers, asks, strict=True):
        off = (answer.logits - views(adapter, canvas, text, cells)).nan_to_num().abs().max()
        assert off < 1e-10
    commit = Commit([[5, 3, 9, 2]], at=[[4, 5, 6, 7]])
    canvas.write(commit)
    two.follow(canvas, commit)
    (answer,) = two([(Ask(lambda a, c: None, at=[[8, 9, 10, 11]]), canvas)])
    assert answer.cells == 4  # the block that was assumed and came true is known
    assert (
        answer.logits - views(adapter, canvas, canvas.rows[0], [8, 9, 10, 11])
    ).nan_to_num().abs().max() < 1e-10


def test_kept_cells_are_not_fed_and_their_states_are_those_of_the_last_run() -> None:
    two, canvas = net(Adapter(MASK)), Canvas([1, 2], 6, mask=MASK)
    two([(Ask(lambda a, c: None, at=[[2, 3, 4, 5, 6, 7]]), canvas)])
    commit = Commit([[5]], at=[[2]], keep=[[0, 1, 6, 7]])
    canvas.write(commit)
    two.follow(canvas, commit)
    (stale,) = two([(Ask(lambda a, c: None, at=[[3, 4]]), canvas)])
    assert stale.cells == 4
    fresh = views(Adapter(MASK), canvas, canvas.rows[0], [3, 4])
    off = (stale.logits - fresh).nan_to_num().abs().max()
    assert 1e-6 < off < 10, "what is kept is stale, and near"
    commit = Commit([[6]], at=[[3]])  # nothing kept: everything is fresh
    canvas.write(commit)
    two.follow(canvas, commit)
    (answer,) = two([(Ask(lambda a, c: None, at=[[4, 5]]), canvas)])
    assert answer.cells == 8
    assert (
        answer.logits - views(Adapter(MASK), canvas, canvas.rows[0], [4, 5])
    ).nan_to_num().abs().max() < 1e-10


def test_blind_cells_are_answered_by_holes_that_nobody_else_sees() -> None:
    two, canvas = net(Adapter(MASK)), Canvas([1, 2], 4, mask=MASK)
    canvas.write(Commit([[5, 6, 7]], at=[[2, 3, 4]]))
    both = Ask(lambda a, c: None, at=[[3, 5]], blind=[[3]])
    (answer,) = two([(both, canvas)])
    (seen,) = two([(Ask(lambda a, c: None, at=[[3, 5]]), canvas)])
    assert answer.cells == 7
    assert torch.allclose(answer.logits[1], seen.logits[1])  # the others do not see the hole
    text, n = [*canvas.rows[0], MASK], 6
    module, mask = model().double(), torch.zeros(1, 1, n + 1, n + 1, dtype=torch.float64)
    mask[0, 0, :, n], mask[0, 0, n, n], mask[0, 0, n, 3] = -torch.inf, 0.0, -torch.inf
    with torch.no_grad():
        said = module(
            input_ids=torch.tensor([text]), position_ids=torch.tensor([[*range(n), 3]]), attention_mask=mask,
            use_cache=False,
        ).logits[0, n]  # fmt: skip
    said[MASK] = -torch.inf
    assert (answer.logits[0] - said).nan_to_num().abs().max() < 1e-10


def test_alone_as_in_company_and_when_memory_is_short() -> None:
    """Requests that share runs, and wait for room, fill their canvases as they do alone."""
    prompts = [[1], [4, 5, 6], [7, 8], [9, 10, 11, 12, 13]]

    def run(two: TwoWay, some: Sequence[Sequence[int]]) -> list[list[int]]:
        requests = [
            Request(Canvas(p, 8, mask=MASK, block=4), static(Setting(), 2, "confidence"), {"target": two})
            for p in some
        ]
        for _ in decode(requests):
            pass
        return [r.canvas.rows[0] for r in requests]

    alone = [run(net(Adapter(MASK)), [p])[0] for p in prompts]
    assert run(net(Adapter(MASK)), prompts) == alone
    cell = net(Adapter(MASK)).cell_bytes
    assert run(net(Adapter(MASK), memory=Memory(14 * cell)), prompts) == alone


def test_exact_prefix_survives_a_rewritten_cell() -> None:
    """A cell that is opened again makes its block and all behind it unknown, and nothing before."""
    adapter = Adapter(MASK, "block", block=4)
    two, canvas = net(adapter), Canvas([1, 2, 3, 4], 12, mask=MASK, block=4, origin=0)
    for tokens, at in pairwise([[], [4, 5, 6, 7], [8, 9, 10, 11]]):
        del tokens
        commit = Commit([[5] * 4], at=[at])
        two([(Ask(lambda a, c: None, at=[at]), canvas)])
        canvas.write(commit)
        two.follow(canvas, commit)
    two([(Ask(lambda a, c: None, at=[[12, 13, 14, 15]]), canvas)])
    commit = Commit([[MASK]], at=[[9]])
    canvas.write(commit)
    two.follow(canvas, commit)
    (answer,) = two([(Ask(lambda a, c: None, at=[[9]]), canvas)])
    assert answer.cells == 4
    assert (answer.logits - views(adapter, canvas, canvas.rows[0], [9])).nan_to_num().abs().max() < 1e-10
