// An any-order canvas: a box for each cell, holes shaded, cells written again flash.

import { make } from "./dom.js";
import { colourOf } from "./sources.js";

export class CellsView {
  /** @param {import("./recording.js").Recording} recording */
  constructor(recording) {
    this.recording = recording;
    this.root = make("div", { class: "rows" });
    /** @type {{root: HTMLElement, boxes: HTMLElement[], pieces: any[]}[]} */
    this.rows = [];
    /** @type {WeakMap<Element, any>} */
    this.pieces = new WeakMap();
    this.at = 0;
  }

  /** Show the state after k steps; always whole. @param {number} k */
  show(k) {
    const canvases = /** @type {any[][]} */ (this.recording.states[k]);
    this.root.style.setProperty("--steps", String(Math.max(1, this.recording.length - 1)));
    this.root.classList.toggle("many", canvases.length > 1);
    while (this.rows.length > canvases.length) this.rows.pop()?.root.remove();
    while (this.rows.length < canvases.length) this._begin();
    canvases.forEach((cells, row) => this._turn(this.rows[row], cells, k > this.at));
    this.at = k;
    return true;
  }

  _begin() {
    const root = make("div", { class: "row cells" });
    root.dataset.row = `row ${this.rows.length}`;
    this.rows.push({ root, boxes: [], pieces: [] });
    this.root.append(root);
  }

  /** @param {any} row @param {any[]} cells @param {boolean} forward */
  _turn(row, cells, forward) {
    while (row.boxes.length > cells.length) {
      row.boxes.pop().remove();
      row.pieces.pop();
    }
    while (row.boxes.length < cells.length) {
      const box = make("span", { class: "cell hole" });
      row.boxes.push(box);
      row.pieces.push(null);
      row.root.append(box);
    }
    cells.forEach((piece, i) => {
      if (row.pieces[i] !== piece) this._write(row, i, piece, forward);
    });
  }

  /** @param {any} row @param {number} i @param {any} piece @param {boolean} forward */
  _write(row, i, piece, forward) {
    const box = row.boxes[i];
    const again = forward && row.pieces[i] !== null && row.pieces[i].token !== piece?.token;
    row.pieces[i] = piece;
    box.className = piece === null ? "cell hole" : `cell ${colourOf(piece.by)}`;
    box.textContent = piece === null ? "" : piece.text.trim() || piece.text;
    if (piece !== null) {
      box.style.setProperty("--step", String(piece.step.step));
      this.pieces.set(box, piece);
      box.classList.toggle("again", rewritten(piece));
      box.classList.toggle("silent", piece.text === "");
    } else this.pieces.delete(box);
    if (again) {
      void box.offsetWidth; // lets the animation start anew
      box.classList.add("flash");
    }
  }

  /** Every cell that can be visited, in reading order. @returns {HTMLElement[]} */
  stops() {
    return this.rows.flatMap((row) => row.boxes.filter((box) => this.pieces.has(box)));
  }
}

/** Whether a cell held another token before. @param {any} piece */
function rewritten(piece) {
  return piece.before !== null && piece.before.token !== piece.token;
}
