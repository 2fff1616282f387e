/** Sentences are typed, changed and removed here. */

import { ApiError } from "./api.js";
import { conditionsOf, usersOf } from "./document.js";
import { fill, h, setText } from "./dom.js";
import { idFor, parseSentence } from "./spans.js";
import { t } from "./strings.js";
import { setWatch, world } from "./world.js";

/** @typedef {import("./world.js").Query} Query */

/** Longest sentence. */
export const MAX_TEXT = 4096;
const MAX_ID = 128;

/**
 * What a server's answer says, for the field it belongs to.
 * @param {unknown} error
 * @param {string} conflict what is said if somebody else was faster
 */
export function wordsOfError(error, conflict) {
  if (!(error instanceof ApiError)) return String(error);
  if (error.conflict) return conflict;
  if (error.unreachable && error.status === 0) return t("link.lost");
  if (error.status === 403) return t("role.viewer");
  if (error.faults.length > 0) return error.faults.map(({ place, message }) => `${place}: ${message}`).join("\n");
  return error.message;
}

/**
 * What is wrong with a sentence, in words; empty if nothing is.
 * @param {string} text
 */
export function faultOf(text) {
  const { text: plain, fault } = parseSentence(text);
  if (fault) return t(`prompt.fault.${fault}`);
  return plain.trim() === "" ? t("prompt.empty") : "";
}

/**
 * A field with a label, a hint and a place for what is wrong with it.
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement} input
 * @param {{hint?: string, class?: string}} [options]
 */
export function field(label, input, { hint = "", class: name = "" } = {}) {
  const id = input.id || `field-${(field.count += 1)}`;
  input.id = id;
  const fault = h("p", { class: "fault", id: `${id}-fault`, hidden: true });
  const help = hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  input.setAttribute("aria-describedby", [help && help.id, fault.id].filter(Boolean).join(" "));
  const element = h("div", { class: `field ${name}` }, h("label", { for: id }, label), input, help, fault);
  const say = (/** @type {string} */ words) => {
    setText(fault, words);
    fault.hidden = words === "";
    if (words) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => say(""));
  return { element, input, say };
}
field.count = 0;

/**
 * The box below the picture: type, and it watches.
 * @param {string} camera
 * @param {(words: string) => void} announce
 */
export function promptBox(camera, announce) {
  const input = h("input", {
    id: "prompt",
    type: "text",
    autocomplete: "off",
    spellcheck: "true",
    maxlength: MAX_TEXT,
    placeholder: t("prompt.placeholder"),
    dir: "auto",
    enterkeyhint: "go",
  });
  const go = h("button", { type: "submit", class: "button primary" }, t("prompt.go"));
  const { element, say } = field(t("prompt.label"), input);
  const help = h(
    "details",
    { class: "help" },
    h("summary", {}, t("prompt.help")),
    h("p", {}, t("prompt.help.target")),
    h("p", {}, t("prompt.help.question")),
    h("p", {}, t("prompt.help.bracket")),
  );
  const form = h("form", { class: "prompt", novalidate: true }, element, go, help);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    const wrong = faultOf(text);
    if (wrong) {
      say(wrong);
      input.focus();
      return;
    }
    const queries = world.camera(camera)?.query ?? [];
    const id = idFor(text, queries.map((query) => query.id));
    go.disabled = true;
    try {
      await setWatch(camera, { queries: [...queries, { id, text }] }, world.revision);
      input.value = "";
      say("");
      announce(t("prompt.added", { text }));
    } catch (error) {
      say(wordsOfError(error, t("prompt.conflict")));
    } finally {
      go.disabled = world.viewer;
      input.focus();
    }
  });
  const guard = () => {
    const reason = world.viewer ? world.why() : "";
    input.disabled = world.viewer;
    go.disabled = world.viewer;
    form.title = reason;
  };
  guard();
  return { element: form, guard, focus: () => input.focus() };
}

/**
 * A form for one sentence.
 * @param {string} camera
 * @param {Query} query
 * @param {() => void} done
 */
export function queryForm(camera, query, done) {
  const number = (/** @type {number | undefined} */ value) => (value === undefined ? "" : String(value));
  const text = field(t("query.text"), h("input", { type: "text", value: query.text, maxlength: MAX_TEXT, dir: "auto" }), {
    class: "wide",
  });
  const id = field(t("query.id"), h("input", { type: "text", value: query.id, maxlength: MAX_ID }), {
    hint: t("query.id.hint"),
  });
  const scoreField = field(
    t("query.score"),
    h("input", { type: "text", inputmode: "decimal", value: number(query.score_threshold) }),
    { hint: t("query.score.hint") },
  );
  const phraseField = field(
    t("query.phrase"),
    h("input", { type: "text", inputmode: "decimal", value: number(query.phrase_threshold) }),
    { hint: t("query.score.hint") },
  );
  const general = h("p", { class: "fault", role: "alert" });
  const save = h("button", { type: "submit", class: "button primary" }, t("common.save"));
  const form = h(
    "form",
    { class: "card form", novalidate: true, "data-form": "query" },
    h("div", { class: "fields" }, text.element, id.element, scoreField.element, phraseField.element),
    general,
    h("div", { class: "row end" }, h("button", { type: "button", class: "button", on: { click: done } }, t("common.cancel")), save),
  );
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      done();
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(general);
    const queries = world.camera(camera)?.query ?? [];
    const others = queries.filter((other) => other.id !== query.id);
    /** @type {[ReturnType<typeof field>, string][]} */
    const faults = [
      [text, faultOf(text.input.value)],
      [id, idFault(id.input.value.trim(), others)],
      [scoreField, thresholdFault(scoreField.input.value)],
      [phraseField, thresholdFault(phraseField.input.value)],
    ];
    for (const [at, words] of faults) at.say(words);
    const wrong = faults.find(([, words]) => words);
    if (wrong) {
      wrong[0].input.focus();
      return;
    }
    /** @type {Query} */
    const changed = { id: id.input.value.trim(), text: text.input.value.trim() };
    if (scoreField.input.value.trim()) changed.score_threshold = decimal(scoreField.input.value);
    if (phraseField.input.value.trim()) changed.phrase_threshold = decimal(phraseField.input.value);
    save.disabled = true;
    try {
      const list = queries.map((other) => (other.id === query.id ? changed : other));
      const rules = renamed(world.camera(camera)?.rule ?? [], query.id, changed.id);
      await setWatch(camera, rules ? { queries: list, rules } : { queries: list }, world.revision);
      done();
    } catch (error) {
      setText(general, wordsOfError(error, t("prompt.conflict")));
    } finally {
      save.disabled = false;
    }
  });
  return { element: form, focus: () => text.input.focus() };
}

/**
 * The rules with another id of a query; `null` if none uses it.
 * @param {import("./world.js").Rule[]} rules
 * @param {string} from
 * @param {string} to
 */
function renamed(rules, from, to) {
  if (from === to || usersOf(rules, "query", from).length === 0) return null;
  const copy = structuredClone(rules);
  for (const condition of copy.flatMap((rule) => conditionsOf(rule.when))) {
    if (condition.query === from) condition.query = to;
  }
  return copy;
}

/** @param {string} text */
function decimal(text) {
  return Number(text.trim().replace(",", "."));
}

/** @param {string} text */
function thresholdFault(text) {
  const value = decimal(text);
  return text.trim() === "" || (value >= 0 && value <= 1) ? "" : t("query.threshold.bad");
}

/**
 * @param {string} id
 * @param {Query[]} others
 */
function idFault(id, others) {
  if (id === "" || /\p{Cc}/u.test(id)) return t("query.id.bad");
  return others.some((other) => other.id === id) ? t("query.id.twice") : "";
}
