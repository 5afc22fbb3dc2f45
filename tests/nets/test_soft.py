"""Soft guesses: cells that read a mixture of token embeddings, on every net."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch

from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Commit, Tree, chain
from anyorder.nets.causal import Causal
from anyorder.nets.graphs import Called, Static
from anyorder.nets.lean import Lean
from anyorder.nets.stock import Stock
from anyorder.shapers import Sampling, compose
from anyorder.testing import ByText, ToyCausal
from anyorder.trees import mixture
from tests.nets.test_causal import lean, model, near, whole

TEXT = [3, 7, 2, 9]
HALVES = {5: 0.5, 8: 0.5}
BODIES = {
    "stock": lambda: Causal(Stock(model("llama"))),
    "static": lambda: Causal(Static(Stock(model("llama")), Called())),
    "scaled": lambda: Causal(Stock(model("gemma3_text"))),  # its embeddings are multiplied by a number
    "lean": lambda: Causal(lean(model("llama").float())),
    "toy": partial(ToyCausal, 0, 13),
}


def softened(tree: Tree, node: int, weights: dict[int, float]) -> Tree:
    """The tree with one node replaced by a mixture."""
    name = mixture(weights)
    token = (*tree.token[:node], name, *tree.token[node + 1 :])
    return replace(tree, token=token, soft={**tree.soft, name: weights})


def lines(net, tree: Tree, canvas: Canvas | None = None) -> torch.Tensor:
    (answer,) = net([(Ask(whole, guess=(tree,)), canvas or Canvas(TEXT, 20))])
    return answer.logits


@pytest.mark.parametrize("kind", BODIES)
def test_a_mixture_of_one_token_is_the_token(kind):
    tree = Tree((5, 6, 6, 5, 4), (-1, 0, -1, 2, 3))
    soft = softened(softened(tree, 0, {5: 1.0}), 3, {5: 1.0})
    got, want = lines(BODIES[kind](), soft), lines(BODIES[kind](), tree)
    if kind == "static":  # tokens alone are run in another shape
        torch.testing.assert_close(got, want, **near(1e-12))
    else:
        assert torch.equal(got, want)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gemma3_text", "gpt_oss"])
@torch.no_grad()
def test_a_mixture_is_the_model_read_with_embeddings(kind):
    """Two soft cells in a row, and an ordinary one behind them."""
    reference = model(kind)
    net = Causal(Stock(copy.deepcopy(reference)))
    weights = {5: 0.25, 8: 0.75}
    tree = softened(softened(chain([1, 1, 4]), 0, HALVES), 1, weights)
    embed = reference.get_input_embeddings()
    x = embed(torch.tensor([[*TEXT, 1, 1, 4]]))
    x[0, 4] = (embed.weight[5] + embed.weight[8]) / 2 * getattr(embed, "embed_scale", 1.0)
    x[0, 5] = (0.25 * embed.weight[5] + 0.75 * embed.weight[8]) * getattr(embed, "embed_scale", 1.0)
    want = reference(inputs_embeds=x).logits[0, 3:]
    close = near(1e-4 if kind in ("gemma2", "gpt_oss") else 1e-6)
    torch.testing.assert_close(lines(net, tree), want, **close)


def test_the_lean_body_mixes_as_the_stock_body_does():
    reference = model("llama").float()
    body = lean(copy.deepcopy(reference))
    assert isinstance(body, Lean)
    tree = softened(chain([1, 4]), 0, HALVES)
    want = lines(Causal(Stock(reference)), tree)
    torch.testing.assert_close(lines(Causal(body), tree), want, **near(2e-4))
    assert (want[1:] - lines(Causal(Stock(reference)), chain([5, 4]))[1:]).abs().max() > 0.01


@pytest.mark.parametrize("kind", BODIES)
def test_mixtures_do_not_share_cells(kind):
    """Two requests over one prefix in one run, and the same canvas asked again with another mixture."""
    other = {5: 0.75, 8: 0.25}
    one, two = (softened(chain([1, 4]), 0, weights) for weights in (HALVES, other))
    alone = [lines(BODIES[kind](), tree) for tree in (one, two)]
    assert (alone[0][1:] - alone[1][1:]).abs().max() > 1e-4
    net = BODIES[kind]()
    asks = [(Ask(whole, guess=(tree,)), Canvas(TEXT, 20)) for tree in (one, two)]
    for answer, want in zip(net(asks), alone, strict=True):
        torch.testing.assert_close(answer.logits, want, **near(1e-5))
    canvas = asks[0][1]
    torch.testing.assert_close(lines(net, two, canvas), alone[1], **near(1e-5))
    (answer,) = net([(Ask(whole, guess=(one,), skip=2), canvas)])  # its first cell is there already
    assert answer.cells == 1
    torch.testing.assert_close(answer.logits, alone[0][2:], **near(1e-5))


@pytest.mark.parametrize("kind", BODIES)
def test_a_commit_leaves_no_soft_cell(kind):
    net, canvas = BODIES[kind](), Canvas(TEXT, 20)
    lines(net, softened(chain([1, 4]), 0, HALVES), canvas)
    commit = Commit([[5, 4]])
    canvas.write(commit)
    net.follow(canvas, commit)
    fresh = lines(BODIES[kind](), Tree(), Canvas([*TEXT, 5, 4], 18))
    torch.testing.assert_close(lines(net, Tree(), canvas), fresh, **near(1e-5))
    if isinstance(net, Causal):
        assert net.slots.used == len(TEXT) + 2


def test_a_net_of_laws_mixes_what_its_tokens_would_say():
    toy = ToyCausal(0, 13)
    net, tree = ByText(toy.plain), softened(softened(chain([1, 1, 4]), 0, HALVES), 1, {2: 0.25, 3: 0.75})
    said = [0.5 * w * toy.plain([*TEXT, a, b, 4]) for a in (5, 8) for b, w in ((2, 0.25), (3, 0.75))]
    torch.testing.assert_close(lines(net, tree)[3], torch.stack(said).sum(0))


def test_penalties_pass_over_soft_cells():
    """A mixture is no text, so nothing is penalised for it; what stands behind it is."""
    tree = softened(chain([1, 4]), 0, HALVES)
    (answer,) = ToyCausal(0, 13)([(Ask(whole, guess=(tree,)), canvas := Canvas(TEXT, 20))])
    shaped = compose(Sampling(presence_penalty=1.0))(answer, canvas).logits
    change = (answer.logits - shaped).nonzero().tolist()
    assert change == [[2, 4]]
