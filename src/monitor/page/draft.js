/** Zones, lines and rules of a camera while they are changed: kept until they are saved in one go. */

import { ApiError } from "./api.js";
import { canonical } from "./document.js";
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
