"""Hidden state optimization (Yoshida and Gimpel 2021, arXiv:2112.08653): cached states learn, weights stay.

Text is read in windows. When the tokens of a window are known, the cached states take a step down its mean
surprise, l_w; what follows is read off the moved states. The net named "edited" does that (`nets.edited`):

    G = dl_w/dS,  m <- b1 m + (1 - b1) G,  v <- b2 v + (1 - b2) G^2,  S <- S - rate m^ / (sqrt(v^) + eps)

for all states S, keys and values, of the text so far, the window's own among them. Each has its own m and v,
each cell its own count of steps. The method itself is any other one, asking that net instead of the target.
"""

from anyorder.card import Card, Option, Setting
from anyorder.core.types import Method
from anyorder.law import asking, writer

CARD = Card(
    name="hidden_state_optimization",
    family="search",
    paper="arXiv:2112.08653",
    exact=False,
    summary="cached keys and values take a gradient step on each window of the text, prompt included",
    headline="lower perplexity of Transformer-XL and GPT-2 on WikiText-103 and PG-19, most out of domain",
    cost="0 target runs per token; the edited net runs once instead, and once more with gradients per window",
    nets=("target", "edited"),
    options=(
        Option("rate", 1e-2, "length of a step, the paper's eta; 0: the frozen model", low=0, high=1),
        Option("window", 128, "tokens of a window", low=1, high=4096),
        Option("optimizer", "adam", "how a gradient becomes a step", choices=("adam", "sgd")),
        Option("clip", 1.0, "longest gradient of all states together; 0: any", low=0, high=1e6),
        Option("then", "", "the method that writes, by its spec; empty: greedy, above temperature 0 sample"),
    ),
    departures=(
        "rate, window, one step a window, clip and Adam's constants (0.9, 0.999, 1e-8) are ours; the paper's "
        "were not found; 0.01 was the best of 0.001, 0.003, 0.01 and 0.03 in tools/edits.py",
        "keys and values are edited, as the attention reads them: keys after their turn by place (ours)",
        "the option is named rate: eta is a cutoff of sampling here",
        "a request's own tokens are learned from like its prompt's (ours)",
        "no cell leaves the reach of the text, so all that were read are edited (ours)",
        "the model is loaded a second time in fp32, whatever the target's precision: an edit would vanish in "
        "a rounded state; at rate 0 the text is that of the target in fp32",
        "windows lie at fixed places of the text, so that a net that forgot its states makes the same again",
    ),
)


def hidden_state_optimization(
    setting: Setting, rate: float, window: int, optimizer: str, clip: float, then: str
) -> Method:
    return asking(writer(setting, then), "edited")
