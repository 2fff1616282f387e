/** A list of events: read page by page, and kept up to date while they happen. */

import { ApiError, path, request, search } from "./api.js";
import { h, place, setText } from "./dom.js";
import { eventRow } from "./eventrow.js";
import { t } from "./strings.js";
import { hear } from "./world.js";

/**
 * @typedef {import("./world.js").Event} Event
 * @typedef {{from?: string, to?: string, camera?: string, rule?: string, words?: string, severity?: string,
 *   open?: string}} Filter
 */

/** Waiting before what the store says of a new event is read. */
const SETTLE_MS = 150;

/**
 * Whether an event belongs to a search, as far as the page can tell.
 * @param {Event} event
 * @param {Filter} filter
 */
export function fits(event, filter) {
  const same = (/** @type {"camera" | "rule" | "severity"} */ key) => !filter[key] || event[key] === filter[key];
  const open = !event.end;
  const text = `${event.text} ${(event.phrases ?? []).map((/** @type {any} */ phrase) => phrase.text).join(" ")}`.toLowerCase();
  const words = (filter.words ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return (
    same("camera") &&
    same("rule") &&
    same("severity") &&
    (!filter.open || String(open) === filter.open) &&
    (!filter.from || open || Date.parse(event.end ?? "") >= Date.parse(filter.from)) &&
    (!filter.to || Date.parse(event.start) < Date.parse(filter.to)) &&
    words.every((word) => text.includes(word))
  );
}

export class EventList {
  /** @type {Event[]} newest first */
  events = [];
  /** @type {string | null} */
  #next = null;
  /** @type {Filter} */
  #filter = {};
  #options;
  /** @type {AbortController | null} */
  #reading = null;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #waiting = new Map();
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {Map<string, {shape: string, item: HTMLElement}>} */
  #rows = new Map();

  /**
   * @param {import("./dom.js").Scope} scope
   * @param {{limit: number, camera: boolean, paged: boolean, empty: string}} options
   */
  constructor(scope, options) {
    this.#options = options;
    this.list = h("ol", { class: "events" });
    this.note = h("p", { class: "empty", role: "status" });
    this.more = h("button", { type: "button", class: "button", hidden: true, on: { click: () => this.#read(false) } }, t("events.more"));
    this.element = h("div", { class: "stack" }, this.list, this.note, this.more);
    scope.add(hear("event", (event) => this.#take(event)));
    scope.add(hear("clip", (id) => this.events.some((event) => event.id === id) && this.#refresh(id)));
    scope.add(hear("removed", (id) => this.#drop(id)));
    scope.add(hear("events", () => this.#read(true)));
    scope.add(() => {
      this.#reading?.abort();
      for (const timer of this.#waiting.values()) clearTimeout(timer);
    });
  }

  /** @param {() => void} listener */
  changed(listener) {
    this.#listeners.add(listener);
  }

  get complete() {
    return this.#next === null;
  }

  /** @param {Filter} filter */
  async show(filter) {
    this.#filter = filter;
    await this.#read(true);
  }

  /** @param {boolean} fresh */
  async #read(fresh) {
    this.#reading?.abort();
    const reading = new AbortController();
    this.#reading = reading;
    if (fresh && this.events.length === 0) setText(this.note, t("common.loading"));
    this.note.hidden = this.events.length > 0;
    const after = fresh ? undefined : (this.#next ?? undefined);
    this.more.disabled = true;
    try {
      const { data } = await request("GET", path("events") + search({ ...this.#filter, after, limit: this.#options.limit }), {
        signal: reading.signal,
      });
      this.events = fresh ? data.events : [...this.events, ...data.events];
      this.#next = data.next ?? null;
      this.render();
    } catch (error) {
      if (reading.signal.aborted) return;
      const message = error instanceof ApiError ? error.message : String(error);
      if (this.events.length === 0) setText(this.note, t("events.error", { message }));
      this.note.hidden = this.events.length > 0;
    } finally {
      this.more.disabled = false;
    }
  }

  /** @param {Event} event a step */
  #take(event) {
    const at = this.events.findIndex(({ id }) => id === event.id);
    if (!fits(event, this.#filter)) {
      if (at >= 0) this.#drop(event.id);
      return;
    }
    if (at >= 0) {
      this.events[at] = { ...this.events[at], ...event };
    } else {
      const before = this.events.findIndex((other) => other.start < event.start);
      // Older than all that was read: it comes with a later page.
      if (before < 0 && this.#next !== null) return;
      this.events.splice(before < 0 ? this.events.length : before, 0, event);
    }
    this.render();
    this.#refresh(event.id);
  }

  /** @param {string} id of an event of which the store knows more than its step says */
  #refresh(id) {
    clearTimeout(this.#waiting.get(id));
    const timer = setTimeout(async () => {
      this.#waiting.delete(id);
      try {
        const { data } = await request("GET", path("events", id));
        const at = this.events.findIndex((event) => event.id === id);
        if (at >= 0) this.events[at] = data;
        this.render();
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) this.#drop(id);
      }
    }, SETTLE_MS);
    this.#waiting.set(id, timer);
  }

  /** @param {string} id */
  #drop(id) {
    this.events = this.events.filter((event) => event.id !== id);
    this.render();
  }

  render() {
    const { limit, paged, camera, empty } = this.#options;
    if (!paged && this.events.length > limit) this.events.length = limit;
    const rows = new Map();
    const items = this.events.map((event) => {
      const shape = JSON.stringify(event);
      const known = this.#rows.get(event.id);
      const row = known?.shape === shape ? known : { shape, item: h("li", {}, eventRow(event, { camera })) };
      if (known && row !== known && known.item.contains(document.activeElement)) {
        known.item.replaceWith(row.item);
        /** @type {HTMLElement} */ (row.item.firstElementChild).focus();
      }
      rows.set(event.id, row);
      return row.item;
    });
    this.#rows = rows;
    place(this.list, items);
    const filtered = Object.values(this.#filter).some(Boolean);
    setText(this.note, filtered && paged ? t("events.none") : empty);
    this.note.hidden = this.events.length > 0;
    this.more.hidden = !paged || this.#next === null;
    for (const listener of this.#listeners) listener();
  }
}
