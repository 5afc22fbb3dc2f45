// The viewer in a benchmark's page: the recorded runs of one prompt side by side.

import { make } from "./dom.js";
import { recorded } from "./recording.js";
import { legend } from "./sources.js";
import { themes } from "./theme.js";
import { Viewer } from "./viewer.js";

const FIRST = 3; // methods shown at first

/** @typedef {{label: string, prompt: string, records: any[]}} Run */

class Report {
  /** @param {HTMLElement} home @param {Run[]} runs */
  constructor(home, runs) {
    this.runs = runs;
    /** @type {Viewer[]} */
    this.viewers = [];
    const prompts = [...new Set(runs.map((run) => run.prompt))];
    const labels = [...new Set(runs.map((run) => run.label))];
    this.prompt = make(
      "select",
      { id: "which", on: { change: () => this.show() } },
      ...prompts.map((prompt) => make("option", { value: prompt, text: prompt })),
    );
    this.boxes = labels.map((label, i) =>
      make("input", {
        type: "checkbox",
        value: label,
        checked: i < FIRST,
        on: { change: () => this.show() },
      }),
    );
    this.text = make("blockquote", { class: "asked" });
    this.grid = make("div", { class: "columns" });
    const replay = make("button", {
      type: "button",
      class: "main",
      text: "▶ Replay side by side",
      on: { click: () => this.viewers.forEach((viewer) => viewer.replay()) },
    });
    home.append(
      make("div", { class: "chooser" }, make("label", { for: "which", text: "Prompt" }), this.prompt, replay),
      make(
        "fieldset",
        { class: "chosen" },
        make("legend", { text: "Methods" }),
        ...this.boxes.map((box) => make("label", { class: "check" }, box, box.value)),
      ),
      this.text,
      legend(),
      this.grid,
    );
    this.show();
  }

  /** The chosen methods' runs of the chosen prompt. */
  show() {
    for (const viewer of this.viewers) viewer.clear();
    const labels = this.boxes.filter((box) => box.checked).map((box) => box.value);
    const runs = this.runs.filter((run) => run.prompt === this.prompt.value && labels.includes(run.label));
    this.viewers = runs.map((run) => new Viewer(run.label));
    this.text.textContent = runs[0]?.records[0].prompt ?? "";
    this.grid.replaceChildren(
      ...runs.map((run, i) =>
        make(
          "article",
          { class: "column" },
          make("header", { class: "column-head" }, make("h2", { text: run.label })),
          this.viewers[i].root,
        ),
      ),
    );
    runs.forEach((run, i) => this.viewers[i].open(recorded(run.records, run.label)));
  }
}

const kept = document.querySelector("#traces");
const home = /** @type {HTMLElement} */ (document.querySelector("#viewer"));
if (kept && home) new Report(home, JSON.parse(kept.textContent || "[]"));
themes(/** @type {HTMLElement} */ (document.querySelector("#theme")));
