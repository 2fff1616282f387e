/** The timeline of events: a search, a day, a list. */

import { fill, h } from "./dom.js";
import { choice } from "./condition.js";
import { DayStrip } from "./strip.js";
import { EventList } from "./eventlist.js";
import { asInstant, asTyped } from "./format.js";
import { t } from "./strings.js";
import { hear, world } from "./world.js";

/** Waiting behind the last key before words are searched. */
const TYPING_MS = 250;
const KEYS = /** @type {const} */ (["camera", "rule", "words", "severity", "open", "from", "to"]);

/**
 * @param {HTMLElement} main
 * @param {import("./dom.js").Scope} scope
 * @param {URLSearchParams} asked
 */
export function eventsView(main, scope, asked) {
  document.title = `${t("events.title")} · ${t("app.name")}`;
  const list = new EventList(scope, { limit: 50, camera: true, paged: true, empty: t("events.none.at-all") });
  const strip = new DayStrip(scope);
  const now = (/** @type {string} */ key) => asked.get(key) ?? "";
  const fields = {
    camera: choice([["", t("events.camera.all")]], "", { id: "filter-camera" }),
    rule: choice([["", t("events.rule.all")]], "", { id: "filter-rule" }),
    words: h("input", { id: "filter-words", type: "search", value: now("words"), maxlength: 200, autocomplete: "off" }),
    severity: choice(
      [["", t("events.severity.all")], ...["alert", "detection"].map((one) => /** @type {[string, string]} */ ([one, t(`severity.${one}`)]))],
      now("severity"),
      { id: "filter-severity" },
    ),
    open: choice(
      ["", "true", "false"].map((one) => [one, t(`events.open.${one || "all"}`)]),
      now("open"),
      { id: "filter-open" },
    ),
    from: h("input", { id: "filter-from", type: "datetime-local", value: asTyped(now("from")) }),
    to: h("input", { id: "filter-to", type: "datetime-local", value: asTyped(now("to")) }),
  };
  const choices = () => {
    const cameras = world.cameras();
    const rules = [...new Set(cameras.flatMap(({ rule = [] }) => rule.map(({ id }) => id)))].sort();
    const set = (/** @type {HTMLSelectElement} */ select, /** @type {string} */ all, /** @type {string[]} */ ids, /** @type {string} */ kept) => {
      // An event may be of a camera or rule that is gone: what was asked for stays.
      const values = kept && !ids.includes(kept) ? [...ids, kept] : ids;
      fill(select, h("option", { value: "" }, all), values.map((id) => h("option", { value: id }, id)));
      select.value = kept;
    };
    set(fields.camera, t("events.camera.all"), cameras.map(({ name }) => name), fields.camera.value || now("camera"));
    set(fields.rule, t("events.rule.all"), rules, fields.rule.value || now("rule"));
  };
  choices();
  const values = () => {
    const { camera, rule, words, severity, open, from, to } = fields;
    return {
      camera: camera.value,
      rule: rule.value,
      words: words.value.trim(),
      severity: severity.value,
      open: open.value,
      from: asInstant(from.value),
      to: asInstant(to.value),
    };
  };
  const show = () => {
    const filter = values();
    const kept = KEYS.filter((key) => filter[key]).map((key) => [key, filter[key]]);
    const text = new URLSearchParams(kept).toString();
    // The address can be kept and sent; going back leaves the search as a whole.
    history.replaceState(null, "", text ? `#/events?${text}` : "#/events");
    reset.hidden = kept.length === 0;
    list.show(filter);
    strip.show(filter);
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  scope.add(() => clearTimeout(typing));
  fields.words.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(show, TYPING_MS);
  });
  for (const [key, input] of Object.entries(fields)) if (key !== "words") input.addEventListener("change", show);
  const reset = h(
    "button",
    {
      type: "button",
      class: "button small",
      on: {
        click: () => {
          for (const input of Object.values(fields)) input.value = "";
          show();
          fields.words.focus();
        },
      },
    },
    t("events.reset"),
  );
  const labelled = (/** @type {typeof KEYS[number]} */ key) =>
    h("div", { class: `field ${key}` }, h("label", { for: `filter-${key}` }, t(`events.${key}`)), fields[key]);
  const form = h(
    "form",
    { class: "filter", role: "search", "aria-label": t("events.filter"), on: { submit: (/** @type {Event} */ event) => (event.preventDefault(), show()) } },
    labelled("words"),
    labelled("camera"),
    labelled("rule"),
    labelled("severity"),
    labelled("open"),
    labelled("from"),
    labelled("to"),
    reset,
  );
  const count = h("p", { class: "quiet", role: "status" });
  list.changed(() => {
    const n = list.events.length;
    count.textContent = n === 0 ? "" : t(list.complete ? "events.count" : "events.count.more", { n });
  });
  fill(
    main,
    h(
      "section",
      { class: "stack events-view", "aria-labelledby": "title" },
      h("header", { class: "head" }, h("h1", { id: "title", tabindex: -1 }, t("events.title")), h("span", { class: "grow" }), count),
      form,
      strip.element,
      list.element,
    ),
  );
  scope.add(hear("config", choices));
  show();
  return {
    keys: (/** @type {string} */ key) => {
      if (key === "/") fields.words.focus();
      else if (key === "[") strip.go(-1);
      else if (key === "]") strip.go(1);
      else return false;
      return true;
    },
  };
}
