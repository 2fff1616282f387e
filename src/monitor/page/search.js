/** What cameras saw, asked by a new sentence. */

import { ApiError, path, stream } from "./api.js";
import { fill, h, place, setText } from "./dom.js";
import { curves } from "./curve.js";
import { eventsAbout, Found, MOST_ROWS } from "./found.js";
import { asInstant, asTyped, moment } from "./format.js";
import { frame, hitCard, keyOf, redraw } from "./hit.js";
import { MAX_TEXT, faultOf, field, wordsOfError } from "./prompt.js";
import { parseSentence } from "./spans.js";
import { t } from "./strings.js";
import { hear, world } from "./world.js";

/** Most hits. */
const LIMIT = 20;
/** What comes is shown so often, and less often if that takes long. */
const SHOW_MS = 200;
/** Most part of the time that showing it takes. */
const SHARE = 0.1;

/**
 * @typedef {{query: string, from: string, to: string, cameras: string[], exhaustive: boolean, moments: boolean}} Asked
 * @typedef {{asked: Asked, found: Found, state: "running" | "over" | "cancelled" | "failed", message: string}} Run
 */

/** @type {Run | null} the last one: who follows a link and comes back finds it again */
let last = null;

/** Whether this monitor keeps what its cameras see. */
export function keepsPast() {
  return Boolean(world.config?.past) && !world.hub;
}

/**
 * @param {HTMLElement} main
 * @param {import("./dom.js").Scope} scope
 * @param {URLSearchParams} given
 */
export function searchView(main, scope, given) {
  document.title = `${t("search.title")} · ${t("app.name")}`;
  const form = searchForm(given);
  const results = resultsOf(scope);
  /** @type {AbortController | null} */
  let running = null;
  const cancel = h("button", { type: "button", class: "button", hidden: true, on: { click: () => running?.abort() } }, t("common.cancel"));
  const none = h("p", { class: "empty", hidden: true }, t("search.none-kept"));
  const show = () => {
    form.go.hidden = running !== null;
    cancel.hidden = running === null;
    if (last) results.show(last);
  };
  const begin = async (/** @type {Asked} */ asked) => {
    const abort = new AbortController();
    running = abort;
    const run = /** @type {Run} */ ({ asked, found: new Found(LIMIT), state: "running", message: "" });
    last = run;
    const text = addressOf(asked);
    // The address can be kept and sent.
    history.replaceState(null, "", `#/search?${text}`);
    results.clear();
    show();
    cancel.focus();
    const { query, cameras, exhaustive, moments } = asked;
    const body = { query, cameras, exhaustive, moments, from: asked.from || null, to: asked.to || null, limit: LIMIT };
    try {
      for await (const line of stream(path("search"), body, abort.signal)) {
        run.found.take(line);
        results.later(run);
      }
      run.state = run.found.over ? "over" : "failed";
      if (run.found.error) [run.state, run.message] = ["failed", t("search.error", { message: run.found.error })];
      else if (run.state === "failed") run.message = t("search.interrupted");
    } catch (error) {
      run.state = abort.signal.aborted ? "cancelled" : "failed";
      if (run.state === "failed") run.message = wordsOfFailure(error, run.found);
    }
    running = null;
    if (scope.closed) return;
    const held = document.activeElement === cancel;
    show();
    if (held) form.go.focus();
  };
  scope.add(() => running?.abort());
  form.element.addEventListener("submit", (event) => {
    event.preventDefault();
    const asked = form.read();
    if (asked && !running) begin(asked);
  });
  form.actions.append(cancel);
  fill(
    main,
    h(
      "section",
      { class: "stack search-view", "aria-labelledby": "title" },
      h("header", { class: "head" }, h("h1", { id: "title", tabindex: -1 }, t("search.title"))),
      none,
      form.element,
      results.element,
    ),
  );
  const guard = () => {
    const known = world.config !== null;
    none.hidden = !known || keepsPast();
    form.element.hidden = known && !keepsPast();
    form.offer();
  };
  for (const topic of ["config", "session"]) scope.add(hear(topic, guard));
  guard();
  if (last && addressOf(last.asked) === given.toString()) show();
  return {
    keys: (/** @type {string} */ key) => {
      if (key !== "/") return false;
      form.focus();
      return true;
    },
  };
}

/** @param {Asked} asked */
function addressOf({ query, from, to, cameras, exhaustive, moments }) {
  const pairs = Object.entries({ query, from, to, exhaustive: exhaustive && "true", moments: moments && "true" }).filter(([, value]) => value);
  return new URLSearchParams([...pairs.map(([key, value]) => [key, String(value)]), ...cameras.map((name) => ["camera", name])]).toString();
}

/**
 * @param {unknown} error
 * @param {Found} found
 */
function wordsOfFailure(error, found) {
  if (!(error instanceof ApiError)) return String(error);
  if (error.status === 429) return t("search.busy");
  if (error.status === 0 && found.of > 0) return t("search.interrupted");
  return wordsOfError(error, error.message);
}

/** @param {URLSearchParams} given */
function searchForm(given) {
  const query = field(
    t("search.query"),
    h("input", { id: "query", type: "text", autocomplete: "off", spellcheck: "true", maxlength: MAX_TEXT, placeholder: t("search.placeholder"), dir: "auto", enterkeyhint: "search", value: given.get("query") ?? "" }),
    { hint: t("search.query.hint") },
  );
  const from = field(t("events.from"), h("input", { type: "datetime-local", value: asTyped(given.get("from") ?? "") }));
  const to = field(t("events.to"), h("input", { type: "datetime-local", value: asTyped(given.get("to") ?? "") }));
  const names = h("div", { class: "days" });
  const cameras = h("fieldset", {}, h("legend", {}, t("search.cameras")), names);
  const box = (/** @type {string} */ key) => h("input", { type: "checkbox", checked: given.get(key) === "true" });
  const [moments, exhaustive] = [box("moments"), box("exhaustive")];
  const option = (/** @type {HTMLElement} */ input, /** @type {string} */ words) =>
    h("label", { class: "switch" }, input, h("span", { class: "knob" }), h("span", {}, words));
  const go = h("button", { type: "submit", class: "button primary" }, t("search.go"));
  const actions = h("div", { class: "actions" }, go);
  const element = h(
    "form",
    { class: "prompt card", role: "search", "aria-label": t("search.title"), novalidate: true },
    query.element,
    actions,
    h("div", { class: "fields" }, from.element, to.element),
    cameras,
    h("div", { class: "row" }, option(moments, t("search.moments")), option(exhaustive, t("search.exhaustive"))),
  );
  const chosen = () => [...names.querySelectorAll("input")].filter((input) => input.checked).map((input) => input.value);
  let first = true;
  const offer = () => {
    const kept = first ? given.getAll("camera") : chosen();
    first = world.config === null;
    // What was asked for stays, even if the camera is gone: what it saw may still be there.
    const all = [...new Set([...world.cameras().map(({ name }) => name), ...kept])];
    const now = [...names.querySelectorAll("input")].map((input) => input.value);
    if (JSON.stringify(now) !== JSON.stringify(all)) {
      fill(
        names,
        all.map((name) => h("label", { class: "day" }, h("input", { type: "checkbox", value: name, checked: kept.includes(name) }), h("span", {}, name))),
      );
    }
  };
  return {
    element,
    actions,
    go,
    offer,
    focus: () => query.input.focus(),
    /** @returns {Asked | null} what is asked; none if something is wrong with it, which is said */
    read() {
      const [begin, end] = [asInstant(from.input.value), asInstant(to.input.value)];
      /** @type {[typeof query, string][]} */
      const faults = [
        [query, faultOf(query.input.value)],
        [to, begin && end && begin >= end ? t("search.times.bad") : ""],
      ];
      for (const [at, words] of faults) at.say(words);
      const wrong = faults.find(([, words]) => words);
      if (wrong) {
        wrong[0].input.focus();
        return null;
      }
      return { query: query.input.value.trim(), from: begin, to: end, cameras: chosen(), exhaustive: exhaustive.checked, moments: moments.checked };
    },
  };
}

/**
 * What was found, as it comes.
 * @param {import("./dom.js").Scope} scope
 */
function resultsOf(scope) {
  const bar = h("progress", { "aria-label": t("search.progress.label"), max: 1, value: 0, hidden: true });
  const progress = h("p", { class: "quiet" });
  const status = h("p", { class: "message", role: "status" });
  const fault = h("p", { class: "fault", role: "alert" });
  const hits = h("ol", { class: "grid hits", "aria-label": t("search.hits"), hidden: true });
  const rest = h("div", { class: "stack" });
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => redraw(target)));
  scope.add(() => sizes.disconnect());
  /** @type {Map<string, HTMLElement>} */
  let cards = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  let took = 0;
  scope.add(() => clearTimeout(waiting));

  const show = (/** @type {Run} */ run) => {
    clearTimeout(waiting);
    waiting = undefined;
    const start = performance.now();
    const { found, state, message } = run;
    bar.hidden = state !== "running";
    bar.max = Math.max(found.of, 1);
    bar.value = found.asked;
    setText(progress, found.of > 0 ? t("search.progress", { asked: found.asked, of: found.of }) : "");
    setText(status, statusOf(run));
    setText(fault, message);
    const shown = found.hits.map((hit) => /** @type {const} */ ([keyOf(hit), cards.get(keyOf(hit)) ?? hitCard(hit, sizes)]));
    cards = new Map(shown);
    place(hits, shown.map(([, card]) => card));
    hits.hidden = shown.length === 0;
    const moments = found.outcome?.moments ?? [];
    fill(rest, notesOf(run).map((words) => h("p", { class: "hint" }, words)), curves(found.points), moments.length > 0 && momentList(moments, sizes));
    took = performance.now() - start;
  };
  return {
    element: h("div", { class: "stack results" }, bar, status, fault, progress, hits, rest),
    show,
    /** Shows it soon: lines come faster than anybody reads. */
    later(/** @type {Run} */ run) {
      if (!scope.closed) waiting ??= setTimeout(() => show(run), Math.max(SHOW_MS, took / SHARE));
    },
    clear() {
      cards = new Map();
      fill(hits);
      fill(rest);
    },
  };
}

/**
 * What a search came to, in a sentence.
 * @param {Run} run
 */
function statusOf({ found, state, asked }) {
  const { outcome } = found;
  if (state === "running") return t("search.running");
  if (state === "failed") return "";
  if (state === "cancelled") return t("search.cancelled");
  if (!outcome) return "";
  if (outcome.frames === 0) return t(asked.cameras.length > 0 ? "search.nothing-kept.of" : "search.nothing-kept", { cameras: asked.cameras.join(", ") });
  if (outcome.mode === "moments") return outcome.moments.length > 0 ? t("search.moments.found", { n: outcome.moments.length }) : t("search.moments.none");
  if (outcome.mode === "curve") return outcome.curve.some(({ answer }) => answer) ? t("search.answered") : t("search.unanswered");
  return outcome.hits.length > 0 ? t("search.found", { n: outcome.hits.length }) : t("search.nothing");
}

/**
 * What else is to be known of it.
 * @param {Run} run
 */
function notesOf({ found: { outcome }, asked }) {
  if (!outcome) return [];
  const { mode, frames, asked: done, unreadable, first_unreadable: message } = outcome;
  const isQuestion = parseSentence(asked.query).text.endsWith("?");
  return [
    isQuestion && mode === "best" && t("search.no-answers"),
    done < frames && !asked.exhaustive && t("search.not-all"),
    unreadable > 0 && t("search.unreadable", { n: unreadable, message: message ?? "" }),
  ].filter((words) => words !== false);
}

/**
 * @param {import("./found.js").Moment[]} moments
 * @param {ResizeObserver} sizes
 */
function momentList(moments, sizes) {
  const items = moments.slice(0, MOST_ROWS).map(({ camera, appears, time, after, shown }) =>
    h(
      "li",
      { class: "card moment", "data-appears": appears },
      shown && frame(shown, sizes),
      h(
        "div",
        { class: "about" },
        h("h2", {}, t(appears ? "search.appeared" : "search.disappeared"), " · ", h("time", { datetime: time }, moment(time)), ` · ${camera}`),
        h("p", { class: "quiet" }, t(appears ? "search.appeared.after" : "search.disappeared.after", { time: moment(after) })),
        h("a", { href: eventsAbout(camera, after, time), "aria-label": t("search.events.label", { camera, time: moment(time) }) }, t("search.events")),
      ),
    ),
  );
  const more = moments.length - items.length;
  return [
    h("ol", { class: "stack", "aria-label": t("search.moments.label") }, items),
    more > 0 && h("p", { class: "quiet" }, t("search.more", { n: more })),
  ];
}
