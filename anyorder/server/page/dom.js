// Elements from plain values. What comes from a model, a trace or a server goes in as text, never as HTML.

/**
 * An element. `on` holds listeners by event, `text` its text; everything else is an attribute.
 * @param {string} tag
 * @param {Record<string, any>} [given]
 * @param {...(Node|string|null)} children
 * @returns {any}
 */
export function make(tag, given = {}, ...children) {
  return fill(document.createElement(tag), given, children);
}

/**
 * The same for a drawing.
 * @param {string} tag
 * @param {Record<string, any>} [given]
 * @param {...(Node|string|null)} children
 * @returns {any}
 */
export function draw(tag, given = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), given, children);
}

/** @param {Element} element @param {Record<string, any>} given @param {(Node|string|null)[]} children */
function fill(element, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "text") element.textContent = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A token's text with its blanks made visible. @param {string|null} text */
export function visible(text) {
  if (text === null) return "▢";
  if (text === "") return "∅";
  return text
    .replace(/^ +| +$/g, (blanks) => "␣".repeat(blanks.length))
    .replace(/\n/g, "⏎")
    .replace(/\t/g, "⇥");
}

/** A number for people. @param {number|null|undefined} value @param {number} digits */
export function figure(value, digits) {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}
