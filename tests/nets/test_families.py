"""Diffusion checkpoints in their published layouts, against a slow forward written from their papers.

A tiny random checkpoint of every layout is saved under its published names. The reference reads those tensors
in float64, cell by cell where it matters, and shares nothing with the code that loads them.
"""

import itertools
import json
import math
from array import array
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import silu

from anyorder.nets.adapter import Adapter
from anyorder.nets.diffusion import load_diffusion, recognised
from anyorder.nets.families import family_of, layout, published, translated
from anyorder.nets.feed import Feed
from anyorder.nets.lean import Lean, lean
from anyorder.nets.stock import Stock, packs
from tests.nets.checkpoints import ADAPTERS, CONFIGS, GROUPS, HEADS, LAYERS, M, W, spread, weights

LEAN = {"llada", "dream", "fast", "wedlm-7b"}  # of the Llama shape
TEXT = [5, M, 77, 12, M, M, 201, 8, M, 30, M]
REAL = json.loads((Path(__file__).parent / "published.json").read_text())


def parts(kind: str, t: dict[str, torch.Tensor], i: int) -> SimpleNamespace:
    """One block of a published checkpoint in common names."""
    if kind == "llada":
        at = f"model.transformer.blocks.{i}."
        get = {
            "norm": "attn_norm", "after": "ff_norm", "q": "q_proj", "k": "k_proj", "v": "v_proj",
            "o": "attn_out", "gate": "ff_proj", "up": "up_proj", "down": "ff_out",
        }  # fmt: skip
    else:
        at = f"model.layers.{i}."
        get = {
            "norm": "input_layernorm", "after": "post_attention_layernorm", "o": "self_attn.o_proj",
            "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
            "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
            "nq": "self_attn.q_norm", "nk": "self_attn.k_norm",
        }  # fmt: skip
    found = SimpleNamespace(**{short: t.get(at + name + ".weight") for short, name in get.items()})
    for part in "qkv":
        setattr(found, "b" + part, t.get(f"{at}self_attn.{part}_proj.bias", torch.zeros(())))
    if kind == "llada2":
        width = CONFIGS[kind]["head_dim"]
        fused = t[at + "attention.query_key_value.weight"].split(
            [HEADS * width, GROUPS * width, GROUPS * width]
        )
        found.q, found.k, found.v = fused
        found.o = t[at + "attention.dense.weight"]
        found.nq, found.nk = (t[f"{at}attention.{n}_layernorm.weight"] for n in ("query", "key"))
    if kind == "llada":
        found.nq = found.nk = None
    found.at = at + "mlp."
    return found


def rms(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-3).sqrt() * weight


@cache
def turn(position: int, width: int, rotated: int) -> torch.Tensor:
    """[W, W] turns a head at a position: number d with number d + rotated/2, the rest stays (RoFormer)."""
    out, half = torch.eye(width, dtype=torch.float64), rotated // 2
    for d in range(half):
        angle = position * 50.0 ** (-2 * d / rotated)
        out[d, d] = out[half + d, half + d] = math.cos(angle)
        out[d, half + d], out[half + d, d] = -math.sin(angle), math.sin(angle)
    return out


def experts(kind: str, t: dict[str, torch.Tensor], at: str, x: torch.Tensor) -> torch.Tensor:
    """What a cell [D] gets from its two experts."""

    def one(name: str) -> torch.Tensor:
        gate, up, down = (t[f"{at}{name}.{part}_proj.weight"] for part in ("gate", "up", "down"))
        return down @ (silu(gate @ x) * (up @ x))

    said = t[at + "gate.weight"] @ x
    if kind == "sdar-moe":  # the softmax of all, the two largest, which then sum to 1
        law = said.softmax(0)
        best = law.argsort(descending=True)[:2].tolist()
        return sum(law[e] / law[best].sum() * one(f"experts.{e}") for e in best)
    law = (
        said.sigmoid()
    )  # LLaDA 2.x: a bias chooses and does not weigh; two of four groups may be chosen from
    biased = law + t[at + "gate.expert_bias"]
    groups = biased.view(4, 2).sum(1).argsort(descending=True)[:2].tolist()
    allowed = [e for e in range(8) if e // 2 in groups]
    best = sorted(allowed, key=lambda e: -biased[e])[:2]
    chosen = sum(2.5 * law[e] / law[best].sum() * one(f"experts.{e}") for e in best)
    return chosen + one("shared_experts")


def reference(kind: str, tensors: dict[str, torch.Tensor], sees: torch.Tensor, text=TEXT) -> torch.Tensor:
    """[L, V] logits of a text whose cell i sees cell j where sees[i, j]."""
    t = {name: x.double() for name, x in tensors.items()}
    width = CONFIGS[kind].get("head_dim", W)
    rotated = width // 2 if kind == "llada2" else width
    first = {"llada": "model.transformer.wte", "llada2": "model.word_embeddings"}
    last = {"llada": ("model.transformer.ln_f", "model.transformer.ff_out")}
    x = t[first.get(kind, "model.embed_tokens") + ".weight"][text]
    for i in range(LAYERS):
        p = parts(kind, t, i)
        h = rms(x, p.norm)
        q, k, v = (
            (h @ w.T + b).view(len(text), -1, width) for w, b in ((p.q, p.bq), (p.k, p.bk), (p.v, p.bv))
        )
        if p.nq is not None:
            q, k = rms(q, p.nq), rms(k, p.nk)
        q, k = (torch.stack([y[c] @ turn(c, width, rotated).T for c in range(len(text))]) for y in (q, k))
        out = torch.zeros(len(text), HEADS, width, dtype=torch.float64)
        for c, head in itertools.product(range(len(text)), range(HEADS)):
            group, there = head // (HEADS // GROUPS), sees[c]
            law = (k[there, group] @ q[c, head] / width**0.5).softmax(0)
            out[c, head] = law @ v[there, group]
        x = x + out.flatten(1) @ p.o.T
        h = rms(x, p.after)
        if kind == "sdar-moe" or (kind == "llada2" and i > 0):
            x = x + torch.stack([experts(kind, t, p.at, cell) for cell in h])
        else:
            x = x + (silu(h @ p.gate.T) * (h @ p.up.T)) @ p.down.T
    norm, head = last.get(kind, ("model.norm", "lm_head"))
    return rms(x, t[norm + ".weight"]) @ t[head + ".weight"].T


def feed_of(ends: list[int], order=None) -> Feed:
    """A text whose cell i sees the first ends[i] cells of the order."""
    feed = Feed()
    way = feed.begin(array("i", range(len(TEXT)) if order is None else order), 0)
    for i, token in enumerate(TEXT):
        feed.put(token, i, way, i, ends[i])
    feed.lines = list(range(len(TEXT)))
    return feed


def seen(ends: list[int], order=None) -> torch.Tensor:
    rows = torch.zeros(len(TEXT), len(TEXT), dtype=torch.bool)
    for i, end in enumerate(ends):
        rows[i, list(range(len(TEXT)) if order is None else order)[:end]] = True
    return rows


L = len(TEXT)
FILLED = [i for i, token in enumerate(TEXT) if token != M]
MOVED = FILLED + [i for i in range(L) if i not in FILLED]
VIEWS = {
    "full": ([L] * L, None),
    "block": ([min(i // 4 * 4 + 4, L) for i in range(L)], None),
    "causal": (list(range(1, L + 1)), None),
    "reordered": ([MOVED.index(i) + 1 for i in range(L)], MOVED),
}


@pytest.mark.parametrize("kind", CONFIGS)
@torch.inference_mode()
def test_a_checkpoint_answers_as_its_paper_says(kind: str, save) -> None:
    """In every view, by the stock body and, where its layers are a Llama's, by the lean one."""
    tensors = weights(kind)
    module, tokenizer, adapter = load_diffusion(str(save(kind)), "fp32")
    assert adapter == ADAPTERS[kind]
    assert tokenizer.convert_ids_to_tokens(adapter.mask) == "<|mask|>"
    want = {name: reference(kind, tensors, seen(*view)) for name, view in VIEWS.items()}
    stock = Stock(module)
    assert packs(stock)
    check(stock, want)
    if kind in LEAN:
        body = lean(module, "fp32")
        assert isinstance(body, Lean)
        check(body, want)


def check(body: Lean | Stock, want: dict[str, torch.Tensor]) -> None:
    for name, view in VIEWS.items():
        got = body(feed_of(*view), body.store(L + 1))[0]
        torch.testing.assert_close(got.double(), want[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llada", "sdar"])
@torch.inference_mode()
def test_the_reference_tells_views_apart(kind: str) -> None:
    """A loader that saw the wrong cells would be found out."""
    answers = [reference(kind, weights(kind), seen(*view)) for view in VIEWS.values()]
    for one, other in itertools.combinations(answers, 2):
        assert (one - other).abs().max() > 0.1


@pytest.mark.parametrize("name", REAL)
def test_names_and_shapes_are_the_published_ones(name: str) -> None:
    """A configuration of real size asks for exactly the tensors of the published index."""
    facts = REAL[name]
    config, family = facts["config"], family_of(facts["config"])
    kind, made = translated(config, family)
    patterns = facts["tensors"]
    patterns = REAL[patterns]["tensors"] if isinstance(patterns, str) else patterns
    want = {n: tuple(map(int, shape.split("x"))) for p, shape in patterns.items() for n in spread(p)}
    assert published(layout(kind, made, family)) == want
    assert kind.__name__ == facts["model"]
    if "bytes" in facts:  # bfloat16
        assert 2 * sum(torch.Size(shape).numel() for shape in want.values()) == facts["bytes"]
    assert recognised(config) == Adapter(**facts["adapter"])


def test_layers_without_experts_are_kept() -> None:
    config = CONFIGS["sdar-moe"] | {"mlp_only_layers": [1], "decoder_sparse_step": 1}
    family = family_of(config)
    names = published(layout(*translated(config, family), family))
    assert {name.split(".")[2] for name in names if ".experts." in name} == {"0"}
