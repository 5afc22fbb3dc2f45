// Who wrote a token, as a colour: the model itself, a drafter whose guess was accepted, or a step of an
// any-order method. Drafters take the colours in the order in which they turn up, the same on the whole page.

import { make } from "./dom.js";

const OWN = "own";
const STEP = "step";
const GIVEN = "given"; // fixed text of a template
const COLOURS = 7; // of drafters, in style.css; more drafters share them

/** @type {Map<string, number>} */
const drafters = new Map();
/** @type {Set<() => void>} */
const listeners = new Set();
let steps = false;
let own = false;

/** The class that colours a token. @param {string} by */
export function colourOf(by) {
  if (by === GIVEN) return "given";
  if (by === STEP) {
    if (!steps) note(() => (steps = true));
    return "by-step";
  }
  if (by === OWN) {
    if (!own) note(() => (own = true));
    return "by-own";
  }
  if (!drafters.has(by)) note(() => drafters.set(by, drafters.size % COLOURS));
  return `by-${drafters.get(by)}`;
}

/** Who wrote a token, in words. @param {string} by */
export function writer(by) {
  if (by === OWN) return "the model itself";
  if (by === GIVEN) return "the template";
  if (by === STEP) return "a step of the method";
  return by ? `a guess of ${by}, accepted` : "a guess, accepted";
}

/** @param {() => void} change */
function note(change) {
  change();
  for (const listener of listeners) listener();
}

/** A legend that grows with what has been seen. @returns {HTMLElement} */
export function legend() {
  const list = make("ul", { class: "legend", "aria-label": "Colours: who wrote a token" });
  const entry = (/** @type {string} */ kind, /** @type {string} */ text) =>
    make("li", {}, make("i", { class: `swatch ${kind}`, "aria-hidden": "true" }), text);
  const renew = () => {
    list.replaceChildren();
    if (own) list.append(entry("by-own", "the model's own token"));
    for (const [name, colour] of drafters)
      list.append(entry(`by-${colour}`, `accepted from ${name || "a drafter"}`));
    if (steps) list.append(entry("scale", "written early → late"), entry("hole", "not written yet"));
    list.hidden = !list.children.length;
  };
  listeners.add(renew);
  renew();
  return list;
}
