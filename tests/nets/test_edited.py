"""The net that edits its states: frozen without a step, causal at any, the same after forgetting."""

import copy
import hashlib
import random
from itertools import pairwise

import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.readers import argmax
from anyorder.core.types import Ask, Commit, Tree
from anyorder.errors import UserError
from anyorder.methods.autoregressive.greedy import autoregressive
from anyorder.nets.causal import Causal
from anyorder.nets.edited import Edited, Frozen
from anyorder.nets.edits import LABELLED, SIGNALS, Optimized, Past, Recoded, signal
from anyorder.nets.memory import Memory
from anyorder.nets.stock import Stock
from anyorder.testing.exactness import Forgetful
from tests.nets.test_causal import TREE, V, model, near, plain, whole

RULES = {
    "adam": lambda rate: Optimized(rate, window=4),
    "sgd": lambda rate: Optimized(rate, window=3, optimizer="sgd"),
    **{kind: lambda rate, kind=kind: Recoded(rate, kind) for kind in SIGNALS},
    "top": lambda rate: Recoded(rate, "entropy", "top"),
}
LARGE = 0.3  # steps that change every answer


@pytest.fixture(scope="module")
def frozen():
    return Frozen(model("llama"))


def words(seed: int, count: int) -> list[int]:
    source = random.Random(seed)
    return [source.randrange(1, V) for _ in range(count)]


def said(net: Edited, text, cells=None) -> torch.Tensor:
    """[M, V] what the net says behind each token of a text, or of some cells of it."""
    if cells is None:
        return torch.cat([state.said.logits for state in net.read(text)])
    (answer,) = net([(Ask(whole, at=[cells]), Canvas(text, 9))])
    return answer.logits


def written(net, text, budget=12, **more) -> list[int]:
    canvas = Canvas(text, budget, **more)
    for _ in decode([Request(canvas, lambda c: autoregressive(c, argmax), {"target": net})]):
        pass
    return canvas.generated()


@pytest.mark.parametrize("rule", RULES)
def test_without_a_step_it_is_the_frozen_model(frozen, rule: str) -> None:
    net, text = Edited(frozen, RULES[rule](0.0)), words(1, 14)
    want = frozen.module(torch.tensor([text])).logits[0]
    torch.testing.assert_close(said(net, text), want, **near(1e-9))
    stock = Causal(Stock(model("llama")))
    assert written(net, text) == written(stock, text)
    assert (said(Edited(frozen, RULES[rule](LARGE)), text) - want).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "olmo2", "gpt2"])
def test_models_of_the_usual_shape_can_be_edited(kind: str) -> None:
    made = gpt2() if kind == "gpt2" else model(kind)
    net, text = Edited(Frozen(made), Optimized(0.0, window=4)), words(1, 11)
    torch.testing.assert_close(said(net, text)[-1], plain(made, text), **near(1e-9))
    net = Edited(net.frozen, Optimized(LARGE, window=4))
    assert (said(net, text)[-1] - plain(made, text)).abs().max() > 1e-3


def gpt2():
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    shape = {"vocab_size": V, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **shape)).double().eval()


@pytest.mark.parametrize("rule", RULES)
def test_every_line_is_what_the_net_says_of_that_text_alone(frozen, rule: str) -> None:
    """Guesses are edited along like text: over a window's end, on branches, and again a level deeper."""
    net, text = Edited(frozen, RULES[rule](LARGE)), words(2, 6)
    canvas = Canvas(text, 40)
    for tree, skip in (Tree(TREE.token[:2], TREE.parent[:2]), 0), (TREE, 3), (TREE, 0):
        (answer,) = net([(Ask(whole, guess=(tree,), skip=skip, layers=(0, 3)), canvas)])
        paths = [text + tree.path(node) for node in range(skip - 1, len(tree))]
        for i, path in enumerate(paths):
            state = [*Edited(frozen, RULES[rule](LARGE)).read(path)][-1]
            torch.testing.assert_close(answer.logits[i], state.said.logits[0], **near(1e-9))
            torch.testing.assert_close(answer.hidden[i], state.said.hidden[0], **near(1e-9))
            torch.testing.assert_close(answer.layers[3][i], state.said.inner[3][0], **near(1e-9))
        torch.testing.assert_close(
            torch.cat([frozen.head(x[None]) for x in answer.hidden]), answer.logits, **near(1e-9)
        )
    commit = Commit([TREE.path(4)])
    canvas.write(commit)
    net.follow(canvas, commit)
    (answer,) = net([(Ask(whole), canvas)])
    assert answer.cells == 0, "an accepted guess is not read again"
    state = [*Edited(frozen, RULES[rule](LARGE)).read(text + TREE.path(4))][-1]
    torch.testing.assert_close(answer.logits, state.said.logits, **near(1e-9))


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_told_by_a_token_it_is_about(frozen, rule: str) -> None:
    """Another token at place k changes nothing that is said before it is read, however large the steps."""
    net, text = Edited(frozen, RULES[rule](LARGE)), words(3, 12)
    true = said(net, text)
    for k in range(1, len(text)):
        other = said(net, [*text[:k], text[k] % (V - 1) + 1, *text[k + 1 :]])
        torch.testing.assert_close(other[:k], true[:k], **near(1e-9))
        assert (other[k] - true[k]).abs().max() > 1e-6
    torch.testing.assert_close(said(net, text, [5, 2, 12, 5]), true[[4, 1, 11, 4]], **near(1e-9))
    torch.testing.assert_close(said(net, text, [12]), true[[11]], **near(1e-9))


@pytest.mark.parametrize("rule", RULES)
def test_forgetting_changes_nothing_and_neighbours_neither(frozen, rule: str) -> None:
    net, text = Edited(frozen, RULES[rule](LARGE)), words(4, 6)
    alone = written(net, text, 6)
    assert written(Forgetful(net), text, 6) == alone
    canvases = [Canvas(t, 6) for t in (words(5, 7), text, words(6, 3))]
    for _ in decode([Request(c, lambda c: autoregressive(c, argmax), {"target": net}) for c in canvases]):
        pass
    assert canvases[1].generated() == alone
    assert not net.held, "the states of canvases that are over are given up"


def test_rows_share_states_and_edit_their_own(frozen) -> None:
    """A beam over the net finds what it finds when nothing is kept."""

    beam = registry.build("beam", {"width": 3, "stop": "never"}, Setting(vocab=V))

    def found(net) -> list[list[int]]:
        canvas = Canvas(words(7, 5), 8)
        for _ in decode([Request(canvas, beam, {"target": net})]):
            pass
        return canvas.rows

    rule = Optimized(LARGE, window=3)
    assert found(Edited(frozen, rule)) == found(Forgetful(Edited(frozen, rule)))
    assert found(Edited(frozen, rule)) != found(Edited(frozen, Optimized(0.0, window=3)))


def test_a_long_text_is_put_off_and_said_the_same(frozen) -> None:
    rule, text = Optimized(0.01, window=5), words(8, 150)
    net, canvas = Edited(frozen, rule), Canvas(text, 5)
    calls = 1
    while (answer := net([(Ask(whole), canvas)])[0]) is None:
        calls += 1
    assert calls == 3
    torch.testing.assert_close(answer.logits, said(Edited(frozen, rule), text)[-1:], **near(1e-9))


def test_a_window_s_loss_falls_by_the_step_times_the_gradient_s_square(frozen) -> None:
    """First order: with a plain step the loss of the same window falls by rate |G|^2."""
    text, falls = words(9, 9), []
    for rate in (0.1, 0.01):  # below, the stock norms round to float32
        net = Edited(frozen, Optimized(rate, window=8, optimizer="sgd", clip=0.0))
        own = frozen.blank(8).requires_grad_()
        logits = frozen(text[:8], frozen.blank(), own)[0].logits
        before = net.rule.signal(logits, torch.tensor(text[1:]))
        (gradient,) = torch.autograd.grad(before, own)
        past, _, _ = net._close(net.start().past, text)
        moved = past.cells - frozen(text[:8], frozen.blank())[1]
        torch.testing.assert_close(moved, -rate * gradient, **near(1e-12))
        after = net.rule.signal(frozen(text[:8], frozen.blank(), moved)[0].logits, torch.tensor(text[1:]))
        assert past.losses == pytest.approx([float(before.detach())]), "what is recorded is the loss before"
        falls.append(float((before - after).detach() / (rate * gradient.square().sum())))
    assert falls[1] == pytest.approx(1, abs=2e-3)
    assert falls[0] - 1 == pytest.approx(10 * (falls[1] - 1), rel=0.2), "what is left is of second order"


def test_the_next_window_s_gradient_reaches_earlier_cells_and_counts_their_steps(frozen) -> None:
    net, text = Edited(frozen, Optimized(0.01, window=4)), words(10, 14)
    states = [*net.read(text)]
    one, three = states[4].past, states[-1].past
    assert [len(x.losses) for x in (one, three)] == [1, 3]
    assert three.moments.steps.tolist() == [3] * 4 + [2] * 4 + [1] * 4
    assert (three.cells[:, :, :, :4] - one.cells).abs().min() > 0, "Adam moves every state"
    losses = -said(net, text)[:-1].log_softmax(-1)[range(13), text[1:]]
    assert three.losses == pytest.approx(losses[:12].reshape(3, 4).mean(1).tolist())


def test_moments_go_where_their_states_go_and_are_dropped_with_them(frozen) -> None:
    """A row that goes on from elsewhere has the states and moments of its own text, to the bit."""
    net, canvas = Edited(frozen, Optimized(0.01, window=4)), Canvas(words(11, 10), 30)
    net([(Ask(whole), canvas)])
    for token, parents in (([[1] * 5, [2] * 5], (0, 0)), ([[3] * 4, [4] * 4], (1, 1))):
        commit = Commit(token, parents=parents)
        canvas.write(commit)
        net.follow(canvas, commit)
        net([(Ask(whole), canvas)])
    canvas.rows[1][12:] = [7] * 9  # the text is changed behind its back
    net([(Ask(whole), canvas)])
    for row, text in zip(net.held[canvas], canvas.rows, strict=True):
        past = [*Edited(frozen, Optimized(0.01, window=4)).read(text)][-1].past
        assert torch.equal(row.state.past.cells, past.cells)
        for mine, fresh in zip(row.state.past.moments, past.moments, strict=True):
            assert torch.equal(mine, fresh)
            assert mine.shape[-2 if mine.dim() > 1 else 0] == past.cells.shape[3]


def test_adam_is_torch_s(frozen) -> None:
    """Three edits of the same cells, by our step and by torch.optim.Adam."""
    source = torch.Generator().manual_seed(0)
    gradients = torch.randn(3, *frozen.blank(4).shape, generator=source, dtype=torch.float64)
    rule, none = Optimized(0.05, window=4, clip=1.0), frozen.blank()
    past = rule.edited(Past(none), frozen.blank(4), gradients[0], none)
    leaf = frozen.blank(4).requires_grad_()
    adam = torch.optim.Adam([leaf], lr=0.05)
    for i, gradient in enumerate(gradients):
        if i:
            past = rule.edited(past, none, none, gradient)
        leaf.grad = gradient / gradient.norm()  # longer than 1: clipped
        adam.step()
        torch.testing.assert_close(past.cells, leaf.detach(), **near(1e-12))


def test_a_gradient_that_is_no_number_counts_as_nothing(frozen) -> None:
    bad = torch.full_like(frozen.blank(1), torch.nan)
    for rule in Optimized(0.1, 1), Recoded(0.1, "surprisal"):
        past = rule.edited(Past(frozen.blank()), frozen.blank(1) + 2, bad, frozen.blank())
        assert torch.equal(past.cells, frozen.blank(1) + 2)
    never = torch.tensor([[0.0, -torch.inf]]).requires_grad_()  # p = 0: p log p has no gradient
    (gradient,) = torch.autograd.grad(signal("surprisal", never, torch.tensor([1])).sum(), never)
    assert gradient.isnan().any()


def test_no_weight_changes_and_nothing_is_learned_by_them(frozen) -> None:
    def mark() -> str:
        parts = (x.numpy().tobytes() for x in frozen.module.state_dict().values())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    before = mark()
    for make in RULES.values():
        written(Edited(frozen, make(LARGE)), words(12, 9))
    assert mark() == before
    assert all(p.grad is None and not p.requires_grad for p in frozen.module.parameters())


def test_the_surprise_of_a_linear_softmax_has_the_gradient_of_the_paper() -> None:
    """For -log p_y and logits W h it is W^T (p - e_y), and a small step lowers the signal."""
    source = torch.Generator().manual_seed(1)
    weight, h = (torch.randn(*shape, generator=source, dtype=torch.float64) for shape in ((7, 5), (1, 5)))
    h.requires_grad_()
    for token in range(7):
        following = torch.tensor([token])
        error = signal("nll", h @ weight.T, following)
        (gradient,) = torch.autograd.grad(error.sum(), h)
        p = (h @ weight.T).softmax(-1).detach()
        want = (p - torch.eye(7, dtype=torch.float64)[token]) @ weight
        torch.testing.assert_close(gradient, want, **near(1e-12))
        lower = signal("nll", (h - 1e-3 * gradient) @ weight.T, following)
        assert lower < error


def test_signals_are_what_their_names_say() -> None:
    logits, following = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log(), torch.tensor([1, 2])
    want = {
        "surprisal": [0.3**-0.3 - 1, 0.8**-0.8 - 1],
        "argmax": [0.5**-0.5 - 1, 0.8**-0.8 - 1],
        "entropy": [1.0297, 0.6390],
        "nll": [1.2040, 0.2231],
    }
    for kind in SIGNALS:
        assert signal(kind, logits, following).tolist() == pytest.approx(want[kind], abs=1e-4)


@pytest.mark.parametrize("kind", SIGNALS)
def test_only_a_signal_without_a_label_says_the_same_cell_again(frozen, kind: str) -> None:
    text = words(13, 1)
    first = said(Edited(frozen, Recoded(LARGE, kind)), text)
    again = (first - plain(frozen.module, text)).abs().max() > 1e-6
    assert again == (kind not in LABELLED)
    for where in "top", "states":
        alone = said(Edited(frozen, Recoded(LARGE, kind, where)), text)
        want = first if where == "top" else plain(frozen.module, text)[None]
        torch.testing.assert_close(alone, want, **near(1e-9))


@pytest.mark.parametrize("kind", ["entropy", "nll"])
def test_a_correction_lowers_the_signal_it_descends(frozen, kind: str) -> None:
    """Of the same cell: its states moved by the rule, its law is surer, or the token that came likelier."""
    net, text = Edited(frozen, Recoded(1e-3, kind, "states")), words(14, 6)
    *_, state = net.read(text[:5])
    past, _, made = net._close(state.past, text[4:])
    moved = past.cells[:, :, :, -1:] - made
    following = torch.tensor(text[5:])
    before, after = (
        float(net.rule.signal(frozen(text[4:5], state.past.cells, own)[0].logits, following))
        for own in (None, moved)
    )
    assert after < before == pytest.approx(past.losses[-1])
    assert torch.equal(past.cells[:, :, :, :-1], state.past.cells), "older cells stay as they are"


def test_states_are_masters_that_bf16_would_lose() -> None:
    """A step of 1e-4 on states in bf16 mostly changes nothing, so rounded weights are refused."""
    half = copy.deepcopy(model("llama")).to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"bfloat16.*allowed are fp32 and fp64"):
        Frozen(half)
    net, text = Edited(Frozen(model("llama").float()), Optimized(1e-4, window=4)), words(15, 5)
    *_, state = net.read(text)
    cells, made = state.past.cells, net.frozen(text[:4], net.frozen.blank())[1]
    assert (cells != made).float().mean() > 0.99
    assert (cells.bfloat16() == made.bfloat16()).float().mean() > 0.5


@pytest.mark.parametrize("kind", ["mistral", "gemma2", "gpt_oss"])
def test_models_that_forget_cells_are_refused_with_a_sentence(kind: str) -> None:
    with pytest.raises(ValueError, match="beyond a window"):
        Frozen(model(kind))


def test_a_model_that_reads_no_given_cells_is_refused_with_a_sentence(monkeypatch) -> None:
    made = model("llama")
    real = made.forward
    monkeypatch.setattr(made, "forward", lambda *a, **k: real(*a, **{**k, "past_key_values": None}))
    with pytest.raises(ValueError, match="given to it"):
        Frozen(made)


def test_mixtures_of_tokens_are_no_labels(frozen) -> None:
    net = Edited(frozen, Optimized(0.1, window=4))
    soft = Tree((-1,), (-1,), soft={-1: {1: 0.5, 2: 0.5}})
    (answer,) = net([(Ask(whole, guess=(soft,)), Canvas([1, 2], 5))])
    assert isinstance(answer, UserError)


def test_states_count_against_the_memory_and_wait_for_it(frozen) -> None:
    rule = Optimized(0.01, window=4)
    size = Edited(frozen, rule).cell_bytes
    assert size == 3 * frozen.cell_bytes, "states and two moments"
    canvases = [Canvas(words(i, 6), 6) for i in range(3)]
    texts = [written(Edited(frozen, rule), words(i, 6), 6) for i in range(3)]
    net = Edited(frozen, rule, Memory(20 * size))
    peak = 0
    for _ in decode([Request(c, lambda c: autoregressive(c, argmax), {"target": net}) for c in canvases]):
        peak = max(peak, net.used)
    assert [c.generated() for c in canvases] == texts
    assert 12 * size < peak <= 20 * size
    (answer,) = net([(Ask(whole), Canvas(words(0, 30), 6))])
    assert isinstance(answer, UserError)


def test_windows_are_read_in_turn(frozen) -> None:
    """The state behind a text holds all windows but the one that it may still add to."""
    net = Edited(frozen, Optimized(0.1, window=3))
    lengths = [(len(s.past.losses), len(s.tail)) for s in net.read(words(16, 8))]
    assert lengths == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
    assert all(b >= a for (a, _), (b, _) in pairwise(lengths))
