// One text and how it came about: figures, the text itself, the scrubber, and the details of a token.

import { CellsView } from "./cells.js";
import { Detail } from "./detail.js";
import { figure, make } from "./dom.js";
import { Player } from "./player.js";
import { Recording } from "./recording.js";
import { RowsView } from "./rows.js";

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4, 16];
const FIGURES = ["tokens/s", "tokens/run", "runs", "tokens", "seconds"];

export class Viewer {
  /** @param {string} name for people who cannot see where it stands */
  constructor(name) {
    this.name = name;
    /** @type {Record<string, HTMLElement>} */
    this.figures = {};
    this.badge = make("span", { class: "badge", hidden: true });
    this.status = make("p", { class: "status", role: "status" });
    this.stage = make("div", {
      class: "stage",
      tabindex: 0,
      role: "group",
      on: {
        keydown: (/** @type {KeyboardEvent} */ event) => this._key(event),
        pointerover: (/** @type {Event} */ event) => this._point(event),
        click: (/** @type {Event} */ event) => this._point(event),
        scroll: () => this._scrolled(),
      },
    });
    this.detail = new Detail();
    this._controls();
    this.root = make(
      "div",
      { class: "viewer" },
      this._board(),
      this.status,
      this.stage,
      this.scrub,
      this.detail.root,
    );
    this.rename(name);
    this.clear();
  }

  /** @param {string} name */
  rename(name) {
    this.name = name;
    this.stage.setAttribute("aria-label", `Text by ${name}; arrow keys move from token to token`);
    this.range.setAttribute("aria-label", `Step of ${name}`);
  }

  _board() {
    const list = make("dl", { class: "figures" });
    for (const name of FIGURES) {
      this.figures[name] = make("dd", { text: "–" });
      list.append(make("div", {}, make("dt", { text: name }), this.figures[name]));
    }
    list.append(make("div", { class: "badge-box" }, this.badge));
    return list;
  }

  _controls() {
    this.button = make("button", { type: "button", class: "play", on: { click: () => this.toggle() } });
    this.range = make("input", {
      type: "range",
      min: 0,
      max: 0,
      value: 0,
      on: {
        input: () => {
          this.player?.pause();
          this.player?.seek(Number(this.range.value));
        },
      },
    });
    this.place = make("output", { text: "0 / 0" });
    const speeds = SPEEDS.map((speed) =>
      make("option", { value: speed, text: `${speed}×`, selected: speed === 1 }),
    );
    this.speed = make(
      "select",
      {
        "aria-label": "Speed of the replay",
        on: {
          change: () => this.player && (this.player.speed = Number(this.speed.value)),
        },
      },
      ...speeds,
    );
    this.scrub = make("div", { class: "scrub" }, this.button, this.range, this.place, this.speed);
  }

  /** Back to nothing. */
  clear() {
    this.player?.close();
    this.player = null;
    this.recording = null;
    this.view = null;
    this.low = true; // the end of the text is in sight, and is kept there while it grows
    this.stage.replaceChildren(make("p", { class: "hint", text: "Nothing here yet." }));
    this.scrub.hidden = true;
    this.badge.hidden = true;
    this.marked = null;
    this.detail.clear();
    this.detail.root.hidden = true;
    for (const name of FIGURES) this.figures[name].textContent = "–";
    this.say("");
  }

  /** @param {string} text @param {string} [kind] */
  say(text, kind = "") {
    this.status.textContent = text;
    this.status.className = `status ${kind}`;
  }

  /** A run begins. @param {any} header */
  begin(header) {
    this._show(new Recording(header));
  }

  /** @param {import("./recording.js").Step} step */
  add(step) {
    this.recording?.add(step);
    this.player?.wake();
  }

  /** The run is over. @param {any} end */
  finish(end) {
    if (!this.recording) return;
    this.recording.end = end;
    this.scrub.hidden = this.recording.length === 0;
    this.say(this._summary());
    this.player?.wake();
  }

  /** The run ended before its end. @param {string} why @param {string} [kind] */
  halt(why, kind = "") {
    this.scrub.hidden = !this.recording?.length;
    this.say(why, kind);
    this.player?.wake();
  }

  /** Show a whole recording, at its end. @param {Recording} recording */
  open(recording) {
    this._show(recording);
    this.scrub.hidden = recording.length === 0;
    this.say(this._summary());
    this.player?.seek(recording.length);
  }

  /** From the first step on. */
  replay() {
    if (!this.player || !this.recording?.length) return;
    this.player.seek(0);
    this.toggle(true);
  }

  /** Play or pause. @param {boolean} [play] */
  toggle(play = !this.player?.playing) {
    if (play) this.player?.play();
    else this.player?.pause();
  }

  /** @param {Recording} recording */
  _show(recording) {
    this.clear();
    this.recording = recording;
    this.view = recording.cells ? new CellsView(recording) : new RowsView(recording);
    this.player = new Player(recording, this.view, (k) => this._tell(k));
    this.player.speed = Number(this.speed.value);
    this.stage.replaceChildren(this.view.root);
    this.detail.root.hidden = false;
    this.badge.hidden = false;
    this.badge.textContent = recording.header.exact ? "exact" : "not exact";
    this.badge.className = recording.header.exact ? "badge exact" : "badge";
    this.badge.title = recording.header.exact
      ? "the text (greedy) or its law (sampling) is the plain loop's"
      : "no claim on the text";
    this.player.wake();
  }

  /** @param {number} k */
  _tell(k) {
    const { recording, player } = /** @type {{recording: Recording, player: Player}} */ (this);
    const last = k === recording.length && recording.end;
    const { tokens, runs, ms } = recording.counts[k];
    const seconds = last ? recording.end.seconds : ms / 1000;
    const told = {
      "tokens/s": figure(last ? recording.end.tokens_per_second : tokens / seconds, 1),
      "tokens/run": figure(last ? recording.end.tokens_per_run : tokens / runs, 2),
      runs: String((last && recording.end.runs) || runs),
      tokens: String((last && Math.round(recording.end.tokens_per_run * recording.end.runs)) || tokens),
      seconds: figure(seconds, 2),
    };
    for (const [name, text] of Object.entries(told)) {
      if (this.figures[name].textContent !== text) this.figures[name].textContent = text;
    }
    this.range.max = String(recording.length);
    this.range.value = String(k);
    this.place.textContent = `${k} / ${recording.length}`;
    const label = player.playing ? "Pause" : "Play";
    if (this.button.getAttribute("aria-label") !== label) {
      this.button.setAttribute("aria-label", label);
      this.button.textContent = player.playing ? "❚❚" : "▶";
    }
    if (this.low && (player.follows || player.playing)) this.stage.scrollTop = this.stage.scrollHeight;
  }

  _summary() {
    const end = this.recording?.end;
    if (!end) return "This recording has no end: its run was cut off.";
    const why = {
      eos: "the model ended it",
      length: "its limit of tokens was reached",
      stop: "a stop string came",
    };
    const ended = /** @type {any} */ (why)[end.ended] ?? end.ended;
    return ended ? `Ended: ${ended}.` : "";
  }

  _scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.stage;
    this.low = scrollTop + clientHeight > scrollHeight - 8;
  }

  /** @param {Event} event */
  _point(event) {
    const target = /** @type {Element} */ (event.target);
    if (this.view?.pieces.has(target)) this._mark(/** @type {HTMLElement} */ (target));
    else if (event.type === "click") this._mark(null);
  }

  /** @param {HTMLElement|null} element */
  _mark(element) {
    this.marked?.classList.remove("marked");
    this.marked = element;
    if (element === null) return this.detail.clear();
    element.classList.add("marked");
    this.detail.show(this.view?.pieces.get(element), /** @type {Recording} */ (this.recording).length);
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const move = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: 10,
      ArrowUp: -10,
      Home: -Infinity,
      End: Infinity,
    };
    const by = /** @type {Record<string, number>} */ (move)[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey || !this.view) return;
    event.preventDefault();
    const stops = this.view.stops();
    if (!stops.length) return;
    const now = this.marked ? stops.indexOf(this.marked) : by > 0 ? -1 : stops.length;
    const next = Math.max(
      0,
      Math.min(stops.length - 1, Number.isFinite(by) ? now + by : by > 0 ? Infinity : 0),
    );
    this._mark(stops[next]);
    stops[next].scrollIntoView({ block: "nearest" });
  }
}
