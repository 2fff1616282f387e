/** A condition of a rule: in words, and as a form. */

import { fill, h, icon, iconButton } from "./dom.js";
import { forField, parseDuration, spoken, toIso } from "./duration.js";
import { field } from "./prompt.js";
import { parseSentence } from "./spans.js";
import { t } from "./strings.js";

/** @typedef {import("./world.js").Query} Query */
/** @typedef {{queries: Query[], zones: {id: string}[], lines: {id: string}[]}} Known what a condition may name */
/** @typedef {{element: HTMLElement, read: () => any}} Part `read` gives `null`, and says why at the field, if it is wrong */

const KINDS = ["present", "absent", "count", "answer", "enters", "leaves", "dwells", "crosses", "still", "moves"];
const GROUPS = ["all", "any", "not"];
const ANCHORS = ["bottom-center", "center", "any", "all", "share"];
/** Groups in groups are offered down to this depth. */
const DEEPEST = 3;

/**
 * A condition in words.
 * @param {any} condition
 * @param {Query[]} queries
 * @returns {string}
 */
export function sayCondition(condition, queries) {
  const { is, zone, line, of } = condition;
  if (is === "not") return t("say.not", { condition: sayCondition(of, queries) });
  if (is === "all" || is === "any") {
    const parts = of.map((/** @type {any} */ part) => {
      const words = sayCondition(part, queries);
      return part.is === "any" && is === "all" ? `(${words})` : words;
    });
    return parts.join(t(is === "all" ? "say.and" : "say.or"));
  }
  const query = queries.find(({ id }) => id === condition.query);
  const bounds = ["over", "under", "equals"]
    .filter((name) => condition[name] !== undefined)
    .map((name) => t(`say.${name}`, { n: condition[name] }))
    .join(t("say.and"));
  return t(`say.${is}`, {
    query: query ? parseSentence(query.text).text : condition.query,
    place: zone ? t("say.in", { zone }) : "",
    zone: zone ?? t("say.picture"),
    line: line ?? "",
    way: condition.direction && condition.direction !== "both" ? t(`say.${condition.direction}`) : "",
    equals: condition.equals ?? "",
    bounds,
    time: spoken(parseDuration(condition.longer_than ?? "") ?? 0),
    speed: condition.faster_than ?? "",
  });
}

/**
 * @param {[string, string][]} options value and words
 * @param {string} chosen
 * @param {Record<string, any>} [props]
 */
export function choice(options, chosen, props = {}) {
  const select = h("select", props, options.map(([value, words]) => h("option", { value }, words)));
  select.value = chosen;
  return select;
}

/**
 * A form for a condition.
 * @param {any} value
 * @param {Known} known
 * @param {{depth?: number, remove?: (() => void) | null}} [options]
 * @returns {Part}
 */
export function conditionForm(value, known, { depth = 0, remove = null } = {}) {
  const kinds = depth < DEEPEST ? [...KINDS, ...GROUPS] : KINDS;
  const kind = choice(
    kinds.map((is) => [is, t(`is.${is}`)]),
    value.is ?? "present",
    { class: "kind" },
  );
  const kindField = field(t("rules.is"), kind);
  const body = h("div", { class: "fields" });
  const off = remove ? iconButton("close", t("rules.of.remove"), remove) : null;
  const element = h("div", { class: "condition" }, h("div", { class: "row top" }, kindField.element, off), body);
  /** What was given before, so that another kind keeps what it can. */
  let given = value;
  /** @type {(quiet?: boolean) => any} */
  let read = () => null;
  const build = () => {
    const is = kind.value;
    const part = GROUPS.includes(is) ? groupForm(is, given, known, depth) : plainForm(is, given, known);
    fill(body, ...part.elements);
    read = part.read;
  };
  kind.addEventListener("change", () => {
    given = { ...given, ...read(true), is: kind.value };
    build();
  });
  build();
  return { element, read: () => read() };
}

/**
 * @param {string} is
 * @param {any} value
 * @param {Known} known
 * @param {number} depth
 */
function groupForm(is, value, known, depth) {
  const empty = () => ({ is: "present", query: known.queries[0]?.id });
  const before = Array.isArray(value.of) ? value.of : value.of ? [value.of] : [];
  /** @type {{part: Part, item: HTMLElement}[]} */
  let parts = [];
  const list = h("ul", { class: "conditions", "aria-label": t("rules.of") });
  const fault = h("p", { class: "fault" });
  const add = (/** @type {any} */ condition) => {
    const item = h("li", {});
    const gone = () => {
      parts = parts.filter((one) => one.item !== item);
      item.remove();
      more.focus();
    };
    const part = conditionForm(condition, known, { depth: depth + 1, remove: is === "not" ? null : gone });
    item.append(part.element);
    parts.push({ part, item });
    list.append(item);
  };
  const more = h(
    "button",
    { type: "button", class: "button small", on: { click: () => add(empty()) } },
    icon("add"),
    t("rules.of.add"),
  );
  const first = before.length > 0 ? before : [value.query ? { ...value, is: "present" } : empty()];
  for (const condition of is === "not" ? first.slice(0, 1) : first) add(condition);
  const read = (quiet = false) => {
    const of = parts.map(({ part }) => part.read());
    if (!quiet) fault.textContent = of.length === 0 ? t("rules.of.bad") : "";
    if (!quiet && (of.length === 0 || of.some((condition) => condition === null))) return null;
    return is === "not" ? { is, of: of[0] } : { is, of };
  };
  return { elements: [h("div", { class: "wide stack" }, list, is === "not" ? null : more, fault)], read };
}

/**
 * @param {string} is
 * @param {any} value
 * @param {Known} known
 */
function plainForm(is, value, known) {
  /** @type {HTMLElement[]} */
  const elements = [];
  /** @type {((quiet: boolean) => Record<string, any> | null)[]} */
  const readers = [];
  const ask = (/** @type {ReturnType<typeof field>} */ asked, /** @type {(text: string) => Record<string, any> | string} */ take) => {
    elements.push(asked.element);
    readers.push((quiet) => {
      const taken = take(asked.input.value.trim());
      if (!quiet) asked.say(typeof taken === "string" ? taken : "");
      return typeof taken === "string" ? null : taken;
    });
  };
  const some = (/** @type {string} */ name) => (/** @type {string} */ text) =>
    text ? { [name]: text } : t("rules.required");
  const options = (/** @type {{id: string}[]} */ list) => list.map(({ id }) => /** @type {[string, string]} */ ([id, id]));
  const kept = (/** @type {{id: string}[]} */ list, /** @type {string | undefined} */ id) =>
    list.some((one) => one.id === id) ? /** @type {string} */ (id) : "";

  const sentences = known.queries.map(({ id, text }) => /** @type {[string, string]} */ ([id, parseSentence(text).text]));
  const query = kept(known.queries, value.query) || (known.queries[0]?.id ?? "");
  ask(field(t("rules.query"), choice(sentences, query), { class: "wide" }), some("query"));
  if (is === "answer") {
    const equals = typeof value.equals === "string" ? value.equals : "";
    ask(field(t("rules.answer"), h("input", { type: "text", value: equals, maxlength: 200 })), (text) =>
      text ? { equals: text } : t("rules.answer.bad"),
    );
    return { elements, read: readAll };
  }
  if (is === "crosses") {
    ask(field(t("rules.line"), choice(options(known.lines), kept(known.lines, value.line) || (known.lines[0]?.id ?? ""))), some("line"));
    const ways = ["both", "forward", "backward"].map((way) => /** @type {[string, string]} */ ([way, t(`rules.direction.${way}`)]));
    ask(field(t("rules.direction"), choice(ways, value.direction ?? "both")), some("direction"));
    const anchors = ANCHORS.slice(0, 2).map((name) => /** @type {[string, string]} */ ([name, t(`rules.anchor.${name}`)]));
    ask(field(t("rules.anchor"), choice(anchors, ANCHORS.slice(0, 2).includes(value.anchor) ? value.anchor : "bottom-center")), some("anchor"));
    return { elements, read: readAll };
  }
  askPlace(value, known, ask);
  if (is === "count") {
    const one = (/** @type {string} */ name) => {
      const now = typeof value[name] === "number" ? String(value[name]) : "";
      const asked = field(t(`rules.${name}`), h("input", { type: "text", inputmode: "decimal", class: "short", value: now }));
      return { name, asked };
    };
    const bounds = ["over", "under", "equals"].map(one);
    elements.push(h("div", { class: "row wide" }, bounds.map(({ asked }) => asked.element)));
    readers.push((quiet) => {
      /** @type {Record<string, number>} */
      const found = {};
      let sound = true;
      for (const { name, asked } of bounds) {
        const text = asked.input.value.trim().replace(",", ".");
        const good = text === "" || Number.isFinite(Number(text));
        if (!quiet) asked.say(good ? "" : t("rules.number.bad"));
        if (text !== "" && good) found[name] = Number(text);
        sound &&= good;
      }
      const none = Object.keys(found).length === 0;
      if (!quiet && sound && none) bounds[0].asked.say(t("rules.bounds.bad"));
      return sound && !none ? found : null;
    });
  } else if (is === "dwells" || is === "still") {
    ask(durationField(t("rules.longer"), value.longer_than ?? "PT10S"), (text) => {
      const seconds = parseDuration(text);
      return seconds === null ? t("rules.duration.bad") : { longer_than: toIso(seconds) };
    });
  } else if (is === "moves") {
    const now = String(value.faster_than ?? 0.2);
    ask(field(t("rules.faster"), h("input", { type: "text", inputmode: "decimal", class: "short", value: now })), (text) => {
      const speed = Number(text.replace(",", "."));
      return text !== "" && speed >= 0 ? { faster_than: speed } : t("rules.number.bad");
    });
  }
  return { elements, read: readAll };

  function readAll(quiet = false) {
    const found = readers.map((reader) => reader(quiet));
    if (!quiet && found.some((part) => part === null)) return null;
    return Object.assign({ is }, ...found.filter((part) => part !== null));
  }
}

/**
 * @param {any} value
 * @param {Known} known
 * @param {(asked: ReturnType<typeof field>, take: (text: string) => Record<string, any> | string) => void} ask
 */
function askPlace(value, known, ask) {
  const zones = known.zones.map(({ id }) => /** @type {[string, string]} */ ([id, t("rules.zone.name", { id })]));
  const zone = known.zones.some(({ id }) => id === value.zone) ? value.zone : "";
  const where = field(t("rules.zone"), choice([["", t("rules.zone.all")], ...zones], zone));
  const names = ANCHORS.map((name) => /** @type {[string, string]} */ ([name, t(`rules.anchor.${name}`)]));
  const anchor = field(t("rules.anchor"), choice(names, value.anchor ?? "bottom-center"));
  const now = String(value.share ?? 0.5);
  const share = field(t("rules.share"), h("input", { type: "text", inputmode: "decimal", class: "short", value: now }));
  const show = () => {
    anchor.element.hidden = where.input.value === "";
    share.element.hidden = anchor.element.hidden || anchor.input.value !== "share";
  };
  for (const { input } of [where, anchor]) input.addEventListener("change", show);
  show();
  ask(where, (text) => (text ? { zone: text } : {}));
  ask(anchor, (text) => (where.input.value ? { anchor: text } : {}));
  ask(share, (text) => {
    if (share.element.hidden) return {};
    const part = Number(text.replace(",", "."));
    return part > 0 && part <= 1 ? { share: part } : t("rules.share.bad");
  });
}

/**
 * @param {string} label
 * @param {string | undefined} value
 */
export function durationField(label, value) {
  const input = h("input", { type: "text", class: "short", value: forField(value) });
  return field(label, input, { hint: t("rules.duration.hint") });
}
