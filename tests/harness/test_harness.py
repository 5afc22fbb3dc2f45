"""`anyorder` as a model of lm-eval: tasks, likelihoods, bad input, on a tiny model with random weights.

What transformers' own model says of the same tasks is the measure.
"""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import anyorder
from anyorder import harness
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.errors import UserError

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'anyorder[eval]'")
from lm_eval.models.huggingface import HFLM

from anyorder.harness.likelihood import Said, forced
from anyorder.harness.wanted import Wanted, wanted
from tests.harness.kit import asked, results

LONG = "the cat sat on the mat and the cat sat on the hat, and then the cat sat on a mat by the sea. " * 2
PAIRS = [
    ("the cat", " sat"), ("the cat", " sat on"), ("the cat ", "sat"), ("", "a text without context"),
    ("one", LONG), (LONG, " and"), ("2 + 2 =", " 4"),
]  # fmt: skip
QUESTIONS = ["the cat sat on the", "one two three one two", "a b a b a", "hello"]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> anyorder.Model:
    return anyorder.load(str(tiny_model_folder), precision="fp32", packed=False)


@pytest.fixture(scope="module")
def lm(model):
    return harness.register()(model, "greedy", batch=3)


@pytest.fixture(scope="module")
def stock(tiny_model_folder: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    return HFLM(pretrained=module, tokenizer=AutoTokenizer.from_pretrained(tiny_model_folder), batch_size=4)


@pytest.fixture(scope="module")
def tasks(model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks: the model's own text for half of the questions, a choice, and whole texts."""
    folder = tmp_path_factory.mktemp("tasks")
    own = [model.generate(q, "greedy", max_tokens=12, stop=["e"], chat=False).text for q in QUESTIONS]
    answers = [text if i % 2 else "no such text" for i, text in enumerate(own)]
    words = [" yes", " no", " perhaps"]
    rows = [
        {"q": q, "a": a, "choices": words, "gold": i % 3, "text": f"{q} {LONG}"[: 40 + i]}
        for i, (q, a) in enumerate(zip(QUESTIONS, answers))
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {
        "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test", "doc_to_text": "{{q}}",
    }  # fmt: skip
    write = {"until": ["e"], "max_gen_toks": 12, "do_sample": False}
    kinds: dict[str, dict[str, Any]] = {
        "writes": {"output_type": "generate_until", "doc_to_target": "{{a}}", "generation_kwargs": write},
        "chooses": {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "gold"},
        "reads": {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}"},
    }
    metrics = {"writes": ["exact_match"], "chooses": ["acc"], "reads": ["byte_perplexity"]}
    for name, kind in kinds.items():
        listed = [{"metric": metric} for metric in metrics[name]]
        made = {"task": name, **common, **kind, "metric_list": listed}
        (folder / f"{name}.yaml").write_text(json.dumps(made))  # JSON is YAML
    return folder


# tasks ---------------------------------------------------------------------------------------------------


def test_tasks_come_out_as_with_transformers(lm, stock, tasks: Path) -> None:
    mine = results(lm, tasks, "writes", "chooses", "reads")["results"]
    theirs = results(stock, tasks, "writes", "chooses", "reads")["results"]
    assert mine["writes"]["exact_match,none"] == theirs["writes"]["exact_match,none"] == 0.5
    assert mine["chooses"]["acc,none"] == theirs["chooses"]["acc,none"]
    key = "byte_perplexity,none"
    assert mine["reads"][key] == pytest.approx(theirs["reads"][key], rel=1e-5)


@pytest.mark.parametrize("method", ["prompt_lookup", "token_recycling"])
def test_exact_methods_give_greedy_s_results(lm, model, tasks: Path, method: str) -> None:
    said = [
        results(one, tasks, "writes", log_samples=True)
        for one in (lm, harness.register()(model, method, batch=2))
    ]
    texts = [[sample["resps"] for sample in one["samples"]["writes"]] for one in said]
    assert texts[0] == texts[1]
    about = said[1]["config"]["anyorder"]
    assert (about["method"], about["exact"], about["loglikelihood"]) == (method, True, "exact")
    assert about["options"]["verify"] == "auto"
    assert about["runs"] < about["tokens"]
    json.dumps(about)


def test_chat_templates_and_system_instructions(lm, stock, tasks: Path) -> None:
    options = {"apply_chat_template": True, "system_instruction": "be brief", "log_samples": True, "limit": 1}
    mine, theirs = (results(one, tasks, "writes", **options) for one in (lm, stock))
    prompt = mine["samples"]["writes"][0]["arguments"][0][0]
    assert prompt == "system: be brief\nuser: the cat sat on the\nassistant: "
    assert mine["samples"]["writes"][0]["resps"] == theirs["samples"]["writes"][0]["resps"]
    assert lm.chat_template(True) == stock.chat_template(True)
    assert "/" not in lm.tokenizer_name
    lm.tokenizer.chat_template, kept = "{{ raise_exception('no system') }}", lm.tokenizer.chat_template
    with pytest.raises(UserError, match="refuses a talk of system"):
        lm.apply_chat_template([{"role": "system", "content": "x"}])
    lm.tokenizer.chat_template = kept


# likelihoods -----------------------------------------------------------------------------------------------


def test_likelihoods_are_those_of_transformers(lm, stock, model) -> None:
    mine = lm.loglikelihood(asked(*PAIRS, kind="loglikelihood"))
    theirs = stock.loglikelihood(asked(*PAIRS, kind="loglikelihood"))
    assert [logp for logp, _ in mine] == pytest.approx([logp for logp, _ in theirs], abs=1e-4)
    assert [greedy for _, greedy in mine] == [greedy for _, greedy in theirs]
    alone = [lm.loglikelihood(asked(pair, kind="loglikelihood"))[0] for pair in PAIRS]
    assert [logp for logp, _ in alone] == pytest.approx([logp for logp, _ in mine], abs=1e-6)


def test_what_greedy_writes_is_greedy(lm, stock, model) -> None:
    own = model.generate("the cat", "greedy", max_tokens=80, chat=False).token_ids
    before = model.encode("the cat", chat=False)
    wrong = [[*own[:i], (own[i] + 1) % 256, *own[i + 1 :]] for i in (0, 40, 79)]
    pairs = [(None, before, text) for text in (own, *wrong, [])]
    mine = lm._loglikelihood_tokens(pairs, disable_tqdm=True)
    assert [greedy for _, greedy in mine] == [True, False, False, False, True]
    theirs = stock._loglikelihood_tokens(pairs[:-1], disable_tqdm=True)
    assert [greedy for _, greedy in theirs] == [True, False, False, False]
    assert mine[-1] == (0.0, True)


def test_windows_of_texts_longer_than_the_context(model, stock, monkeypatch: pytest.MonkeyPatch) -> None:
    short = harness.register()(model, batch=2, max_length=32)
    monkeypatch.setattr(stock, "_max_length", 32)
    texts = [(LONG,), ("short",), (LONG[:32],), (LONG[:33],), ("",)]
    mine = short.loglikelihood_rolling(asked(*texts, kind="loglikelihood_rolling"))
    theirs = stock.loglikelihood_rolling(asked(*texts, kind="loglikelihood_rolling"))
    assert mine == pytest.approx(theirs, abs=2e-4)
    pair = [(LONG, " and")]
    mine = short.loglikelihood(asked(*pair, kind="loglikelihood"))
    theirs = stock.loglikelihood(asked(*pair, kind="loglikelihood"))
    assert mine[0][0] == pytest.approx(theirs[0][0], abs=1e-4)
    with pytest.raises(UserError, match="holds 32"):
        short.loglikelihood(asked(("the", LONG), kind="loglikelihood"))


@pytest.mark.parametrize("width", [1, 3])
def test_however_many_tokens_are_told_at_once(model, width: int) -> None:
    context, text = model.encode("the cat", chat=False), model.encode(" sat on the mat", chat=False)
    heard = []
    for many in (width, 64):
        heard.append(Said())
        method = forced(text, many, heard[-1])
        list(decode([Request(Canvas(context, len(text)), method, {"target": model.target})]))
    assert heard[0].logp == pytest.approx(heard[1].logp, abs=1e-5)
    assert heard[0].greedy == heard[1].greedy


def test_a_shared_context_is_read_once(model, monkeypatch: pytest.MonkeyPatch) -> None:
    from anyorder.nets.feed import Feed

    fed: list[int] = []
    whole = model.target.body
    model.target.forget()

    class Counts:
        def __getattr__(self, name: str) -> Any:
            return getattr(whole, name)

        def __call__(self, feed: Feed, store: Any) -> Any:
            fed.append(len(feed))
            return whole(feed, store)

    monkeypatch.setattr(model.target, "body", Counts())
    one = harness.register()(model, batch=2)
    choices = [("a long context, read once", f" {word}") for word in ("yes", "no", "perhaps", "never")]
    one.loglikelihood(asked(*choices, kind="loglikelihood"))
    context, texts = len(choices[0][0]), sum(len(text) for _, text in choices)
    assert sum(fed) <= context + texts


def test_caches_of_lm_eval_are_told(lm) -> None:
    told = []
    given = {"until": ["e"], "max_gen_toks": 4}

    class Hook:
        def add_partial(self, kind: str, key: Any, said: Any) -> None:
            told.append((kind, key))

    before = lm.cache_hook
    lm.set_cache_hook(Hook())
    lm.generate_until(asked(("the cat", given)))
    lm.loglikelihood(asked(("the", " cat"), kind="loglikelihood"))
    lm.loglikelihood_rolling(asked(("the cat",), kind="loglikelihood_rolling"))
    lm.set_cache_hook(before)
    assert told == [
        ("generate_until", ("the cat", given)), ("loglikelihood", ("the", " cat")),
        ("loglikelihood_rolling", ("the cat",)),
    ]  # fmt: skip


# texts -----------------------------------------------------------------------------------------------------


def test_draws_follow_the_seed_and_repeats_differ(lm, model) -> None:
    given = {"do_sample": True, "temperature": 0.9, "top_k": 20, "seed": 5, "max_gen_toks": 16}
    one, two, other = lm.generate_until(asked(("the cat", given), ("the cat", given), ("a hat", given)))
    shape = {"max_tokens": 16, "temperature": 0.9, "top_k": 20, "chat": False}
    assert one == model.generate("the cat", "greedy", seed=5, **shape).text
    assert two == model.generate("the cat", "greedy", seed=6, **shape).text
    assert other == model.generate("a hat", "greedy", seed=5, **shape).text


def test_special_tokens_end_a_text(model) -> None:
    ids = model.generate("the cat", "greedy", max_tokens=16, chat=False).token_ids
    one = harness.register()(model, "greedy")
    name = one.tokenizer.convert_ids_to_tokens(ids[8])
    one.tokenizer.add_special_tokens({"additional_special_tokens": [name]})
    (text,) = one.generate_until(asked(("the cat", {"until": [name], "max_gen_toks": 16})))
    assert text == one.tokenizer.decode(ids[: ids.index(ids[8])])


def test_long_contexts_lose_their_beginning(model, caplog: pytest.LogCaptureFixture) -> None:
    one = harness.register()(model, "greedy", max_length=40)
    (text,) = one.generate_until(asked((LONG, {"max_gen_toks": 10})))
    assert text == model.generate(LONG[-30:], "greedy", max_tokens=10, chat=False).text
    assert "cut to its last 30" in caplog.text
    with pytest.raises(UserError, match="ask for fewer by max_gen_toks"):
        one.generate_until(asked((LONG, {"max_gen_toks": 40})))


def test_a_task_s_word_goes_before_the_model_s(model, caplog: pytest.LogCaptureFixture) -> None:
    one = harness.register()(model, temperature=0.8, repetition_penalty=1.2, seed=3)
    with caplog.at_level(logging.WARNING):
        drawn, likeliest = one.generate_until(
            asked(("the cat", {"max_gen_toks": 9}), ("the cat", {"max_gen_toks": 9, "do_sample": False}))
        )
    shape = {"max_tokens": 9, "repetition_penalty": 1.2, "chat": False}
    assert drawn == model.generate("the cat", "sample", temperature=0.8, seed=3, **shape).text
    assert likeliest == model.generate("the cat", "greedy", **shape).text
    assert "goes before the model's temperature=0.8" in caplog.text


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ({}, Wanted(256, 0.7)),
        ({"do_sample": False, "temperature": 0.5}, Wanted(256, 0.0)),
        ({"do_sample": True}, Wanted(256, 0.7)),
        ({"temperature": "0.2", "max_new_tokens": 9, "max_tokens": 4}, Wanted(9, 0.2)),
        ({"until": "x", "seed": 4.0}, Wanted(256, 0.7, 4, ("x",))),
        ({"until": ["", "x"], "top_k": 2}, Wanted(256, 0.7, 0, ("x",), {"top_k": 2})),
    ],
)
def test_what_a_task_wants(given: dict[str, Any], want: Wanted) -> None:
    assert wanted(given, Wanted(256, 0.7), {"top_k"}) == want
    assert wanted({"do_sample": True}, Wanted(), ()).temperature == 1.0


# bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"num_beams": 4}, "gen_kwargs name num_beams; allowed are until, .*; leave out"),
        ({"do_sample": "yes"}, "do_sample='yes'; allowed is true or false"),
        ({"temperature": "hot"}, "temperature='hot'; allowed is a number"),
        ({"max_gen_toks": 1.5}, "max_gen_toks=1.5; allowed is a whole number"),
        ({"max_gen_toks": 0}, "max_tokens is 0"),
        ({"until": [3]}, "until=.3.; allowed is a text"),
        ({"top_p": 7}, "top_p is 7; allowed is float"),
    ],
)
def test_gen_kwargs_that_nobody_knows_are_refused(lm, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        lm.generate_until(asked(("the cat", given)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "spec"}, "unknown method 'spec'"),
        ({"nodes": 3}, "method greedy has no option 'nodes'"),
        ({"pretrained": "gpt2"}, "no option 'pretrained'"),
        ({"batch": 0, "batch_size": "many"}, "batch is 'many'; allowed is a whole number"),
        ({"samples": 0}, "samples is 0"),
        ({"max_tokens": 9}, "name max_tokens, which is a task's affair; allowed is .* max_gen_toks"),
        ({"method": "static"}, "fills cells in any order"),
    ],
)
def test_arguments_that_nobody_knows_are_refused(model, given: dict[str, Any], says: str) -> None:
    given = {"method": "greedy", **given}
    with pytest.raises(UserError, match=says):
        harness.register()(model, **given)


def test_without_lm_eval_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'anyorder\[eval\]'"):
        harness.register()


def test_lm_eval_s_own_models_are_still_known(lm) -> None:
    from lm_eval.api.registry import get_model, model_registry

    assert get_model("anyorder") is harness.register()
    assert "hf" in model_registry
