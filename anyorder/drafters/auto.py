"""Auto (ours): the quickest way to the same text, chosen anew for every run.

Drafters that need no net are pooled: their guesses merge into one tree by expected gain. Where the target has
a copy of itself in 4 bits, that may write the guesses instead, with the pool's guesses inside its own runs.
Or nobody guesses. What gives the most tokens per second is done: by the measured costs of runs, by how often
guesses of each kind held of late, and by how many other requests share the target's runs.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Tree
from anyorder.drafter import Drafter, Trees
from anyorder.drafters.merged import led, team
from anyorder.drafters.pooled import Luck, Pools
from anyorder.quick import NET, Chain, learned, write
from anyorder.sizes import Counts, Grown, Price, grow, price_of

CARD = Card(
    name="auto",
    family="speculative",
    paper="ours",
    exact=True,
    kind="point",
    summary="chooses drafters and how much is guessed, for every run; plain decoding where nothing pays",
    cost="1 target run per commit, up to 1 + nodes cells; runs of the 4-bit net where it has one",
    options=(
        Option("drafters", "prompt_lookup,token_recycling", "names of drafters that rank, by comma"),
        Option("nodes", 32, "guesses in a run at most; 0: plain decoding", low=0, high=512),
        Option("tokens", 10, "tokens that the 4-bit net writes at most; 0: it is not used", low=0, high=64),
    ),
    departures=(
        "the 4-bit net is used for a request that is alone, if its costs were measured "
        "(anyorder bench --cost)",
        "where no cost is measured, a guess is taken to cost 1/25 of a run",
    ),
)

LIKELY = 0.9  # if not even guesses as sure as this pay, nobody is asked for any
IDLE, REST = (
    4,
    8,
)  # in company: after so many runs in a row without an accepted guess, so many without guesses
INSIDE = 3  # the pool's guesses inside a run of the 4-bit net
LEAST = 0.4  # the 4-bit net stops when the chance that all its tokens hold is less
FIRST, STEP = 0.95, 1.4  # of the 4-bit net before it ran: the chance of a token, the tokens of a run
SLOW = 0.2  # how quickly its rate is forgotten


@dataclass
class State:
    """What is known of one canvas."""

    idle: int = 0  # runs in a row without an accepted guess
    rest: int = 0  # runs to come without guesses
    rate: float = 0.0  # tokens per second that the 4-bit net's chains gave; 0: none yet
    chain: Chain | None = None  # of the 4-bit net, which is judged now
    hoped: float = 0.0  # guesses of the pool's tree that is judged now that were expected to hold
    truth: Luck = field(default_factory=Luck)  # how such trees do with this text
    quiet: bool = False  # nothing is guessed and nothing learnt
    why: str = ""


def pays(cost: Price, share: float, nodes: int) -> bool:
    """Whether sure guesses would."""
    ahead = grow(lambda path: [(len(path), LIKELY)] if len(path) < nodes else [], cost, min(nodes, 4), share)
    return bool(ahead.token)


def first_rate(quick: Price, cost: Price, tokens: int) -> float:
    """Tokens per second that the 4-bit net may give."""
    worth = sum(FIRST**n for n in range(tokens + 1))
    return worth / (tokens / STEP * quick(1 + INSIDE) + cost(1 + tokens))


def auto(setting: Setting, drafters: str, nodes: int, tokens: int) -> Drafter:
    members = team(setting, drafters)
    pools = Pools(members, drafters, setting.memory.setdefault(CARD.name, Counts()))
    margins: Counts = setting.memory.setdefault(f"{CARD.name} margins", Counts())
    states: WeakKeyDictionary[Canvas, State] = WeakKeyDictionary()
    quick = tokens > 0 and nodes > 0 and NET in setting.costs
    if quick:
        setting.nets.append((NET, {}))

    def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
        state = states.setdefault(canvas, State())
        state.chain, state.hoped, state.quiet = None, 0.0, True
        if state.rest:
            state.rest, state.why = state.rest - 1, "no guesses: none held of late"
            return (Tree(),) * len(canvas.live)
        rows = [len(canvas.rows[row]) for row in canvas.live]
        cost, others = price_of(setting, max(rows))
        others += len(rows) - 1
        share = others * pools.pace
        if not pays(cost, share, nodes):
            state.why = "no guesses: none would pay"
            return (Tree(),) * len(rows)
        state.quiet = False
        ready = [pools.fresh(canvas, row) for row in canvas.live]
        grown = [grow(pool.after, cost, nodes, share) for pool in ready]
        state.why = said(grown[0], cost, drafters)
        if quick and not others and canvas.generated():  # the first run tells who else is there
            inner = price_of(setting, rows[0], NET)[0]
            rate = state.rate = state.rate or first_rate(inner, cost, tokens)
            state.why += f"; 4-bit net: {rate:.0f} tokens/s"
            hoped = (grown[0].worth - 1) * state.truth.held / state.truth.expected
            if rate > (1 + hoped) / grown[0].seconds:
                after = [ready[0].after]
                (state.chain,) = yield from write(canvas, setting, margins, after, tokens, LEAST, INSIDE)
                return (state.chain.tree(margins, NET),)
        state.hoped = sum(g.worth - 1 for g in grown)
        return tuple(Tree(tuple(g.token), tuple(g.parent), source=(CARD.name,) * len(g.token)) for g in grown)

    def learn(canvas: Canvas, trees: Trees, seen: Any, paths: Any) -> None:
        state = states[canvas]
        if state.chain is not None:
            learned(margins, state.chain, paths[0])
            cost = price_of(setting, len(canvas.rows[0]))[0]
            rate = len(paths[0]) / (state.chain.seconds + cost(1 + len(trees[0])))
            state.rate += SLOW * (rate - state.rate)
        if state.quiet:
            return
        if state.hoped:
            state.truth.held += sum(len(path) - 1 for path in paths)
            state.truth.expected += state.hoped
        pools.learn(canvas, paths)
        for member, lines in zip(members, seen, strict=True):
            member.learn(canvas, trees, lines, paths)
        state.idle = 0 if any(len(path) > 1 for path in paths) else state.idle + 1
        if state.idle >= IDLE and setting.load().requests > 1:
            state.idle, state.rest = 0, REST

    return replace(
        led(members, draft, learn),
        quiet=lambda canvas: states[canvas].quiet,
        why=lambda canvas: states[canvas].why,
    )


def said(grown: Grown, cost: Price, drafters: str) -> str:
    """What the pool offers, in words."""
    return (
        f"{len(grown.token)} guesses of {drafters}: {grown.worth:.2f} tokens expected in "
        f"{1000 * grown.seconds:.1f} ms; none: 1 in {1000 * cost(1):.1f} ms"
    )
