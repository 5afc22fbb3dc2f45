// The text of rows that grow at their ends: one span a token. Showing another state changes only the spans in
// which the rows differ, at most MOST of them a frame, so that a long way back never holds a frame up.

import { make } from "./dom.js";
import { colourOf } from "./sources.js";

const MOST = 120; // spans changed in one call

export class RowsView {
  /** @param {import("./recording.js").Recording} recording */
  constructor(recording) {
    this.recording = recording;
    this.root = make("div", { class: "rows" });
    /** @type {{root: HTMLElement, text: HTMLElement, spans: HTMLElement[], pieces: any[]}[]} */
    this.rows = [];
    /** @type {WeakMap<Element, any>} */
    this.pieces = new WeakMap();
  }

  /** Show the state after k steps. Whether all of it is there; if not, call again. @param {number} k */
  show(k) {
    const heads = /** @type {any[]} */ (this.recording.states[k]);
    this.root.classList.toggle("many", heads.length > 1);
    while (this.rows.length > heads.length) this.rows.pop()?.root.remove();
    while (this.rows.length < heads.length) this._begin();
    let left = MOST;
    heads.forEach((head, row) => (left = this._turn(this.rows[row], head, left)));
    return left > 0;
  }

  _begin() {
    const text = make("div", { class: "text" });
    const root = make("div", { class: "row" }, text);
    root.dataset.row = `row ${this.rows.length}`;
    this.rows.push({ root, text, spans: [], pieces: [] });
    this.root.append(root);
  }

  /**
   * Make a row end in a piece: what stands after the last common piece goes, the rest comes.
   * @param {any} row @param {any} head @param {number} left
   */
  _turn(row, head, left) {
    const wanted = [];
    let piece = head;
    while (piece !== null && row.pieces[piece.depth] !== piece) {
      wanted.push(piece);
      piece = piece.before;
    }
    const keep = piece === null ? 0 : piece.depth + 1;
    while (row.pieces.length > keep && left > 0) {
      const span = row.spans.pop();
      const home = span.parentElement;
      span.remove();
      if (!home.firstChild) home.remove();
      row.pieces.pop();
      left -= 1;
    }
    while (wanted.length && left > 0) {
      this._write(row, wanted.pop());
      left -= 1;
    }
    return left;
  }

  /** @param {any} row @param {any} piece */
  _write(row, piece) {
    const span = make("span", { class: `token ${colourOf(piece.by)}`, text: piece.text });
    if (piece.text === "") span.classList.add("silent");
    let home = row.text.lastElementChild;
    const before = row.pieces[row.pieces.length - 1];
    if (!home || ends(home, before.text)) {
      home = make("p");
      row.text.append(home);
    }
    home.append(span);
    row.spans.push(span);
    row.pieces.push(piece);
    this.pieces.set(span, piece);
  }

  /** Every token that can be visited, in reading order. @returns {HTMLElement[]} */
  stops() {
    return this.rows.flatMap((row) => row.spans);
  }
}

/** Whether a paragraph is over: it ends in a new line. @param {Element} home @param {string} text */
function ends(home, text) {
  return text.endsWith("\n") && home.childElementCount > 0;
}
