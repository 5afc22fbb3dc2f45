"""The library: one call for every method, on a tiny model with random weights."""

from pathlib import Path

import pytest

import anyorder
from anyorder import registry
from anyorder.bench.suites import QUICK
from anyorder.errors import UserError
from anyorder.nets.stock import Stock

TEXT = "the cat sat on the mat and the cat sat on the"


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path):
    return anyorder.load(str(tiny_model_folder), precision="fp32")


ROWS = [name for name, card in registry.cards().items() if card.canvas == "row"]
NEEDS = {"early_exit": {"layer": 1}, "corpus_lookup": {"corpus": str(QUICK)}}


@pytest.fixture(scope="module")
def greedy(model) -> str:
    return model.generate(TEXT, max_tokens=24).text


@pytest.mark.parametrize("method", [m for m in ROWS if registry.card(m).exact and m != "sample"])
def test_every_exact_method_writes_the_plain_loop_s_text(
    model, tiny_model_folder, tiny_hybrid_folder, greedy: str, method: str
) -> None:
    drafts = {"draft_model": tiny_model_folder, "diffuspec": tiny_hybrid_folder}
    options = {"draft": str(drafts[method])} if method in drafts else NEEDS.get(method, {})
    if any(o.name == "drafter" and o.default == "early_exit" for o in registry.card(method).options):
        options = {"drafter": "early_exit/layer=1"}  # the tiny model has few blocks
    result = model.generate(TEXT, method, max_tokens=24, **options)
    assert result.text == greedy
    assert result.runs <= 24
    assert result.figures().keys() >= {
        "text", "tokens", "runs", "seconds", "tokens_per_second", "tokens_per_run", "method", "exact",
        "model",
    }  # fmt: skip


def test_a_draft_net_that_is_the_target_is_always_right(model, tiny_model_folder: Path) -> None:
    result = model.generate(TEXT, "draft_model", max_tokens=25, draft=str(tiny_model_folder), tokens=4)
    assert result.runs == 5


@pytest.mark.parametrize("method", ["prompt_lookup", "token_recycling", "jacobi", "lookahead", "merged"])
def test_one_seed_gives_one_text_with_and_without_speculation(model, method: str) -> None:
    shape = {"max_tokens": 24, "temperature": 0.9, "seed": 7, "repetition_penalty": 1.3, "top_k": 20}
    assert model.generate(TEXT, method, **shape).text == model.generate(TEXT, "sample", **shape).text


def test_a_stream_adds_up_to_the_text(model, greedy: str) -> None:
    assert "".join(model.stream(TEXT, max_tokens=24)) == greedy
    assert "".join(model.stream(TEXT, "merged", max_tokens=24)) == greedy
    beam = model.generate(TEXT, "beam", max_tokens=8, width=3).text
    assert "".join(model.stream(TEXT, "beam", max_tokens=8, width=3)) == beam


def test_messages_of_a_chat_go_through_the_template_and_one_of_a_user_is_a_text(model) -> None:
    said = [
        {"role": "system", "content": "Answer with one word."},
        {"role": "user", "content": "Capital of France?"},
    ]
    ids = model.tokenizer.apply_chat_template(said, add_generation_prompt=True)["input_ids"]
    assert model.encode(said) == list(ids)
    assert model.generate(said, max_tokens=5).text == model.generate(list(ids), max_tokens=5).text
    assert model.encode([{"role": "user", "content": "ab"}], chat=False) == model.encode("ab")
    heard = []

    def short(texts, prompt):
        heard.append(prompt)
        return [-len(text) for text in texts]

    one = model.generate([{"role": "user", "content": "ab"}], "best_of_n", scorer=short, max_tokens=4)
    assert one.text == model.generate("ab", "best_of_n", scorer=short, max_tokens=4).text
    assert set(heard) == {"ab"}


def test_messages_are_lines_for_a_model_without_a_template(model, monkeypatch) -> None:
    monkeypatch.setattr(model.tokenizer, "chat_template", None)
    said = [{"role": "user", "content": "ab"}, {"role": "user", "content": "cd"}]
    assert model.encode(said) == model.encode("ab\ncd")


def test_a_batch_of_different_methods_equals_each_alone(model) -> None:
    asked = [
        {"prompt": TEXT, "method": "greedy"},
        {"prompt": "a b a b a", "method": "prompt_lookup", "max_tokens": 9},
        {"prompt": "hello", "method": "sample", "seed": 3},
        {"prompt": "hello", "method": "beam", "width": 3},
        {"prompt": TEXT, "method": "lookahead", "stop": ["e"]},
    ]
    together = model.batch(asked, max_tokens=16)
    alone = [model.generate(**{"max_tokens": 16, **one}) for one in asked]
    assert [r.text for r in together] == [r.text for r in alone]
    assert [r.runs for r in together] == [r.runs for r in alone]


def test_beam_returns_its_hypotheses_best_first(model) -> None:
    result = model.generate(TEXT, "beam", max_tokens=8, width=3)
    assert len(result.texts) == 3
    assert result.scores == sorted(result.scores, reverse=True)
    assert result.text == result.texts[0]


def test_token_recycling_saves_and_reads_its_matrix(model, tmp_path: Path) -> None:
    file = tmp_path / "matrix.npy"
    model.memory.clear()
    first = model.generate(TEXT, "token_recycling", max_tokens=24, matrix=str(file))
    assert file.exists()
    model.memory.clear()
    again = model.generate(TEXT, "token_recycling", max_tokens=24, matrix=str(file))
    assert again.text == first.text
    assert again.runs < first.runs


@pytest.mark.parametrize(
    "call, says",
    [
        ({"method": "gredy"}, "did you mean 'greedy'"),
        ({"method": "token_recycling", "nodez": 3}, "has no option 'nodez'; its options: nodes"),
        ({"method": "token_recycling", "nodes": 81}, "option nodes is 81; allowed is int from 0 to 80"),
        ({"method": "prompt_lookup", "verify": "ratio"}, "verify=ratio is not exact for point drafts"),
        ({"method": "prompt_lookup", "verify": "greedy", "temperature": 1.0}, "not exact"),
        ({"method": "merged", "drafters": "prompt_lookup,beam"}, "'beam' is not a drafter"),
        ({"method": "merged", "drafters": "prompt_lookup"}, "two or more drafters"),
        ({"method": "draft_model"}, "option draft is empty"),
        ({"method": "early_exit", "layer": 77}, "option layer is 77"),
        ({"method": "static"}, "fills cells in any order"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 100_000}, "shorten the prompt"),
        ({"temperature": -1}, "option temperature is -1"),
        ({"prompt": "  "}, "the prompt is empty"),
        ({"prompt": []}, "the prompt is empty"),
        ({"prompt": [{"role": "user", "content": " "}]}, "the prompt is empty"),
        ({"prompt": [{"role": "user"}]}, "message 0 of the prompt is .* a message has a role and content"),
        ({"prompt": "word " * 5000}, "shorten the prompt"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(model, call: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        model.generate(**{"prompt": TEXT, **call})


def test_a_draft_net_with_another_vocabulary_is_refused(
    model, tiny_model_folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model_folder))
    tokenizer.add_tokens(["<one-more>"])
    tokenizer.save_pretrained(tmp_path)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                         num_attention_heads=2)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="another vocabulary"):
        model.generate(TEXT, "draft_model", draft=str(tmp_path))


def test_a_model_whose_packed_body_disagrees_is_loaded_again_as_it_is(tiny_model_folder, monkeypatch) -> None:
    monkeypatch.setattr("anyorder.api.lean", lambda module, precision: None)
    model = anyorder.load(str(tiny_model_folder), precision="fp32")
    assert isinstance(model.target.body, Stock)
    model.generate("hi", max_tokens=3)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_packed_precisions_decode(tiny_model_folder, precision: str) -> None:
    model = anyorder.load(str(tiny_model_folder), precision=precision)
    plain = model.generate("hello there", max_tokens=24)
    for method in ("prompt_lookup", "token_recycling", "lookahead", "jacobi"):
        assert model.generate("hello there", method, max_tokens=24).token_ids == plain.token_ids, method


def test_a_packed_precision_needs_a_model_that_can_be_packed(tiny_model_folder) -> None:
    with pytest.raises(UserError, match="needs a model of the Llama shape"):
        anyorder.load(str(tiny_model_folder), precision="int4", packed=False)


def test_a_model_that_misreads_company_says_so_and_runs_alone(tiny_model_folder, monkeypatch) -> None:
    monkeypatch.setattr("anyorder.api.packs", lambda stock: False)
    with pytest.warns(UserWarning, match="one after the other"):
        model = anyorder.load(str(tiny_model_folder), precision="fp32", packed=False)
    seen = []
    body = model.target.body
    monkeypatch.setattr(
        model.target, "body", lambda feed, store: seen.append(len(set(feed.way))) or body(feed, store)
    )
    model.target.body.store = body.store
    model.batch(["one", "two", "three"], max_tokens=5)
    assert set(seen) == {1}
    with pytest.raises(UserError, match="choose greedy or sample"):
        model.generate("hi", "prompt_lookup")
