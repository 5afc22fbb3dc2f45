"""Drafts by the target's own first layers."""

from anyorder.testing import ToyCausal, subject

OPTIONS = [{}, {"tokens": 2, "draw": "sampled"}]


def test_exit_after_one_layer():
    """An exit after one layer, made of the target's own weights, leaves the text as it is."""
    target = ToyCausal(0)
    sliced = {k: getattr(target.weights, k)[:1] for k in ("query", "key", "value", "widen", "narrow")}
    exit_net = ToyCausal(0)
    exit_net.weights = target.weights._replace(**sliced)
    exit_net.forget()

    def run(net):
        return subject("early_exit", options={"tokens": 2}).run(
            [1, 2], 12, nets={"target": target, "exit": net}
        )

    record = run(exit_net)
    assert record.texts == run(target).texts
