// One method on the prompt: which, with what options, and what came of it.

import { Refused } from "./client.js";
import { make } from "./dom.js";
import { Form } from "./form.js";
import { Viewer } from "./viewer.js";

/** A heading and a cross for what can be taken away. @param {any} title @param {() => void} remove */
function head(title, remove) {
  const label = "Remove this column";
  const cross = make("button", {
    type: "button",
    class: "quiet",
    text: "×",
    "aria-label": label,
    title: label,
    on: { click: remove },
  });
  return make("header", { class: "column-head" }, title, cross);
}

/**
 * A saved trace as a column.
 * @param {string} name @param {any} recording @param {(column: any) => void} removed
 */
export function opened(name, recording, removed) {
  const { header } = recording;
  const viewer = new Viewer(`${header.method} in ${name}`);
  const column = {
    viewer,
    root: make("article", { class: "column" }),
    close: () => {
      viewer.clear();
      column.root.remove();
      removed(column);
    },
  };
  column.root.append(
    head(make("h2", { text: header.method }), column.close),
    make("p", { class: "about", text: `${name} · ${header.model} · anyorder ${header.anyorder}` }),
    make("blockquote", { class: "asked", text: header.prompt }),
    viewer.root,
  );
  viewer.open(recording);
  return column;
}

export class Column {
  /**
   * @param {any[]} cards methods of the server @param {string} name the one that is chosen at first
   * @param {(column: Column) => void} removed
   */
  constructor(cards, name, removed) {
    this.cards = cards;
    this.removed = removed;
    this.select = make(
      "select",
      { class: "method", "aria-label": "Method", on: { change: () => this._turn() } },
      ...groups(cards),
    );
    this.select.value = name;
    this.about = make("p", { class: "about" });
    this.form = new Form([]);
    this.more = make("details", { class: "more" }, make("summary"));
    this.viewer = new Viewer(name);
    this.root = make(
      "article",
      { class: "column" },
      head(this.select, () => this.close()),
      this.about,
      this.more,
      this.viewer.root,
    );
    /** @type {AbortController|null} */
    this.running = null;
    this._turn();
  }

  get card() {
    return this.cards.find((card) => card.name === this.select.value);
  }

  close() {
    this.stop();
    this.viewer.clear();
    this.root.remove();
    this.removed(this);
  }

  stop() {
    this.running?.abort();
  }

  _turn() {
    const { card } = this;
    this.form.root.remove();
    this.form = new Form(card.options);
    this.more.append(this.form.root);
    const count = card.options.length;
    this.more.firstChild.textContent = count ? `Options (${count})` : "No options";
    this.more.classList.toggle("empty", !count);
    if (!count) this.more.open = false;
    const exact = card.exact ? "exact" : "not exact";
    this.about.textContent = `${card.summary} · ${exact}${card.paper ? ` · ${card.paper}` : ""}`;
    this.viewer.rename(card.name);
  }

  /** The first control whose value cannot be, shown and focused; null if all can. */
  faulty() {
    const bad = this.form.fields.find(({ control }) => !control.checkValidity());
    if (!bad) return null;
    this.more.open = true;
    bad.control.reportValidity();
    return bad.control;
  }

  /**
   * Run the prompt. Raises Refused if the server wants another key.
   * @param {import("./client.js").Client} client @param {string} path @param {Record<string, any>} body
   */
  async run(client, path, body) {
    const running = new AbortController();
    this.running = running;
    this.viewer.clear();
    this.viewer.say("Waiting for the first step…", "busy");
    this.root.classList.add("running");
    const options = { ...body.method_options, ...this.form.values() };
    const asked = { ...body, method: this.card.name, method_options: options, stream: true, steps: true };
    try {
      for await (const chunk of client.stream(path, asked, running.signal)) this._take(chunk);
      if (!this.viewer.recording?.end) this.viewer.say("The stream broke off before its end.", "bad");
    } catch (error) {
      this._fail(/** @type {Error} */ (error), running.signal.aborted);
    } finally {
      this.root.classList.remove("running");
      this.running = null;
    }
  }

  /** @param {any} chunk */
  _take({ anyorder, choices }) {
    if (anyorder?.trace) {
      this.viewer.begin(anyorder.trace);
      this.viewer.say("Running…", "busy");
    }
    if (anyorder?.step) this.viewer.add(anyorder.step);
    if (anyorder?.runs !== undefined && choices?.[0]?.finish_reason) this.viewer.finish(anyorder);
  }

  /** @param {Error} error @param {boolean} stopped */
  _fail(error, stopped) {
    if (stopped) this.viewer.halt("Stopped.");
    else if (error instanceof Refused) this.viewer.halt(error.message, "bad");
    else throw error;
    if (!stopped && /** @type {Refused} */ (error).status === 401) throw error;
  }
}

/** Methods by family; those that cannot run here come last, with the reason. @param {any[]} cards */
function groups(cards) {
  const families = new Map();
  for (const card of cards) families.set(card.family, [...(families.get(card.family) ?? []), card]);
  return [...families].map(([family, members]) => {
    const order = [...members.filter((c) => c.runs_here), ...members.filter((c) => !c.runs_here)];
    return make(
      "optgroup",
      { label: family },
      ...order.map((card) =>
        make("option", {
          value: card.name,
          disabled: !card.runs_here,
          title: card.runs_here ? card.summary : card.why_not,
          text: card.runs_here ? card.name : `${card.name} — ${card.why_not}`,
        }),
      ),
    );
  });
}
