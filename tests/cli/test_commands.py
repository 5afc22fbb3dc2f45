"""The command line: its contract, and what wrong input prints."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anyorder.cli.main import main


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.mark.parametrize(
    "call", [["--help"], ["methods"], ["methods", "token_recycling"], ["methods", "--json"]]
)
def test_help_and_cards_do_not_import_torch(call: list[str]) -> None:
    script = f"import sys; sys.argv[1:] = {call!r}\nfrom anyorder.cli.main import main\n"
    script += "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.quiet
def test_help_answers_at_once() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "anyorder", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.4  # 200 ms on a quiet machine


def test_methods_as_json_carries_the_contract(capsys) -> None:
    code, out, _ = run(capsys, "methods", "--json")
    cards = json.loads(out.splitlines()[-1])
    assert code == 0
    assert all(card.keys() >= {"name", "family", "paper", "exact", "nets", "options"} for card in cards)
    assert {"greedy", "sample", "beam", "prompt_lookup", "token_recycling"} <= {
        card["name"] for card in cards
    }


def test_generate_streams_text_and_ends_with_figures(capsys, tiny_model_folder: Path) -> None:
    call = [
        "generate",
        "the cat sat",
        "--model",
        str(tiny_model_folder),
        "--precision",
        "fp32",
        "--max-tokens",
        "9",
    ]
    code, out, err = run(capsys, *call)
    assert code == 0
    assert "tokens/s" in err
    code, figures, _ = run(capsys, *call, "--json")
    made = json.loads(figures.splitlines()[-1])
    assert out.strip("\n") == made["text"].strip("\n")
    assert made["tokens"] == 9 or made["ended"] == "eos"
    assert made.keys() >= {
        "text", "tokens", "runs", "seconds", "tokens_per_second", "tokens_per_run", "method", "exact",
        "model",
    }  # fmt: skip


def test_a_trace_says_what_was_guessed_and_accepted(capsys, tiny_model_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    code, out, _ = run(
        capsys, "generate", "a b a b a b a b", "--model", str(tiny_model_folder), "--method", "merged",
        "--precision", "fp32", "--max-tokens", "20", "--trace", str(file), "--json",
    )  # fmt: skip
    assert code == 0
    _, *steps, end = [json.loads(line) for line in file.read_text().splitlines()]
    figures = json.loads(out.splitlines()[-1])
    assert end == {"end": figures}
    assert len(steps) == figures["runs"]
    assert sum(len(s["committed"][0]["token"]) for s in steps) == figures["tokens"]
    sources = {g["by"] for s in steps for a in s["asked"] for row in a["rows"] for g in row["guess"]}
    assert sources == {"prompt_lookup", "token_recycling"}
    for step in steps:
        (row,) = step["committed"]
        guesses = step["asked"][-1]["rows"][0]["guess"]
        assert [guesses[i]["token"] for i in row["accepted"]] == row["token"][: len(row["accepted"])]
        assert len(row["probability"]) == len(row["token"])
        assert all(0 <= p <= 1 for p in row["probability"])
        for i, p in zip(row["accepted"], row["probability"], strict=False):
            assert guesses[i]["p"] == pytest.approx(p, abs=1e-5)


@pytest.mark.parametrize(
    "call, says",
    [
        ([], ""),
        (["generat"], "unknown command 'generat'"),
        (["methods", "gredy"], "did you mean 'greedy'"),
        (["generate"], "prompt"),
        (["generate", " "], "the prompt is empty"),
        (["generate", "x", "--method", "tokenrecycling"], "did you mean 'token_recycling'"),
        (["generate", "x", "--set", "nodes"], "allowed is name=value"),
        (
            ["generate", "x", "--method", "greedy", "--set", "nodes=3"],
            "method greedy has no option 'nodes'; its options: none",
        ),
        (["generate", "x", "--method", "lookahead", "--set", "window=many"], "option window is 'many'"),
        (["generate", "x", "--set", "top_p=2"], "option top_p is '2'"),
        (["generate", "x", "--max-tokens", "ten"], "--max-tokens"),
        (["generate", "x", "--model", "/no/such/model"], "is not there"),
        (["generate", "x", "--model", "nomodel"], "unknown model 'nomodel'"),
        (["generate", "x", "--precision", "fp64"], "unknown precision 'fp64'"),
        (["generate", "x", "--trace", "/no/such/folder/trace.jsonl"], "cannot be written"),
    ],
)
def test_wrong_input_ends_with_one_sentence_and_code_2(capsys, call: list[str], says: str) -> None:
    code, _, err = run(capsys, *call)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 1


def test_scorers_have_a_section_of_their_own(capsys) -> None:
    code, out, _ = run(capsys, "methods")
    assert code == 0
    methods, _, scorers = out.partition("\nscorers")
    assert "  keywords " in scorers
    assert "  keywords " not in methods
    assert "  beam " in methods
    code, out, _ = run(capsys, "methods", "--json")
    assert "scorer" not in {card["family"] for card in json.loads(out)}
    code, out, _ = run(capsys, "methods", "keywords", "--json")
    (card,) = json.loads(out)
    assert (card["family"], card["options"][0]["name"]) == ("scorer", "words")
    code, out, _ = run(capsys, "methods", "keywords")
    assert "words or phrases, by comma" in out
    assert "exact" not in out
    code, _, err = run(capsys, "methods", "keyword")
    assert (code, "did you mean 'keywords'" in err) == (2, True)
