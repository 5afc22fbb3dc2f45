"""What the laws are applied to: a card, a way to build the method, and toy nets for it to run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anyorder import registry
from anyorder.card import Card, Setting
from anyorder.core.canvas import Canvas, Stop
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, as_it_is
from anyorder.core.types import Method, Net, Shape
from anyorder.testing.causal import ToyCausal
from anyorder.testing.record import Record, play
from anyorder.testing.two_way import ToyTwoWay

Build = Callable[[Setting], Method]
Nets = Callable[[Card, int], Mapping[str, Net]]  # (card, V) -> fresh nets by name

SEED = Chance(0)
PROMPTS = ([1], [2, 0, 1], [0, 1, 2, 0, 1, 2, 0])


def toy_nets(card: Card, vocab: int) -> dict[str, Net]:
    """A toy target; the other nets agree with it now and then."""
    target: Net = ToyCausal(0, vocab) if card.canvas == "row" else ToyTwoWay(0, vocab)
    names = {name for other in registry.cards().values() for name in other.nets} - {"target"}
    names = names if card.family == "speculative" else set(card.nets[1:])  # whatever its drafter may be
    names |= {f"exit:{blocks}" for blocks in (1, 2)}
    others: dict[str, Net] = {name: ToyCausal(0, vocab, blur=0.5) for name in names}
    if "diffusion" in names:
        others["diffusion"] = ToyTwoWay(0, vocab, apart=True)
    return {"target": target, **others}


@dataclass(frozen=True)
class Subject:
    """A method under test. `verify` lists the verifiers that it may be built with; "" where it has none."""

    card: Card
    build: Callable[[Setting, str], Method]
    options: Mapping[str, Any] = field(default_factory=dict)
    nets: Nets = toy_nets
    verify: tuple[str, ...] = ("",)

    @property
    def ways(self) -> tuple[bool, ...]:
        """Greedy, and sampling unless the builder refuses it with a ValueError."""
        try:
            self.build(Setting(greedy=False, vocab=13), "")
        except ValueError:
            return (True,)
        return (True, False)

    def request(
        self,
        prompt: Sequence[int],
        budget: int,
        *,
        greedy: bool = True,
        vocab: int = 13,
        nets: Mapping[str, Net] | None = None,
        eos: Sequence[int] = (),
        stop: Stop | None = None,
        shape: Shape = as_it_is,
        chance: Any = SEED,
        verify: str = "",
    ) -> Request:
        """A request on fresh nets with a fresh memory, unless nets are given."""
        nets = nets or self.nets(self.card, vocab)
        target = nets["target"]
        method = self.build(Setting(greedy=greedy, vocab=target.vocab, context=target.context), verify)
        mask = getattr(target, "mask", None) if self.card.canvas == "cells" else None
        canvas = Canvas(prompt, budget, eos=eos, stop=stop, mask=mask, block=3 if mask else None)
        return Request(canvas, method, nets, shape, chance)

    def run(self, prompt: Sequence[int], budget: int, **given: Any) -> Record:
        (record,) = play([self.request(prompt, budget, **given)])
        return record


def subject(
    method: str | Build,
    card: Card | None = None,
    options: Mapping[str, Any] | None = None,
    nets: Nets = toy_nets,
) -> Subject:
    """A registered method by name, or an outside one by its builder and card."""
    options = dict(options or {})
    if not isinstance(method, str):
        assert card is not None, "a builder comes with its card"
        settled = card.settle(options)
        return Subject(card, lambda setting, verify: method(setting, **settled), settled, nets)
    card = registry.card(method)

    def build(setting: Setting, verify: str) -> Method:
        return registry.build(method, options | ({"verify": verify} if verify else {}), setting)

    settled = card.settle({name: value for name, value in options.items() if name != "verify"})
    return Subject(card, build, settled, nets, _verifiers(build, options) if card.kind else ("",))


def _verifiers(build: Callable[[Setting, str], Method], options: Mapping[str, Any]) -> tuple[str, ...]:
    """The verifiers that are legal when sampling: those that the builder does not refuse."""
    if "verify" in options:
        return (options["verify"],)
    legal = []
    for verify in registry.VERIFY.choices[1:]:  # auto is one of the others
        try:
            build(Setting(greedy=False, vocab=13), verify)
        except ValueError:
            continue
        legal.append(verify)
    return tuple(legal)
