/** Rules of a camera: what they say, how they stand, and a form for each. */

import { path, request } from "./api.js";
import { choice, conditionForm, durationField, sayCondition } from "./condition.js";
import { freeName, isName } from "./document.js";
import { fill, h, icon, iconButton, setText } from "./dom.js";
import { parseDuration, spoken, toIso } from "./duration.js";
import { moment } from "./format.js";
import { field, wordsOfError } from "./prompt.js";
import { scheduleForm } from "./schedule.js";
import { t } from "./strings.js";
import { hear, loadConfig, world } from "./world.js";

/** @typedef {import("./world.js").Rule} Rule */

/**
 * A rule in words.
 * @param {Rule} rule
 * @param {import("./world.js").Query[]} queries
 */
export function sayRule(rule, queries) {
  const seconds = (/** @type {string | undefined} */ text) => parseDuration(text ?? "PT0S") ?? 0;
  const parts = [sayCondition(rule.when, queries)];
  if (seconds(rule.for) > 0) parts.push(t("say.for", { time: spoken(seconds(rule.for)) }));
  if (seconds(rule.every) > 0) parts.push(t("say.every", { time: spoken(seconds(rule.every)) }));
  return parts.join(", ");
}

/**
 * A form for a rule. `read` gives `null`, and says why at the fields, if something is wrong.
 * @param {Rule} rule
 * @param {import("./condition.js").Known & {rules: Rule[]}} known
 */
function ruleForm(rule, known) {
  const name = field(t("rules.name"), h("input", { type: "text", value: rule.id, maxlength: 64 }));
  const severity = field(
    t("rules.severity"),
    choice(
      ["alert", "detection"].map((value) => [value, t(`rules.severity.${value}`)]),
      rule.severity ?? "alert",
    ),
  );
  const condition = conditionForm(rule.when, known);
  const times = {
    for: durationField(t("rules.for"), rule.for ?? "PT0S"),
    clear: durationField(t("rules.clear"), rule.clear ?? "PT1S"),
    every: durationField(t("rules.every"), rule.every ?? "PT0S"),
  };
  const frames = field(
    t("rules.frames"),
    h("input", { type: "text", inputmode: "numeric", class: "short", value: String(rule.frames ?? 2) }),
  );
  const schedules = scheduleForm(rule.schedule ?? []);
  const element = h(
    "div",
    { class: "rule-form" },
    h("div", { class: "fields" }, name.element, severity.element),
    h("fieldset", {}, h("legend", {}, t("rules.when")), condition.element),
    h(
      "fieldset",
      {},
      h("legend", {}, t("rules.times")),
      h("div", { class: "fields" }, times.for.element, times.clear.element, times.every.element, frames.element),
    ),
    h("fieldset", {}, h("legend", {}, t("rules.schedule")), schedules.element),
  );
  const read = () => {
    const id = name.input.value.trim();
    const taken = known.rules.some((other) => other !== rule && other.id === id);
    const nameFault = isName(id) ? (taken ? t("zones.name.twice") : "") : t("zones.name.bad");
    name.say(nameFault);
    let sound = nameFault === "";
    /** @type {Record<string, string>} */
    const spans = {};
    for (const [key, asked] of Object.entries(times)) {
      const seconds = parseDuration(asked.input.value);
      asked.say(seconds === null ? t("rules.duration.bad") : "");
      sound &&= seconds !== null;
      if (seconds !== null && (seconds > 0 || key === "clear")) spans[key] = toIso(seconds);
    }
    const count = Number(frames.input.value.trim());
    const whole = Number.isInteger(count) && count >= 1;
    frames.say(whole ? "" : t("rules.frames.bad"));
    const when = condition.read();
    const schedule = schedules.read();
    if (!sound || !whole || when === null || schedule === null) return null;
    /** @type {Rule} */
    const made = { id, severity: severity.input.value, when, ...spans, frames: count };
    if (schedule.length > 0) made.schedule = schedule;
    if (rule.enabled === false) made.enabled = false;
    return made;
  };
  return { element, read, focus: () => name.input.focus() };
}

/**
 * @param {import("./draft.js").Draft} draft
 * @param {import("./dom.js").Scope} scope
 */
export function rulesPanel(draft, scope) {
  const list = h("ul", { class: "rules" });
  const message = h("p", { class: "fault", role: "alert" });
  const add = h("button", { type: "button", class: "button", on: { click: () => addRule(null) } }, icon("add"), t("rules.add"));
  const element = h("div", { class: "stack" }, list, h("div", { class: "row" }, add), message);
  /** @type {{at: number, form: ReturnType<typeof ruleForm>} | null} the rule that is changed, by its place */
  let open = null;
  let shape = "";
  const queries = () => world.camera(draft.camera)?.query ?? [];
  const saved = (/** @type {string} */ id) =>
    (world.camera(draft.camera)?.rule ?? []).some((rule) => rule.id === id);

  /** Takes what is in the open form. Whether there is nothing wrong with it. */
  const commit = () => {
    if (!open) return true;
    const rule = open.form.read();
    if (!rule) {
      /** @type {HTMLElement | null} */ (open.form.element.querySelector("[aria-invalid]"))?.focus();
      return false;
    }
    const at = open.at;
    open = null;
    draft.change(({ rules }) => {
      rules[at] = rule;
    });
    return true;
  };

  const edit = (/** @type {number} */ at) => {
    if (!commit()) return;
    const { rules, zones, lines } = draft.parts;
    open = { at, form: ruleForm(rules[at], { queries: queries(), zones, lines, rules }) };
    shape = "";
    render();
    open.form.focus();
  };

  const addRule = (/** @type {string | null} */ query) => {
    if (!commit()) return;
    const chosen = query ?? queries()[0]?.id;
    setText(message, chosen === undefined ? t("rules.no-queries") : "");
    if (chosen === undefined) return;
    const plain = chosen.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 56) || "rule";
    draft.change(({ rules }) => {
      const id = freeName(plain, rules);
      rules.push({ id, severity: "alert", when: { is: "present", query: chosen }, clear: "PT1S", frames: 2 });
    });
    edit(draft.parts.rules.length - 1);
  };

  const remove = (/** @type {number} */ at) => {
    if (open && open.at !== at && !commit()) return;
    open = null;
    draft.change(({ rules }) => {
      rules.splice(at, 1);
    });
  };

  const enable = async (/** @type {Rule} */ rule, /** @type {HTMLInputElement} */ box) => {
    const enabled = box.checked;
    if (!saved(rule.id)) {
      draft.change(({ rules }) => {
        const one = rules.find(({ id }) => id === rule.id);
        if (one && enabled) delete one.enabled;
        else if (one) one.enabled = false;
      });
      return;
    }
    box.disabled = true;
    try {
      await request("PUT", `${path("cameras", draft.camera, "rules", rule.id)}/enabled`, { body: { enabled } });
      draft.adoptEnabled(rule.id, enabled);
      setText(message, "");
      await loadConfig();
    } catch (error) {
      box.checked = !enabled;
      setText(message, wordsOfError(error, t("draft.moved")));
    } finally {
      box.disabled = world.viewer;
    }
  };

  const state = (/** @type {Rule} */ rule) => {
    const event = world.openOf(draft.camera, rule.id);
    if (!saved(rule.id)) return { kind: "new", words: t("rules.state.new") };
    if (rule.enabled === false) return { kind: "off", words: t("rules.state.off") };
    if (event) return { kind: "open", words: t("rules.state.open", { time: moment(event.start) }) };
    return { kind: "quiet", words: t("rules.state.quiet") };
  };

  const card = (/** @type {Rule} */ rule, /** @type {number} */ at) => {
    const { kind, words } = state(rule);
    const toggle = h("input", {
      type: "checkbox",
      checked: rule.enabled !== false,
      disabled: world.viewer,
      "aria-label": t("rules.enable", { id: rule.id }),
      on: { change: (/** @type {Event} */ event) => enable(rule, /** @type {HTMLInputElement} */ (event.target)) },
    });
    return h(
      "li",
      { class: "card rule", "data-rule": rule.id, "data-state": kind },
      h(
        "div",
        { class: "row top" },
        h("h3", {}, rule.id),
        h("span", { class: `badge ${rule.severity ?? "alert"}` }, t(`severity.${rule.severity ?? "alert"}`)),
        h("label", { class: "switch" }, toggle, h("span", { class: "knob" })),
        iconButton("edit", t("rules.edit", { id: rule.id }), () => edit(at), { disabled: world.viewer }),
        iconButton("remove", t("rules.remove", { id: rule.id }), () => remove(at), { disabled: world.viewer }),
      ),
      h("p", { dir: "auto" }, sayRule(rule, queries())),
      h("p", { class: "state" }, words),
    );
  };

  const render = () => {
    const { rules } = draft.parts;
    add.disabled = world.viewer;
    const now = JSON.stringify([rules, rules.map(state), queries(), open?.at, world.viewer]);
    if (now === shape) return;
    shape = now;
    if (open && open.at >= rules.length) open = null;
    const cards = rules.map((rule, at) =>
      open?.at === at
        ? h(
            "li",
            { class: "card rule open", "data-rule": rule.id },
            open.form.element,
            h(
              "div",
              { class: "row end" },
              iconButton("remove", t("rules.remove", { id: rule.id }), () => remove(at), {}),
              h("button", { type: "button", class: "button", on: { click: commit } }, t("rules.done")),
            ),
          )
        : card(rule, at),
    );
    if (cards.length > 0) fill(list, cards);
    else fill(list, h("li", { class: "empty" }, t("rules.none"), " ", t("rules.none.hint")));
  };

  draft.changed(render);
  for (const topic of ["event", "events", "config"]) scope.add(hear(topic, render));
  render();
  return { element, render, commit, addRule };
}
