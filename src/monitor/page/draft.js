/** Zones, lines and rules of a camera while they are changed: kept until they are saved in one go. */

import { ApiError } from "./api.js";
import { parseDuration } from "./duration.js";
import { wordsOfError } from "./prompt.js";
import { t } from "./strings.js";
import { hear, setWatch, world } from "./world.js";

/**
 * @typedef {import("./world.js").Zone} Zone
 * @typedef {import("./world.js").Line} Line
 * @typedef {import("./world.js").Rule} Rule
 * @typedef {{zones: Zone[], lines: Line[], rules: Rule[]}} Parts
 */

/** Steps that can be undone. */
const MOST_STEPS = 100;

/** What the configuration says if a rule does not. */
const DEFAULTS = /** @type {Record<string, unknown>} */ ({
  anchor: "bottom-center",
  clear: 1,
  direction: "both",
  enabled: true,
  every: 0,
  for: 0,
  frames: 2,
  severity: "alert",
});

/**
 * What says the same becomes the same text: without defaults, keys in order, times in seconds.
 * @param {unknown} value
 * @returns {string}
 */
export function canonical(value) {
  return JSON.stringify(value, (key, part) => {
    if (["for", "clear", "every", "longer_than"].includes(key) && typeof part === "string") {
      return parseDuration(part) ?? part;
    }
    if (part === null || typeof part !== "object" || Array.isArray(part)) return part;
    const entries = Object.entries(part).filter(([name, one]) => {
      const plain = typeof DEFAULTS[name] === "number" && typeof one === "string" ? parseDuration(one) : one;
      return !(name in DEFAULTS && plain === DEFAULTS[name]);
    });
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

export class Draft {
  /** @type {string[]} */
  #undo = [];
  #base = "";
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** The step that goes on, so that a drag is one step. */
  #step = "";
  /** @type {Parts} */
  parts = { zones: [], lines: [], rules: [] };
  /** Whether somebody else changed what is changed here. */
  overtaken = false;
  saving = false;

  /**
   * @param {string} camera
   * @param {import("./dom.js").Scope} scope
   */
  constructor(camera, scope) {
    this.camera = camera;
    this.discard();
    scope.add(hear("config", () => this.#rebase()));
  }

  #current() {
    const camera = world.camera(this.camera);
    return JSON.stringify({ zones: camera?.zone ?? [], lines: camera?.line ?? [], rules: camera?.rule ?? [] });
  }

  get dirty() {
    return canonical(this.parts) !== canonical(JSON.parse(this.#base));
  }

  get undoable() {
    return this.#undo.length > 0;
  }

  /** @param {() => void} listener is told of each change */
  changed(listener) {
    this.#listeners.add(listener);
  }

  #tell() {
    for (const listener of this.#listeners) listener();
  }

  /**
   * Changes the parts. Changes with the same name in a row are one step for undoing, if they have one.
   * @param {(parts: Parts) => void} change
   * @param {string} [step]
   */
  change(change, step = "") {
    const before = JSON.stringify(this.parts);
    change(this.parts);
    if (JSON.stringify(this.parts) !== before && (step === "" || step !== this.#step)) {
      this.#undo.push(before);
      if (this.#undo.length > MOST_STEPS) this.#undo.shift();
    }
    this.#step = step;
    this.#tell();
  }

  /** Ends a step of several changes. */
  settle() {
    this.#step = "";
  }

  undo() {
    const before = this.#undo.pop();
    if (before === undefined) return;
    this.parts = JSON.parse(before);
    this.#step = "";
    this.#tell();
  }

  discard() {
    this.#base = this.#current();
    this.parts = JSON.parse(this.#base);
    this.#undo = [];
    this.#step = "";
    this.overtaken = false;
    this.#tell();
  }

  #rebase() {
    const current = this.#current();
    if (canonical(JSON.parse(current)) === canonical(JSON.parse(this.#base))) {
      this.#tell();
    } else if (!this.dirty || canonical(JSON.parse(current)) === canonical(this.parts)) {
      this.discard();
    } else {
      this.overtaken = true;
      this.#base = current;
      this.#tell();
    }
  }

  /**
   * Switches a rule that is saved, at once.
   * @param {string} id
   * @param {boolean} enabled
   */
  adoptEnabled(id, enabled) {
    const set = (/** @type {Parts} */ parts) => {
      const rule = parts.rules.find((rule) => rule.id === id);
      if (rule && enabled) delete rule.enabled;
      else if (rule) rule.enabled = false;
    };
    const base = JSON.parse(this.#base);
    set(base);
    set(this.parts);
    this.#base = JSON.stringify(base);
  }

  /** @returns {Promise<string>} what went wrong, in words; empty if it is saved */
  async save() {
    this.saving = true;
    this.#tell();
    try {
      await setWatch(this.camera, structuredClone(this.parts), world.revision);
      this.discard();
      return "";
    } catch (error) {
      const moved = error instanceof ApiError && error.conflict && !this.overtaken;
      return wordsOfError(error, t(moved ? "draft.moved" : "draft.conflict"));
    } finally {
      this.saving = false;
      this.#tell();
    }
  }
}

/**
 * All conditions in a condition, itself first.
 * @param {any} condition
 * @returns {any[]}
 */
export function conditionsOf(condition) {
  const within = Array.isArray(condition?.of) ? condition.of : condition?.of ? [condition.of] : [];
  return [condition, ...within.flatMap(conditionsOf)];
}

/**
 * Ids of the rules that use a query, a zone or a line.
 * @param {Rule[]} rules
 * @param {"query" | "zone" | "line"} kind
 * @param {string} id
 */
export function usersOf(rules, kind, id) {
  return rules.filter((rule) => conditionsOf(rule.when).some((one) => one?.[kind] === id)).map((rule) => rule.id);
}

/**
 * Whether it can be the id of a zone, a line or a rule.
 * @param {string} id
 */
export function isName(id) {
  return /^[A-Za-z0-9_-]{1,64}$/.test(id);
}

/**
 * A free name such as `zone-2`.
 * @param {string} stem
 * @param {{id: string}[]} taken
 */
export function freeName(stem, taken) {
  let name = stem;
  for (let n = 2; taken.some(({ id }) => id === name); n += 1) name = `${stem}-${n}`;
  return name;
}
