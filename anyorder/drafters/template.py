"""Static trees by template (Medusa, arXiv:2401.10774; Token Recycling, arXiv:2408.08696): who has how many
children is fixed once for all.

A template says level by level how many children each node has. The r-th child is the r-th likeliest token of
the draft net, or of the drafter's ranked ones, or the r-th that is drawn.
"""

from anyorder.card import Card, Option, Setting
from anyorder.drafter import Drafter
from anyorder.drafters.token_recycling import TEMPLATE
from anyorder.growth import filled, inner_of, wrapper

CARD = Card(
    name="template",
    family="speculative",
    paper="arXiv:2401.10774",
    exact=True,
    kind="point",
    summary="fills a tree of fixed form with the likeliest tokens",
    cost="1 target run per commit, the cells of the template; a run of the draft net for each level of it",
    options=(
        Option("drafter", "early_exit", "who drafts: a drafter of a net, or of ranked tokens, with its "
               "options"),
        Option("tree", "4;2,1;1", "a name (chain4, medusa, token_recycling), or the children of each node, "
               "level by level: those of the text's end; of its children, by comma; ...; 0: no guesses"),
        Option("draw", "likeliest", "children are the likeliest, or drawn without replacement",
               choices=("likeliest", "sampled")),
    ),
    departures=("the default tree is small, for CPUs (ours)",),
)  # fmt: skip

NAMED = {
    "chain4": "1;1;1;1",
    "medusa": "10;10,7,3,2,1,1,1,1,1,1;10,3,2,1,1,1,1,1,0,0,2,0,0,0,0,0,0,1;2",  # 63 nodes, for 7B
    "token_recycling": ";".join(",".join(map(str, level)) for level in TEMPLATE),  # 80 nodes
}
MOST = 1024  # nodes


def form_of(tree: str) -> list[int]:
    """Parents of a template's nodes, level by level. Counts left out at the end of a level are 0. Raises
    ValueError.

    >>> form_of("2;1")
    [-1, -1, 0]
    """
    allowed = f"allowed is a name ({', '.join(NAMED)}) or counts of children like '4;2,1;1'"
    try:
        levels = [[int(n) for n in level.split(",")] for level in NAMED.get(tree, tree).split(";")]
    except ValueError:
        raise ValueError(f"tree is {tree!r}, which is no template; {allowed}") from None
    parent: list[int] = []
    above = [-1]
    for depth, counts in enumerate(levels):
        if len(counts) > len(above) or min(counts) < 0 or len(parent) + sum(counts) > MOST:
            raise ValueError(
                f"tree has {len(counts)} counts at depth {depth}, from {min(counts)} to {max(counts)}, where "
                f"{len(above)} nodes are; {allowed}, one for each node above and at most {MOST} nodes in all"
            )
        first = len(parent)
        for node, count in zip(above, counts, strict=False):
            parent += [node] * count
        above = list(range(first, len(parent)))
    return parent


def template(setting: Setting, drafter: str, tree: str, draw: str) -> Drafter:
    form = form_of(tree)
    policy, widest = filled(form), max(map(form.count, form), default=0)
    inner = inner_of(setting, drafter, ranks=True)
    return wrapper(
        setting, inner, lambda: policy, most=len(form), draw=draw, kind="distinct", source=CARD.name,
        breadth=widest,
    )  # fmt: skip
