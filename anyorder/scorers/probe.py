"""A linear probe: what one direction in the target's states says of the text so far.

σ(w · h + b) of the state h that the head reads at the text's last token; w and b come from a file, .npz or
.safetensors, with `weight` [D] and, if there is one, `bias`. No run of any net is added.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from anyorder.card import Card, Option, Setting
from anyorder.errors import UserError
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="probe",
    family="scorer",
    paper="",
    exact=False,
    summary="a linear probe on the target's last hidden state",
    cost="",
    nets=(),
    options=(
        Option("file", "", ".npz or .safetensors with weight [D] and perhaps bias", needed=True, local=True),
        Option("log", True, "log-probability instead of probability"),
    ),
)


def read(file: str) -> tuple[Tensor, float]:
    """w [D] and b. Raises ValueError."""
    path, arrays = Path(file).expanduser(), {}
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            arrays = dict(load_file(path))
        else:
            import numpy

            with numpy.load(path, allow_pickle=False) as held:
                arrays = {name: torch.as_tensor(held[name]) for name in held.files}
    except Exception as error:  # each format has its own
        why = " ".join(str(error).split())
        raise ValueError(f"probe got file={file!r}, which cannot be read ({why}); give a .npz file") from None
    weight, bias = arrays.get("weight"), arrays.get("bias", torch.zeros(1))
    if weight is None or weight.ndim > 2 or weight.numel() != max(weight.shape) or bias.numel() != 1:
        there = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "nothing"
        raise ValueError(f"probe got file={file!r} with {there}; allowed is weight [D] and bias []")
    return weight.flatten().float(), float(bias)


def probe(setting: Setting, file: str, log: bool) -> Scorer:
    weight, bias = read(file)

    def logit(prefix: Prefix) -> Any:
        state = prefix.hidden
        if state is None:
            raise UserError(
                "probe got no hidden states; this method does not give them; choose another scorer"
            )
        if state.numel() != len(weight):
            raise UserError(
                f"probe has {len(weight)} weights and the target's states {state.numel()} numbers; "
                "allowed is a probe of this model; give its file"
            )
        return state.detach().flatten().float().cpu() @ weight + bias

    def score(prefixes: Sequence[Prefix]) -> list[float]:
        logits = torch.stack([logit(prefix) for prefix in prefixes])
        said = logsigmoid(logits) if log else logits.sigmoid()
        return said.tolist()

    bounds = (float("-inf"), 0.0) if log else (0.0, 1.0)
    return Scorer(score, "probe", hidden=True, bounds=bounds)
