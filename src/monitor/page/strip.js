/** A day with a mark for each event, camera by camera. */

import { path, request, search } from "./api.js";
import { h, iconButton, fill, setText, svg } from "./dom.js";
import { fits } from "./eventlist.js";
import { eventLink } from "./eventrow.js";
import { clock, day } from "./format.js";
import { t } from "./strings.js";
import { hear, world } from "./world.js";

/** @typedef {import("./world.js").Event} Event */

const ROW = 18;
const WIDTH = 1440;
/** Least width of a mark, in minutes. */
const LEAST = 4;
/** Most events that are read of a day. */
const MOST = 1000;

export class DayStrip {
  /** @type {import("./eventlist.js").Filter} */
  #filter = {};
  /** @type {Event[]} newest first */
  #events = [];
  #more = false;
  #start = startOfDay(new Date());
  #chosen = "";
  #reading = 0;

  /** @param {import("./dom.js").Scope} scope */
  constructor(scope) {
    this.title = h("h2", {});
    this.next = iconButton("next", t("strip.next"), () => this.go(1));
    this.today = h("button", { type: "button", class: "button small", on: { click: () => this.#goTo(startOfDay(new Date())) } }, t("strip.today"));
    this.chart = h("div", { class: "chart" });
    this.note = h("p", { class: "quiet" });
    this.element = h(
      "section",
      { class: "strip", "aria-label": t("strip.title") },
      h("div", { class: "row" }, iconButton("previous", t("strip.previous"), () => this.go(-1)), this.title, this.next, this.today, h("span", { class: "grow" }), this.note),
      this.chart,
    );
    this.chart.addEventListener("keydown", (event) => this.#key(event));
    scope.add(hear("event", (event) => this.#take(event)));
    scope.add(hear("events", () => this.#read()));
    scope.add(hear("removed", (id) => this.#set(this.#events.filter((event) => event.id !== id))));
    scope.add(hear("config", () => this.#render()));
    scope.every(60_000, () => this.#render());
  }

  /** @param {import("./eventlist.js").Filter} filter */
  show(filter) {
    this.#filter = { ...filter, from: undefined, to: undefined };
    if (filter.from) this.#start = startOfDay(new Date(filter.from));
    this.#read();
  }

  /** @param {number} days */
  go(days) {
    const to = new Date(this.#start);
    to.setDate(to.getDate() + days);
    if (to <= new Date()) this.#goTo(to);
  }

  /** @param {Date} start */
  #goTo(start) {
    this.#start = start;
    this.#read();
  }

  get #end() {
    const end = new Date(this.#start);
    end.setDate(end.getDate() + 1);
    return end;
  }

  async #read() {
    const reading = (this.#reading += 1);
    const [from, to] = [this.#start.toISOString(), this.#end.toISOString()];
    try {
      const { data } = await request("GET", path("events") + search({ ...this.#filter, from, to, limit: MOST }));
      if (reading !== this.#reading) return;
      this.#more = Boolean(data.next);
      this.#set(data.events);
    } catch {
      // The list below says what is wrong.
      if (reading === this.#reading) this.#set([]);
    }
  }

  /** @param {Event[]} events */
  #set(events) {
    this.#events = events;
    this.#render();
  }

  /** @param {Event} event */
  #take(event) {
    const within = Date.parse(event.start) < this.#end.getTime() && (!event.end || Date.parse(event.end) >= this.#start.getTime());
    const rest = this.#events.filter(({ id }) => id !== event.id);
    this.#set(within && fits(event, this.#filter) ? [event, ...rest].sort((a, b) => (a.start < b.start ? 1 : -1)) : rest);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const by = { ArrowLeft: 1, ArrowRight: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || this.#events.length === 0) return;
    event.preventDefault();
    const at = this.#events.findIndex(({ id }) => id === this.#chosen);
    const to = this.#events[Math.min(Math.max(at + by, 0), this.#events.length - 1)];
    this.#chosen = to.id;
    this.#render();
    this.#focus();
  }

  #focus() {
    /** @type {SVGElement | null} */ (this.chart.querySelector('[tabindex="0"]'))?.focus();
  }

  #render() {
    const isToday = startOfDay(new Date()).getTime() === this.#start.getTime();
    setText(this.title, day(this.#start));
    this.next.disabled = isToday;
    this.today.hidden = isToday;
    setText(this.note, this.#events.length === 0 ? t("strip.nothing") : this.#more ? t("strip.more", { n: MOST }) : "");
    const known = world.cameras().map(({ name }) => name);
    const gone = [...new Set(this.#events.map(({ camera }) => camera))].filter((name) => !known.includes(name));
    const cameras = this.#filter.camera ? [this.#filter.camera] : [...known, ...gone];
    if (!this.#events.some(({ id }) => id === this.#chosen)) this.#chosen = this.#events[0]?.id ?? "";
    const held = this.chart.contains(document.activeElement);
    const names = h("ul", { class: "names", "aria-hidden": "true" }, cameras.map((name) => h("li", {}, name)));
    const height = Math.max(cameras.length, 1) * ROW;
    const hours = Array.from({ length: 25 }, (_, hour) =>
      svg("line", { class: hour % 6 === 0 ? "hour main" : "hour", x1: hour * 60, x2: hour * 60, y1: 0, y2: height }),
    );
    const ticks = h("ol", { class: "ticks", "aria-hidden": "true" }, [0, 6, 12, 18, 24].map((hour) => h("li", {}, `${hour}:00`)));
    const picture = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", height, role: "group", "aria-label": t("strip.label", { day: day(this.#start) }) },
      hours,
      isToday && svg("line", { class: "clock", x1: this.#minute(new Date()), x2: this.#minute(new Date()), y1: 0, y2: height }),
      [...this.#events].reverse().map((event) => this.#mark(event, cameras.indexOf(event.camera))),
    );
    fill(this.chart, names, h("div", { class: "plot" }, picture, ticks));
    if (held) this.#focus();
  }

  /** @param {Date} time */
  #minute(time) {
    const length = this.#end.getTime() - this.#start.getTime();
    const part = (time.getTime() - this.#start.getTime()) / length;
    return Math.min(1, Math.max(0, part)) * WIDTH;
  }

  /**
   * @param {Event} event
   * @param {number} row
   */
  #mark(event, row) {
    const from = this.#minute(new Date(event.start));
    const to = this.#minute(event.end ? new Date(event.end) : new Date());
    const width = Math.max(to - from, LEAST);
    const label = t("strip.mark", { time: clock(event.start), camera: event.camera, rule: event.rule, text: event.text });
    const link = svg(
      "a",
      { href: eventLink(event.id), class: `mark ${event.severity}`, tabindex: event.id === this.#chosen ? 0 : -1, "aria-label": label },
      svg("title", {}, label),
      svg("rect", { x: Math.min(from, WIDTH - width), y: row * ROW + 3, width, height: ROW - 6 }),
    );
    return link;
  }
}

/** @param {Date} date */
function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}

