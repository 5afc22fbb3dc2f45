"""The official client against a server: what comes back is what the library gives."""

from __future__ import annotations

import asyncio
import json
import math
import re
from pathlib import Path

import jsonschema
import openai
import pytest

from anyorder.core.decode import decode

CHAT = [{"role": "user", "content": "Name three rivers of Europe."}]
TEXT = "ab ab ab cd ab ab"
METHODS = ("greedy", "sample", "prompt_lookup", "token_recycling", "beam", "lookahead", "auto", "suffix")


def client(server, **more) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, **more)


@pytest.fixture
def tiny(tiny_server) -> openai.OpenAI:
    return client(tiny_server)


def written(stream) -> str:
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


# texts -----------------------------------------------------------------------------------------------------


def test_a_chat_is_the_library_s_text_whole_and_streamed(server) -> None:
    ask = {"model": "smollm2", "messages": CHAT, "max_tokens": 16}
    more = {"extra_body": {"method": "token_recycling", "method_options": {"keep": False}}}
    alone = server.model.generate(CHAT[0]["content"], "token_recycling", max_tokens=16, keep=False)
    whole = client(server).chat.completions.create(**ask, **more)
    assert whole.choices[0].message.content == alone.text
    assert whole.choices[0].finish_reason == "length"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (
        len(server.model.encode(CHAT[0]["content"])),
        16,
    )
    assert whole.model_extra["anyorder"]["runs"] == alone.runs
    assert whole.model_extra["anyorder"]["exact"] is True
    assert written(client(server).chat.completions.create(**ask, **more, stream=True)) == alone.text


def test_a_chat_of_several_messages_goes_through_the_template(server) -> None:
    turns = [
        {"role": "system", "content": "Answer with one word."},
        {"role": "user", "content": "Capital of France?"},
        {"role": "assistant", "content": "Paris"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "And of "}, {"type": "text", "text": "Italy?"}],
        },
    ]
    told = client(server).chat.completions.create(model="smollm2", messages=turns, max_tokens=4)
    turns[-1] = {"role": "user", "content": "And of Italy?"}
    ids = server.model.tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    assert told.choices[0].message.content == server.model.generate(list(ids), max_tokens=4).text
    assert told.usage.prompt_tokens == len(ids)


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_method_streams_what_it_gives_whole(tiny_server, tiny, method) -> None:
    ask = {"model": tiny_server.model.name, "prompt": TEXT, "max_tokens": 40, "seed": 3}
    more = {"extra_body": {"method": method}}
    alone = tiny_server.model.generate(TEXT, method, max_tokens=40, seed=3, chat=False)
    assert tiny.completions.create(**ask, **more).choices[0].text == alone.text
    stream = tiny.completions.create(**ask, **more, stream=True)
    assert "".join(c.choices[0].text for c in stream) == alone.text


def test_prompts_may_be_several_and_tokens(tiny_server, tiny) -> None:
    model = tiny_server.model
    ids = [model.encode(t, chat=False) for t in (TEXT, "xyz")]
    several = tiny.completions.create(model=model.name, prompt=[TEXT, "xyz"], max_tokens=8)
    tokens = tiny.completions.create(model=model.name, prompt=ids, max_tokens=8)
    one = tiny.completions.create(model=model.name, prompt=ids[1], max_tokens=8)
    texts = [model.generate(t, max_tokens=8, chat=False).text for t in (TEXT, "xyz")]
    assert [c.text for c in several.choices] == [c.text for c in tokens.choices] == texts
    assert [c.index for c in several.choices] == [0, 1]
    assert one.choices[0].text == texts[1]
    assert several.usage.prompt_tokens == sum(map(len, ids))


def test_the_texts_of_n_have_seeds_that_follow_each_other(tiny_server, tiny) -> None:
    ask = {
        "model": tiny_server.model.name,
        "prompt": TEXT,
        "max_tokens": 12,
        "seed": 5,
        "temperature": 1.0,
        "n": 3,
    }
    wanted = [
        tiny_server.model.generate(TEXT, max_tokens=12, chat=False, seed=5 + i, temperature=1.0).text
        for i in range(3)
    ]
    told = tiny.completions.create(**ask)
    assert [c.text for c in told.choices] == wanted
    assert len(set(wanted)) == 3
    counted = sum(b["tokens_per_run"] * b["runs"] for b in told.anyorder["choices"])
    assert round(counted, 1) == told.usage.completion_tokens  # tokens per run have three decimals
    texts = ["", "", ""]
    for chunk in tiny.completions.create(**ask, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == wanted


def test_a_stop_string_ends_the_text_and_is_not_shown(tiny_server, tiny) -> None:
    free = tiny_server.model.generate(TEXT, max_tokens=40, chat=False).text
    stop = free[10:12]
    for given in (stop, [stop, "never"]):
        told = tiny.completions.create(model=tiny_server.model.name, prompt=TEXT, max_tokens=40, stop=given)
        assert told.choices[0].text == free[: free.index(stop)]
        assert told.choices[0].finish_reason == "stop"
    stream = tiny.completions.create(
        model=tiny_server.model.name, prompt=TEXT, max_tokens=40, stop=stop, stream=True
    )
    assert "".join(c.choices[0].text for c in stream) == free[: free.index(stop)]


def test_shaping_fields_are_the_library_s_options(tiny_server, tiny) -> None:
    model = tiny_server.model
    shaping = {"temperature": 0.8, "top_p": 0.9, "presence_penalty": 0.5, "frequency_penalty": 0.25}
    told = tiny.completions.create(model=model.name, prompt=TEXT, max_tokens=20, seed=9, **shaping)
    assert told.choices[0].text == model.generate(TEXT, max_tokens=20, seed=9, chat=False, **shaping).text
    (token,) = model.encode("a", chat=False)
    told = tiny.completions.create(model=model.name, prompt=TEXT, max_tokens=5, logit_bias={str(token): 100})
    assert told.choices[0].text == "aaaaa"


# log-probabilities -----------------------------------------------------------------------------------------


def laws(model, method, **options) -> list[float]:
    """Log-probability of each token that plain decoding takes, off the shaped answers."""
    request, said, told = model.request(TEXT, method, chat=False, **options), [], []
    for event in decode(
        [request], lambda request, ask, answer: said.append(answer.logits.log_softmax(-1)[0])
    ):
        told += [float(said[-1][token]) for token in event.written.token[0]]
    return told


def test_log_probabilities_are_of_the_law_that_tokens_were_taken_from(tiny_server, tiny) -> None:
    model, options = tiny_server.model, {"max_tokens": 16, "temperature": 0.7, "top_p": 0.8, "seed": 2}
    ask = {"model": model.name, "prompt": TEXT, **options, "logprobs": 3}
    told = tiny.completions.create(**ask, extra_body={"method": "sample"}).choices[0].logprobs
    assert told.token_logprobs == pytest.approx(laws(model, "sample", **options), abs=1e-5)
    assert all(len(top) <= 3 and math.fsum(map(math.exp, top.values())) < 1.0001 for top in told.top_logprobs)
    assert min(told.token_logprobs) > -100
    streamed = [
        c.choices[0].logprobs
        for c in tiny.completions.create(**ask, extra_body={"method": "sample"}, stream=True)
        if c.choices[0].logprobs
    ]
    assert [p for one in streamed for p in one.token_logprobs] == told.token_logprobs
    assert [o for one in streamed for o in one.text_offset] == told.text_offset


def test_speculation_tells_the_plain_loop_s_log_probabilities(tiny_server, tiny) -> None:
    ask = {
        "model": tiny_server.model.name,
        "messages": CHAT,
        "max_tokens": 24,
        "logprobs": True,
        "top_logprobs": 2,
    }
    plain, guessed = (
        tiny.chat.completions.create(**ask, extra_body={"method": method}).choices[0].logprobs.content
        for method in ("greedy", "prompt_lookup")
    )
    assert [x.token for x in plain] == [x.token for x in guessed]
    assert [x.logprob for x in plain] == pytest.approx([x.logprob for x in guessed], abs=1e-4)
    assert all(x.top_logprobs[0].token == x.token and len(x.top_logprobs) == 2 for x in plain)


def test_a_search_tells_the_log_probabilities_of_its_best_row(tiny_server, tiny) -> None:
    ask = {"model": tiny_server.model.name, "prompt": TEXT, "max_tokens": 10, "logprobs": 0}
    told = tiny.completions.create(**ask, extra_body={"method": "beam", "method_options": {"width": 3}})
    assert len(told.anyorder["texts"]) == 3
    tokens = tiny_server.model.generate(TEXT, "beam", width=3, max_tokens=10, chat=False).token_ids
    law = plain_law(tiny_server.model, tokens)
    assert told.choices[0].logprobs.token_logprobs == pytest.approx(
        law[: len(told.choices[0].logprobs.tokens)], abs=1e-3
    )


def plain_law(model, tokens) -> list[float]:
    """Of given tokens after TEXT: each forced by a bias, read off the law before it."""
    ids, said = model.encode(TEXT, chat=False), []
    for token in tokens:
        request = model.request(ids, "greedy", max_tokens=1)
        list(decode([request], lambda request, ask, answer: said.append(answer.logits.log_softmax(-1)[0])))
        ids = [*ids, token]
    return [float(law[token]) for law, token in zip(said, tokens)]


# forms -----------------------------------------------------------------------------------------------------


def test_a_response_format_is_kept(tiny_server, tiny) -> None:
    schema = {
        "type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 22]}},
        "required": ["ok", "n"], "additionalProperties": False,
    }  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    ask = {"model": tiny_server.model.name, "messages": CHAT, "max_tokens": 60, "temperature": 1.0}
    for method in ("sample", "prompt_lookup"):
        told = tiny.chat.completions.create(**ask, response_format=form, extra_body={"method": method})
        jsonschema.validate(json.loads(told.choices[0].message.content), schema)
    told = tiny.chat.completions.create(**ask, response_format={"type": "json_object"})
    assert isinstance(json.loads(told.choices[0].message.content), dict)


def test_streams_count_tokens_where_asked_and_end(tiny_server, tiny) -> None:
    ask = {"model": tiny_server.model.name, "messages": CHAT, "max_tokens": 9, "stream": True}
    chunks = list(tiny.chat.completions.create(**ask, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 9
    assert all(c.usage is None for c in chunks[:-1])
    assert chunks[0].choices[0].delta.role == "assistant"
    last = chunks[-2]
    assert last.choices[0].finish_reason == "length"
    assert last.model_extra["anyorder"]["method"] == "auto"
    assert all(c.choices for c in tiny.chat.completions.create(**ask))


def test_steps_tell_how_the_text_came_about(tiny_server, tiny) -> None:
    more = {"method": "prompt_lookup", "steps": True}
    stream = tiny.completions.create(
        model=tiny_server.model.name, prompt=TEXT, max_tokens=30, stream=True, extra_body=more
    )
    blocks = [c.model_extra["anyorder"] for c in stream if "anyorder" in c.model_extra]
    assert blocks[0]["trace"]["prompt"] == TEXT
    assert blocks[0]["trace"]["method"] == "prompt_lookup"
    steps = [b["step"] for b in blocks if "step" in b]
    assert [s["step"] for s in steps] == list(range(len(steps)))
    tokens = [t for s in steps for row in s["committed"] for t in row["token"]]
    assert tokens == tiny_server.model.generate(TEXT, max_tokens=30, chat=False).token_ids
    assert blocks[-1]["runs"] <= len(steps)


def test_a_diffusion_model_streams_cells(diffusion_server) -> None:
    ask = {"model": "list-diffusion", "messages": [{"role": "user", "content": "sort: Eva, Ann, Cid"}]}
    for method in ("freedave", "wino"):
        alone = diffusion_server.model.generate("sort: Eva, Ann, Cid", method)
        cells: dict[int, str | None] = {}
        text = ""
        for chunk in client(diffusion_server).chat.completions.create(
            **ask, stream=True, extra_body={"method": method}
        ):
            text += chunk.choices[0].delta.content or ""
            if not chunk.choices[0].finish_reason:
                block = chunk.model_extra["anyorder"]
                cells |= dict(zip(block["cells"], block["texts"], strict=True))
        assert text == alone.text
        assert [cells[i] for i in range(len(alone.text.split()))] == alone.text.split()


# company ---------------------------------------------------------------------------------------------------


def test_mixed_methods_side_by_side_equal_each_alone(tiny_server) -> None:
    model = tiny_server.model
    asks = [
        {"prompt": f"{TEXT} {i}", "max_tokens": 20 + i, "seed": i, "temperature": 0.9 * (i % 2)}
        for i in range(16)
    ]
    methods = [METHODS[i % len(METHODS)] for i in range(16)]

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=f"{tiny_server.url}/v1", api_key="any", max_retries=0
        ) as client:

            async def one(i: int) -> str:
                made = client.completions.create(
                    model=model.name, **asks[i], stream=bool(i % 3), extra_body={"method": methods[i]}
                )
                told = await made
                if i % 3 == 0:
                    return told.choices[0].text
                return "".join([c.choices[0].text async for c in told])

            return await asyncio.gather(*map(one, range(16)))

    texts = asyncio.run(all_of_them())
    assert texts == [model.generate(**ask, method=m, chat=False).text for ask, m in zip(asks, methods)]


def test_a_client_that_goes_away_frees_the_engine(tiny_server, tiny) -> None:
    before = tiny_server.app.state.metrics.totals()["tokens"]
    endless = {"prompt": TEXT, "max_tokens": 900, "logit_bias": {str(tiny_server.model.eos[0]): -100}}
    for _ in range(3):
        stream = tiny.completions.create(model=tiny_server.model.name, **endless, stream=True)
        next(iter(stream))
        stream.close()
    with pytest.raises(openai.APITimeoutError):
        client(tiny_server, timeout=0.05).completions.create(model=tiny_server.model.name, **endless)
    assert tiny_server.empties()
    assert tiny_server.app.state.metrics.totals()["tokens"] - before < 4 * 900
    assert tiny.completions.create(model=tiny_server.model.name, prompt=TEXT, max_tokens=3).choices


def test_the_list_of_models_and_what_is_unknown(tiny_server, tiny) -> None:
    (mine,) = tiny.models.list()
    assert tiny.models.retrieve(mine.id).model_extra["anyorder"]["canvas"] == "row"
    with pytest.raises(openai.NotFoundError, match="this server has"):
        tiny.completions.create(model="gpt-4", prompt=TEXT)
    with pytest.raises(openai.NotFoundError):
        tiny.models.retrieve("gpt-4")
    with pytest.raises(openai.BadRequestError, match="did you mean 'beam'") as told:
        tiny.completions.create(model=mine.id, prompt=TEXT, extra_body={"method": "beams"})
    assert told.value.type == "invalid_request_error"


def test_the_page_s_example_runs_as_shown(server, capsys) -> None:
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(shown.replace("http://127.0.0.1:8000", server.url), {})
    assert capsys.readouterr().out == server.model.generate("Name a river.").text
