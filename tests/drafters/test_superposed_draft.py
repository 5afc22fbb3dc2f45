"""Branches from one run of the draft net for each depth."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask
from anyorder.registry import build
from anyorder.testing import ToyCausal, greedy_text, subject

OPTIONS = [{"tokens": 2}, {"drafts": 2}, {"drafts": 1, "tokens": 1}]

PROMPT = [1, 4, 2]


def record(**options):
    return subject("superposed_draft", options=options).run(PROMPT, 12)


def test_a_tree_of_k_branches_for_one_run_and_one_cell_a_depth():
    for drafts in (1, 4):
        run = record(drafts=drafts, tokens=3)
        rounds = len(run.commits)
        assert run.request.runs == {"exit": 3 * rounds, "target": rounds}
        caught = len(PROMPT) + 12 - run.canvas.rows[0][::-1].index(run.canvas.rows[0][-1]) - 1
        assert run.request.cells["exit"] <= caught + 3 * rounds
        for ask, answer in run.answers:
            if ask.net == "target":
                (lines,) = answer.rows
                leaves = set(range(len(lines.tree))) - set(lines.tree.parent)
                assert len(leaves) == drafts
                assert {lines.tree.depth[leaf] for leaf in leaves} == {3}
            else:
                assert len(answer.logits) == 1


def test_a_net_that_is_the_target_has_all_its_first_branch_accepted_at_one_draft():
    net = ToyCausal(0, 13)
    nets = {"target": net, "exit": ToyCausal(0, 13)}
    run = subject("superposed_draft", options={"drafts": 1, "tokens": 3}).run(PROMPT, 12, nets=nets)
    assert run.texts == [greedy_text(net, PROMPT, 12)]
    assert len(run.commits) == 3


def test_more_branches_are_accepted_more_often():
    """Over many nets; the first branch alone is a chain."""
    commits = {
        drafts: sum(
            len(
                subject("superposed_draft", options={"drafts": drafts, "tokens": 2})
                .run(PROMPT, 20, nets={"target": ToyCausal(seed, 13), "exit": ToyCausal(seed, 13, blur=0.7)})
                .commits
            )
            for seed in range(6)
        )
        for drafts in (1, 4)
    }
    assert commits[4] < commits[1]


def test_soft_cells_are_the_draft_net_s_alone():
    run = record(drafts=3, tokens=3)
    asks = [step for step in run.steps if isinstance(step, Ask)]
    assert any(tree.soft for ask in asks if ask.net == "exit" for tree in ask.guess)
    assert all(min(tree.token) >= 0 for ask in asks if ask.net == "target" for tree in ask.guess)
    assert all(token >= 0 for text in run.texts for token in text)


def test_a_drafter_without_a_net_is_refused():
    with pytest.raises(ValueError, match=r"drafter is 'jacobi', which has no net .*; choose one of them"):
        build("superposed_draft", {"drafter": "jacobi"}, Setting(vocab=13))


def test_drafts_no_deeper_than_asked():
    from anyorder import registry

    made = registry.builder("superposed_draft")(
        Setting(vocab=13, make=lambda spec: registry._drafter(*registry.parsed(spec), Setting(vocab=13))),
        drafter="early_exit", drafts=2, tokens=3, candidates=4, sharpness=1.0,
    )  # fmt: skip
    flow = made.upto(1)(Canvas(PROMPT, 9))
    assert next(flow).net == "exit"
    with pytest.raises(StopIteration) as over:
        flow.send([[(3, -0.5), (4, -1.0), (5, -2.0)]])
    assert over.value.value[0].token == (3, 4)
