// The guesses of one step as a tree, from left to right: the accepted path bold, the rest faint.

import { draw, visible } from "./dom.js";
import { colourOf } from "./sources.js";

const WIDE = 96; // px from a guess to the next on its path
const HIGH = 24; // px from one line of guesses to the next
const MOST = 128; // guesses drawn

/**
 * @param {import("./recording.js").Guess[]} guesses @param {Set<number>} accepted nodes of the path
 * @returns {SVGElement}
 */
export function treeDrawing(guesses, accepted) {
  const shown = guesses.slice(0, MOST);
  const places = placed(shown);
  const wide = (Math.max(0, ...places.map((p) => p.depth)) + 1) * WIDE + 8;
  const high = (Math.max(0, ...places.map((p) => p.line)) + 1) * HIGH + 8;
  const edges = draw("g", { class: "edges" });
  const nodes = draw("g", { class: "nodes" });
  nodes.append(draw("circle", { cx: 8, cy: HIGH / 2 + 4, r: 4, class: "root" }));
  shown.forEach((guess, i) => {
    const from = guess.parent < 0 ? { x: 12, y: HIGH / 2 + 4 } : right(places[guess.parent]);
    const to = left(places[i]);
    const taken = accepted.has(i);
    edges.append(draw("path", { d: curve(from, to), class: taken ? "taken" : "" }));
    nodes.append(node(guess, to, taken));
  });
  const said = `${guesses.length} guesses, ${accepted.size} accepted`;
  return draw(
    "svg",
    {
      class: "tree",
      width: wide,
      height: high,
      viewBox: `0 0 ${wide} ${high}`,
      role: "img",
      "aria-label": said,
    },
    edges,
    nodes,
  );
}

/** Where guesses stand: depth, and a line, which a first child shares. @param {any[]} guesses */
function placed(guesses) {
  const children = new Map();
  guesses.forEach((guess, i) => children.set(guess.parent, [...(children.get(guess.parent) || []), i]));
  /** @type {{depth: number, line: number}[]} */
  const places = guesses.map(() => ({ depth: 0, line: 0 }));
  let line = 0;
  const open = (children.get(-1) || []).map((/** @type {number} */ i) => [i, 0]).reverse();
  while (open.length) {
    const [i, depth] = open.pop();
    places[i] = { depth, line };
    const below = children.get(i) || [];
    if (!below.length) line += 1;
    open.push(...below.map((/** @type {number} */ child) => [child, depth + 1]).reverse());
  }
  return places;
}

/** @param {{depth: number, line: number}} place */
function left({ depth, line }) {
  return { x: 26 + depth * WIDE, y: line * HIGH + HIGH / 2 + 4 };
}

/** @param {{depth: number, line: number}} place */
function right(place) {
  const { x, y } = left(place);
  return { x: x + WIDE - 22, y };
}

/** @param {{x: number, y: number}} a @param {{x: number, y: number}} b */
function curve(a, b) {
  const middle = (a.x + b.x) / 2;
  return `M${a.x} ${a.y}C${middle} ${a.y} ${middle} ${b.y} ${b.x} ${b.y}`;
}

/** @param {import("./recording.js").Guess} guess @param {{x: number, y: number}} at @param {boolean} taken */
function node(guess, at, taken) {
  const text = visible(guess.text);
  const short = text.length > 9 ? `${text.slice(0, 8)}…` : text;
  const chance = guess.p === null ? "" : `, probability ${(100 * guess.p).toFixed(1)} %`;
  return draw(
    "g",
    { class: `node ${colourOf(guess.by)}${taken ? " taken" : ""}`, transform: `translate(${at.x} ${at.y})` },
    draw("title", {
      text: `${text}${chance}, guessed by ${guess.by || "a drafter"}, ${taken ? "accepted" : "rejected"}`,
    }),
    draw("rect", { x: 0, y: -9, width: WIDE - 22, height: 18, rx: 4 }),
    draw("text", { x: 6, y: 4, text: short }),
  );
}
