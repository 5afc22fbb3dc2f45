// Controls made from options as the cards declare them. Only what was changed from its default is sent.

import { make } from "./dom.js";

/**
 * @typedef {{name: string, type: string, default: any, help: string, low: number|null, high: number|null,
 *   choices: any[], allowed: string, needed?: boolean}} Option
 */

let count = 0; // makes ids that no other control has

export class Form {
  /** @param {Option[]} options */
  constructor(options) {
    /** @type {{option: Option, control: any}[]} */
    this.fields = options.map((option) => ({ option, control: control(option) }));
    this.root = make(
      "div",
      { class: "options" },
      ...this.fields.map(({ option, control: c }) => labelled(option, c)),
    );
  }

  /** What was changed, by name. */
  values() {
    /** @type {Record<string, any>} */
    const out = {};
    for (const { option, control: c } of this.fields) {
      const value = read(option, c);
      if (value !== undefined && value !== option.default) out[option.name] = value;
    }
    return out;
  }

  /** Put values in. @param {Record<string, any>} given */
  take(given) {
    for (const { option, control: c } of this.fields) {
      if (!(option.name in given)) continue;
      if (option.type === "bool") c.checked = given[option.name];
      else c.value = String(given[option.name]);
    }
  }
}

/** @param {Option} option */
function control(option) {
  const id = `option-${(count += 1)}`;
  const about = { id, name: option.name, "aria-describedby": `${id}-help` };
  if (option.type === "bool")
    return make("input", { ...about, type: "checkbox", checked: option.default === true });
  if (option.choices?.length) {
    const items = option.choices.map((c) =>
      make("option", { value: c, text: c, selected: c === option.default }),
    );
    return make("select", about, ...items);
  }
  if (option.type === "int" || option.type === "float") {
    return make("input", {
      ...about,
      type: "number",
      inputmode: "decimal",
      min: option.low,
      max: option.high,
      step: option.type === "int" ? 1 : "any",
      value: option.default,
    });
  }
  const plain = option.default === null || typeof option.default === "object" ? "" : option.default;
  return make("input", {
    ...about,
    type: "text",
    value: plain,
    required: option.needed,
    spellcheck: "false",
    autocomplete: "off",
    placeholder: option.allowed === "str" ? null : option.allowed,
  });
}

/** @param {Option} option @param {any} c */
function labelled(option, c) {
  const name = option.name.replaceAll("_", " ");
  const range = option.type === "int" || option.type === "float" ? ranged(option) : "";
  return make(
    "div",
    { class: `field ${option.type}` },
    make("label", { for: c.id, text: name }),
    c,
    make("small", { id: `${c.id}-help`, text: option.help + range }),
  );
}

/** @param {Option} option */
function ranged({ low, high }) {
  const from = low === null || low === undefined ? "" : ` from ${low}`;
  const to = high === null || high === undefined ? "" : ` to ${high}`;
  return from || to ? ` (${(from + to).trim()})` : "";
}

/** A control's value in the option's type; undefined: left empty. @param {Option} option @param {any} c */
function read(option, c) {
  if (option.type === "bool") return c.checked;
  if (c.value === "" || c.validity?.badInput) return option.type === "str" ? "" : undefined;
  if (option.choices?.length) return option.choices.find((choice) => String(choice) === c.value);
  return option.type === "int" || option.type === "float" ? Number(c.value) : c.value;
}
