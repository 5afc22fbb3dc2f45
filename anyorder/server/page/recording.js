// A recording: a trace's records, and what the canvas holds after each step.
//
// A row that grows at its end is a chain of pieces, each knowing the one before it, so that rows may fork and
// every state costs one reference per row. An any-order canvas is an array of pieces per state, null: a hole.

const VERSION = 2;

/**
 * @typedef {{step: number, ms: number, rows?: number, given?: {at: number[], texts: string[]},
 *   asked: Asked[], committed: Committed[]}} Step
 *   ms: since the start; rows: how many there are now; given, of the first: fixed text
 * @typedef {{net: string, cells: number, why?: string,
 *   rows: {row: number, cells: number[]|null, guess: Guess[]}[]}} Asked
 * @typedef {{token: number, text: string|null, parent: number, by: string, p: number|null}} Guess
 * @typedef {{row: number, parent: number, token: number[], texts: (string|null)[], accepted: number[],
 *   probability: (number|null)[]|null, by: string[], at: number[]|null, cut: number|null,
 *   ended: string|null}} Committed
 * @typedef {{step: Step, row: Committed, i: number, text: string|null, token: number, by: string,
 *   p: number|null, depth: number, before: Piece|null}} Piece
 *   before: what stands before it in its row; of cells: what its cell held last
 */

export class Recording {
  /** @param {any} header */
  constructor(header) {
    this.header = header;
    this.cells = header.canvas === "cells";
    /** @type {Step[]} */
    this.steps = [];
    /** @type {any} */
    this.end = null;
    /** @type {Piece[][]} what each cell of a row held last, holes left out */
    this.past = [];
    /** @type {(Piece|null)[][]|(Piece|null)[][][]} state k: after k steps */
    this.states = [this.cells ? [Array(header.cells || 0).fill(null)] : [null]];
    /** @type {{tokens: number, runs: number, ms: number}[]} */
    this.counts = [{ tokens: 0, runs: 0, ms: 0 }];
  }

  get length() {
    return this.steps.length;
  }

  /** @param {Step} step */
  add(step) {
    if (step.given) this._give(step);
    const last = this.states[this.length];
    this.steps.push(step);
    const next = last.slice(0, step.rows ?? last.length);
    for (const row of step.committed) {
      const from = /** @type {any} */ (last[row.parent] ?? null);
      next[row.row] = this.cells
        ? filled(from ?? [], step, row, (this.past[row.row] ??= []))
        : grown(from, step, row);
    }
    this.states.push(/** @type {any} */ (next));
    const before = this.counts[this.length - 1];
    const runs = step.asked.filter((ask) => ask.net === "target").length;
    this.counts.push({ tokens: this.written(this.length), runs: before.runs + runs, ms: step.ms });
  }

  /** Fixed text between the holes is there from the start. @param {Step} step */
  _give(step) {
    const { at, texts } = /** @type {{at: number[], texts: string[]}} */ (step.given);
    const row = {
      row: 0,
      parent: 0,
      token: at.map(() => -1),
      texts,
      accepted: [],
      probability: null,
      by: at.map(() => "given"),
      at,
      cut: null,
      ended: null,
    };
    this.states[0] = [filled(/** @type {any} */ (this.states[0][0]), step, row, (this.past[0] ??= []))];
  }

  /** Tokens of the first row after k steps; cells without text are not counted. @param {number} k */
  written(k) {
    const first = /** @type {any} */ (this.states[k][0]);
    if (this.cells) return first.filter((/** @type {Piece|null} */ cell) => cell?.text).length;
    return first === null ? 0 : first.depth + 1;
  }
}

/**
 * A chain with a commit's tokens behind it.
 * @param {Piece|null} head @param {Step} step @param {Committed} row
 */
function grown(head, step, row) {
  row.token.forEach((_, i) => {
    head = piece(step, row, i, head, head === null ? 0 : head.depth + 1);
  });
  return head;
}

/**
 * A canvas with a commit's tokens in their cells.
 * @param {(Piece|null)[]} old @param {Step} step @param {Committed} row @param {Piece[]} past
 */
function filled(old, step, row, past) {
  const cells = old.slice();
  (row.at || []).forEach((at, i) => {
    if (at < 0) return; // a cell of the prompt
    while (cells.length <= at) cells.push(null);
    cells[at] = row.texts[i] === null ? null : piece(step, row, i, past[at] ?? null, at);
    if (cells[at] !== null) past[at] = /** @type {Piece} */ (cells[at]);
  });
  if (row.cut !== null && row.cut !== undefined) cells.length = Math.min(cells.length, Math.max(0, row.cut));
  return cells;
}

/**
 * @param {Step} step @param {Committed} row @param {number} i
 * @param {Piece|null} before @param {number} depth
 * @returns {Piece}
 */
function piece(step, row, i, before, depth) {
  return {
    step,
    row,
    i,
    before,
    depth,
    token: row.token[i],
    text: String(row.texts[i] ?? ""),
    by: row.by[i] ?? "own",
    p: row.probability?.[i] ?? null,
  };
}

/**
 * The guesses that a piece's step judged: the tree of the target's last run for its row.
 * @param {Piece} piece @returns {Guess[]}
 */
export function treeOf(piece) {
  const last = piece.step.asked.filter((ask) => ask.net === "target").at(-1);
  return last?.rows.find((row) => row.row === piece.row.parent)?.guess ?? [];
}

/** A saved trace. Throws an Error that says what is wrong. @param {string} text @param {string} name */
export function parse(text, name) {
  const lines = text.split("\n").filter((line) => line.trim());
  const records = lines.map((line, i) => record(line, i, name));
  const [header, ...rest] = records;
  const version = header?.anyorder_trace;
  if (version === undefined) {
    throw new Error(
      `${name} is not a trace of this version: its first line has no "anyorder_trace"; ` +
        `allowed is version ${VERSION}; record it anew with: anyorder generate … --trace FILE`,
    );
  }
  if (version !== VERSION) {
    throw new Error(
      `${name} is a trace of version ${String(version).slice(0, 20)}; this page reads version ${VERSION}; ` +
        `record it anew or open it with the anyorder that wrote it`,
    );
  }
  return recorded([header, ...rest], name);
}

/** @param {string} line @param {number} i @param {string} name */
function record(line, i, name) {
  try {
    const made = JSON.parse(line);
    if (made && typeof made === "object" && !Array.isArray(made)) return made;
  } catch {
    // said below, like a line that is JSON but no object
  }
  throw new Error(`${name}, line ${i + 1}, is not a JSON object; a trace has one a line; record it anew`);
}

const CELLS = 1 << 20; // more than any canvas has

/** A recording of a trace's records. Throws an Error. @param {any[]} records @param {string} name */
export function recorded([header, ...rest], name) {
  if (header.cells > CELLS) throw new Error(`${name} names ${header.cells} cells, which no canvas has`);
  const made = new Recording(header);
  rest.forEach((line, i) => {
    if (line.end) made.end = line.end;
    else if (sound(line)) made.add(line);
    else throw new Error(`${name}, line ${i + 2}, is neither a step nor the end of a trace; record it anew`);
  });
  return made;
}

/** Whether a record has what a step needs. @param {any} line */
function sound(line) {
  return (
    Array.isArray(line.asked) &&
    line.asked.every((/** @type {any} */ ask) => Array.isArray(ask.rows)) &&
    Array.isArray(line.committed) &&
    line.committed.every(
      (/** @type {any} */ r) => Number.isInteger(r.row) && [r.token, r.texts, r.by].every(Array.isArray),
    )
  );
}
