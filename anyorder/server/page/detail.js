// The panel below a text: what is known of the token under the pointer or the keyboard's mark.

import { make, visible } from "./dom.js";
import { writer } from "./sources.js";
import { treeDrawing } from "./tree.js";
import { treeOf } from "./recording.js";

const REJECTED = 12; // listed by name
const HINT =
  "Point at a token, or use the arrow keys, to see its probability, its writer and what was rejected.";

export class Detail {
  constructor() {
    this.root = make("section", {
      class: "detail",
      "aria-live": "polite",
      "aria-label": "Details of a token",
    });
    this.clear();
  }

  clear() {
    this.piece = null;
    this.root.replaceChildren(make("p", { class: "hint", text: HINT }));
  }

  /** @param {import("./recording.js").Piece} piece @param {number} steps */
  show(piece, steps) {
    if (this.piece === piece) return;
    this.piece = piece;
    const guesses = treeOf(piece);
    const accepted = new Set(piece.row.accepted || []);
    this.root.replaceChildren(
      make(
        "h3",
        {},
        make("code", { text: visible(piece.text) }),
        piece.token < 0 ? "" : ` token ${piece.token}`,
      ),
      facts(piece, steps),
      ...rejections(guesses, accepted, piece),
      ...history(piece),
    );
    if (guesses.length) {
      this.root.append(make("div", { class: "tree-frame" }, treeDrawing(guesses, accepted)));
    }
  }
}

/** @param {import("./recording.js").Piece} piece @param {number} steps */
function facts(piece, steps) {
  const { step } = piece;
  const list = make("dl");
  const say = (/** @type {string} */ name, /** @type {any} */ value) =>
    list.append(make("div", {}, make("dt", { text: name }), make("dd", {}, value)));
  say("probability", piece.p === null ? "not asked for" : chance(piece.p));
  say("written by", writer(piece.by));
  say("step", `${step.step + 1} of ${steps}`);
  say("runs", runs(step));
  const why = step.asked
    .map((ask) => ask.why)
    .filter(Boolean)
    .join("; ");
  if (why) say("why", why);
  if (piece.row.ended && piece.i === piece.row.token.length - 1) say("ended by", piece.row.ended);
  return list;
}

/** A probability as a number and a bar. @param {number} p */
function chance(p) {
  const bar = make("i", { class: "bar-of", "aria-hidden": "true" });
  bar.style.setProperty("--p", `${100 * p}%`);
  return make("span", { class: "chance" }, `${(100 * p).toFixed(p < 0.0995 ? 2 : 1)} %`, bar);
}

/** What was run in a step: "draft twice, target over 5 cells". @param {import("./recording.js").Step} step */
function runs(step) {
  const nets = new Map();
  for (const ask of step.asked) {
    const [count, cells] = nets.get(ask.net) || [0, 0];
    nets.set(ask.net, [count + 1, cells + ask.cells]);
  }
  const words = [...nets].map(([net, [count, cells]]) => `${count} of ${net} over ${cells} cells`);
  return words.join(", ") || "none";
}

/**
 * @param {import("./recording.js").Guess[]} guesses @param {Set<number>} accepted
 * @param {import("./recording.js").Piece} piece
 */
function rejections(guesses, accepted, piece) {
  if (!guesses.length) return [];
  const here = piece.i === 0 ? -1 : (piece.row.accepted[piece.i - 1] ?? -2);
  const out = guesses.map((guess, i) => ({ guess, i })).filter(({ i }) => !accepted.has(i));
  const beside = out.filter(({ guess }) => guess.parent === here);
  const list = (beside.length ? beside : out).slice(0, REJECTED).map(({ guess }) => rejected(guess));
  const count = `${accepted.size} of ${guesses.length} guesses of this step accepted`;
  const what = beside.length ? "rejected in its place" : "rejected in this step";
  return [
    make("p", { class: "count", text: list.length ? `${count}; ${what}:` : `${count}.` }),
    make("ul", { class: "rejected" }, ...list),
  ];
}

/** @param {import("./recording.js").Guess} guess */
function rejected(guess) {
  const p = guess.p === null ? "" : ` ${(100 * guess.p).toFixed(1)} %`;
  return make(
    "li",
    {},
    make("code", { text: visible(guess.text) }),
    make("small", { text: `${p} ${guess.by}` }),
  );
}

/** What a cell held before. @param {import("./recording.js").Piece} piece */
function history(piece) {
  if (!piece.row.at || piece.before === null) return [];
  const items = [];
  for (let old = /** @type {any} */ (piece.before); old; old = old.before) {
    items.push(
      make(
        "li",
        {},
        make("code", { text: visible(old.text) }),
        make("small", { text: ` step ${old.step.step + 1}` }),
      ),
    );
  }
  return [
    make("p", { class: "count", text: "in this cell before:" }),
    make("ul", { class: "rejected" }, ...items),
  ];
}
