"""A real browser without a window, for tests of pages. What it saw is kept in tests/artifacts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ARTIFACTS = Path(__file__).parent / "artifacts"
BROWSERS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
WAIT = 60_000  # milliseconds until something must have happened
TURN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def launched() -> Iterator[Any]:
    """A browser; skips the test, saying why, where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page, and what must not happen on it: errors in its console, requests to anybody else."""

    def __init__(self, browser: Any, url: str, **how: Any):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **how})
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.goto(url)
        self.own = {urlsplit(url).netloc}

    def clean(self, *allowed: str) -> None:
        """Nothing of that happened, but for console errors with these words."""
        self.turn()
        assert [e for e in self.errors if not any(words in e for words in allowed)] == []
        assert self.hosts <= self.own

    def turn(self) -> None:
        """Let two frames go by."""
        self.page.evaluate(TURN)

    def seek(self, step: int, column: int = 0) -> None:
        """Move a scrubber, as a hand does."""
        move = "(e, k) => { e.value = k; e.dispatchEvent(new Event('input')) }"
        self.page.locator(".scrub input").nth(column).evaluate(move, step)
        self.turn()

    def said(self, column: int = 0) -> Any:
        """The line of a column that says how its run goes."""
        return self.page.locator(".column .status").nth(column)

    def rows(self, column: int = 0) -> list[str]:
        """The texts of a column's rows."""
        read = "stage => [...stage.querySelectorAll('.row')].map(row => [...row.querySelectorAll('.token')]"
        return self.page.locator(".stage").nth(column).evaluate(f"{read}.map(t => t.textContent).join(''))")

    def cells(self, column: int = 0) -> list[str | None]:
        """What the cells of a column show; None: a hole."""
        read = "stage => [...stage.querySelectorAll('.cell')].map("
        read += "c => c.classList.contains('hole') ? null : c.textContent)"
        return self.page.locator(".stage").nth(column).evaluate(read)

    def drop(self, name: str, text: str) -> None:
        """Open a file that holds this text."""
        given = {"name": name, "mimeType": "application/json", "buffer": text.encode()}
        self.page.locator("#file").set_input_files(given)

    def keep(self, name: str) -> Path:
        """A picture of the whole page."""
        ARTIFACTS.mkdir(exist_ok=True)
        file = ARTIFACTS / f"{name}.png"
        self.page.screenshot(path=file, full_page=True)
        return file

    def close(self) -> None:
        self.context.close()


def trace_of(tokens: Sequence[str], **header: Any) -> str:
    """A trace that was never decoded: a token a step, 2 milliseconds each, every third an accepted guess."""
    first = {
        "anyorder_trace": 2, "anyorder": "0.1.0", "model": "none", "method": "made_up", "exact": True,
        "prompt": "none", "prompt_tokens": 1, "canvas": "row", "cells": None, **header,
    }  # fmt: skip
    lines = [first]
    for i, text in enumerate(tokens):
        guessed = i % 3 == 0
        guess = [{"token": i, "text": text, "parent": -1, "by": "drafter", "p": 0.5}] if guessed else []
        asked = {
            "net": "target",
            "cells": 1 + len(guess),
            "rows": [{"row": 0, "cells": None, "guess": guess}],
        }
        row = {
            "row": 0, "parent": 0, "token": [i], "texts": [text], "probability": [0.5], "at": None,
            "by": ["drafter" if guessed else "own"], "accepted": [0] if guessed else [], "cut": None,
            "ended": None,
        }  # fmt: skip
        lines.append({"step": i, "ms": 2.0 * (i + 1), "rows": 1, "asked": [asked], "committed": [row]})
    lines.append({"end": {
        "runs": len(tokens), "tokens_per_second": 500.0, "tokens_per_run": 1.0,
        "seconds": 0.002 * len(tokens), "ended": "length",
    }})  # fmt: skip
    return "".join(json.dumps(line) + "\n" for line in lines)
