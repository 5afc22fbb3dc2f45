// The playground: a prompt, columns of methods that decode it, and traces that were saved.

import { Client, Refused } from "./client.js";
import { Column, opened } from "./column.js";
import { make } from "./dom.js";
import { Form } from "./form.js";
import { opens } from "./opener.js";
import { legend } from "./sources.js";
import { themes } from "./theme.js";

const FIRST = { row: ["greedy", "token_recycling"], cells: ["static", "threshold"] };
const EXAMPLES = [
  "Why is the sky blue?",
  "Repeat this list twice: red, green, blue, yellow, black, white.",
  "Write a Python function that counts the words of a text, with a docstring.",
];
const LISTS = ["reverse: Ann, Ben, Cid", "sort: Eva, Ann, Cid", "copy: Dan, Eva, Ann"]; // of list-diffusion
const COMMON = [
  {
    name: "max_tokens",
    type: "int",
    default: null,
    low: 1,
    high: null,
    choices: [],
    allowed: "",
    help: "most that are written; empty: 128, or the model's cells",
  },
  {
    name: "temperature",
    type: "float",
    default: null,
    low: 0,
    high: 100,
    choices: [],
    allowed: "",
    help: "0: the likeliest token; empty: the method's own",
  },
  {
    name: "seed",
    type: "int",
    default: null,
    low: 0,
    high: null,
    choices: [],
    allowed: "",
    help: "of all draws; the same seed draws the same",
  },
];

class Playground {
  /** @param {HTMLElement} main */
  constructor(main) {
    this.client = new Client();
    /** @type {any[]} */
    this.columns = [];
    /** @type {any[]} */
    this.cards = [];
    this.model = "";
    this.stopped = false;
    this.common = new Form(COMMON);
    this.error = make("div", { class: "error", role: "alert", hidden: true });
    this.grid = make("div", { class: "columns" });
    main.append(this._composer(), this._key(), this.error, this._bar(), this.grid);
    document.addEventListener("keydown", (event) => this._shortcut(event));
  }

  _composer() {
    this.prompt = make("textarea", { id: "prompt", rows: 3, spellcheck: "false" });
    this.examples = make("div", { class: "examples" });
    this.raw = make("input", { type: "checkbox", id: "raw" });
    this.together = make("input", { type: "checkbox", id: "together" });
    this.shaping = make(
      "details",
      { class: "more" },
      make("summary", { text: "More options of every method" }),
    );
    this.runs = make("button", { type: "submit", class: "main", text: "Run", title: "Ctrl or Cmd + Enter" });
    this.stops = make("button", {
      type: "button",
      text: "Stop",
      disabled: true,
      title: "Escape",
      on: { click: () => this.stop() },
    });
    this.form = make(
      "form",
      {
        class: "composer",
        novalidate: true,
        on: {
          submit: (/** @type {Event} */ event) => {
            event.preventDefault();
            void this.run();
          },
        },
      },
      make("label", { for: "prompt", text: "Prompt" }),
      this.prompt,
      this.examples,
      this.common.root,
      this.shaping,
      make(
        "div",
        { class: "actions" },
        this.runs,
        this.stops,
        checked(this.together, "all at once", "The methods share runs, so that each is slower than alone"),
        checked(this.raw, "no chat template", "The prompt is continued as it stands"),
        make("kbd", { text: "Ctrl ⏎ runs · Esc stops" }),
      ),
    );
    return this.form;
  }

  _key() {
    const input = make("input", { id: "key", type: "password", autocomplete: "off" });
    this.key = make(
      "form",
      {
        class: "key",
        hidden: true,
        on: {
          submit: (/** @type {Event} */ event) => {
            event.preventDefault();
            this.client.key = input.value;
            this.key.hidden = true;
            this.fail("");
            if (!this.cards.length) void this.start();
          },
        },
      },
      make("label", { for: "key", text: "API key (kept in this page's memory only)" }),
      input,
      make("button", { text: "Use" }),
    );
    return this.key;
  }

  _bar() {
    this.adds = make("button", {
      type: "button",
      text: "+ Add a method",
      disabled: true,
      on: { click: () => this.add(this._next()) },
    });
    const replay = make("button", {
      type: "button",
      text: "▶ Replay side by side",
      on: { click: () => this.columns.forEach((column) => column.viewer.replay()) },
    });
    return make("div", { class: "bar" }, legend(), make("div", { class: "bar-buttons" }, replay, this.adds));
  }

  /** Ask the server what it has. */
  async start() {
    try {
      const [models, methods] = await Promise.all([
        this.client.get("/v1/models"),
        this.client.get("/v1/methods"),
      ]);
      this._meet(models.data[0], methods);
    } catch (error) {
      this._refused(/** @type {Error} */ (error));
    }
  }

  /** @param {any} model @param {any} methods */
  _meet(model, methods) {
    const about = model.anyorder;
    this.model = model.id;
    this.cards = methods.data;
    const told = make("span", { text: `${model.id} · ${about.precision} · ${about.context} tokens` });
    document.querySelector("#model")?.replaceChildren(told);
    this._shape(methods.shaping);
    const known = model.id.includes("list-diffusion");
    this._suggest(known ? LISTS : EXAMPLES);
    this.adds.disabled = false;
    const first = FIRST[/** @type {"row"|"cells"} */ (about.canvas)] ?? [about.default_method];
    for (const name of first) if (this._runs(name)) this.add(name);
    if (!this.columns.length) this.add(this._next());
  }

  /** @param {any[]} options */
  _shape(options) {
    const taken = new Set(COMMON.map((option) => option.name));
    this.shapes = new Form(options.filter((option) => !taken.has(option.name)));
    this.shaping.append(this.shapes.root);
  }

  /** @param {string[]} prompts */
  _suggest(prompts) {
    if (!this.prompt.value) this.prompt.value = prompts[0];
    this.examples.replaceChildren(
      ...prompts.map((text) =>
        make("button", {
          type: "button",
          class: "chip",
          text,
          on: {
            click: () => {
              this.prompt.value = text;
              this.prompt.focus();
            },
          },
        }),
      ),
    );
  }

  /** @param {string} name */
  _runs(name) {
    return this.cards.some((card) => card.name === name && card.runs_here);
  }

  /** A method that no column shows yet. */
  _next() {
    const shown = new Set(this.columns.map((column) => column.card?.name));
    const free = this.cards.filter((card) => card.runs_here);
    return (free.find((card) => !shown.has(card.name)) ?? free[0]).name;
  }

  /** @param {string} name */
  add(name) {
    this._show(new Column(this.cards, name, (column) => this._gone(column)));
  }

  /** @param {any} recording @param {string} name */
  open(recording, name) {
    this.fail("");
    this._show(opened(name, recording, (column) => this._gone(column)));
  }

  /** @param {any} column */
  _show(column) {
    this.columns.push(column);
    this.grid.append(column.root);
  }

  /** @param {any} gone */
  _gone(gone) {
    this.columns = this.columns.filter((column) => column !== gone);
  }

  async run() {
    const columns = this.columns.filter((column) => column instanceof Column);
    if (this.runs.disabled || !columns.length || this._faulty(columns)) return;
    this.fail("");
    this.stopped = false;
    this._busy(true);
    columns.forEach((column) => column.viewer.clear());
    const { path, body } = this._asked();
    const one = (/** @type {Column} */ column) => column.run(this.client, path, body);
    try {
      if (this.together.checked) await Promise.all(columns.map(one));
      else
        for (const column of columns) if (!this.stopped && this.columns.includes(column)) await one(column);
    } catch (error) {
      this._refused(/** @type {Error} */ (error));
    } finally {
      this._busy(false);
    }
  }

  /** @param {Column[]} columns */
  _faulty(columns) {
    const forms = [this.common, ...(this.shapes ? [this.shapes] : [])];
    const bad = forms.flatMap((form) => form.fields).find(({ control }) => !control.checkValidity());
    if (bad) {
      if (this.shaping.contains(bad.control)) this.shaping.open = true;
      bad.control.reportValidity();
    }
    return bad || columns.some((column) => column.faulty());
  }

  _asked() {
    const body = { model: this.model, ...this.common.values(), method_options: this.shapes?.values() ?? {} };
    const text = this.prompt.value;
    if (this.raw.checked) return { path: "/v1/completions", body: { ...body, prompt: text } };
    return { path: "/v1/chat/completions", body: { ...body, messages: [{ role: "user", content: text }] } };
  }

  stop() {
    this.stopped = true;
    for (const column of this.columns) column.stop?.();
  }

  /** @param {boolean} busy */
  _busy(busy) {
    this.runs.disabled = busy;
    this.stops.disabled = !busy;
  }

  /** @param {Error} error */
  _refused(error) {
    if (!(error instanceof Refused)) throw error;
    this.fail(error.message);
    if (error.status === 401) {
      this.key.hidden = false;
      this.key.querySelector("input")?.focus();
    }
  }

  /** @param {string} message */
  fail(message) {
    this.error.textContent = message;
    this.error.hidden = !message;
  }

  /** @param {KeyboardEvent} event */
  _shortcut(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void this.run();
    } else if (event.key === "Escape") this.stop();
  }
}

/** @param {HTMLElement} box @param {string} text @param {string} title */
function checked(box, text, title) {
  return make("label", { class: "check", title }, box, text);
}

const playground = new Playground(/** @type {HTMLElement} */ (document.querySelector("#main")));
themes(/** @type {HTMLElement} */ (document.querySelector("#theme")));
opens(
  /** @type {HTMLInputElement} */ (document.querySelector("#file")),
  (recording, name) => playground.open(recording, name),
  (message) => playground.fail(message),
);
void playground.start();
