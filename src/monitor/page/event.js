/** One event: its picture, its clip, what it rests on. */

import { ApiError, path, request } from "./api.js";
import { confirmed, fill, h, icon, iconButton, setText } from "./dom.js";
import { cameraLink } from "./cameras.js";
import { eventWords, lasted, showPicture } from "./eventrow.js";
import { day, clock, moment, score } from "./format.js";
import { wordsOfError } from "./prompt.js";
import { t } from "./strings.js";
import { hear, tell, world } from "./world.js";

/** @typedef {import("./world.js").Event} Event */

/** What the store knows may come a little behind what is told. */
const SETTLE_MS = 200;

/**
 * @param {HTMLElement} main
 * @param {import("./dom.js").Scope} scope
 * @param {string} id
 * @param {(words: string) => void} announce
 */
export function eventView(main, scope, id, announce) {
  document.title = `${t("events.title")} · ${t("app.name")}`;
  const heading = h("h1", { id: "title", tabindex: -1 }, t("common.loading"));
  const media = h("div", { class: "media stack" });
  const facts = h("dl", { class: "facts-list" });
  const message = h("p", { class: "fault", role: "alert" });
  const keep = iconButton("keep", t("event.keep"), () => setKept(), { wide: true, title: t("event.keep.hint") });
  const copy = iconButton("link", t("event.copy"), () => copyLink(), { wide: true });
  const remove = iconButton("remove", t("event.remove"), () => drop(), { wide: true });
  remove.classList.add("danger");
  const actions = h("div", { class: "row" }, keep, copy, remove);
  const neighbours = { newer: h("a", { class: "button bare" }), older: h("a", { class: "button bare" }) };
  for (const [which, link] of Object.entries(neighbours)) {
    const words = t(`event.${which}`);
    link.append(icon(which === "newer" ? "previous" : "next"));
    link.setAttribute("aria-label", words);
    link.title = words;
    link.hidden = true;
  }
  const body = h("div", { class: "event-body" }, media, h("div", { class: "stack" }, facts, actions, message));
  fill(
    main,
    h(
      "section",
      { class: "stack event-view", "aria-labelledby": "title" },
      h(
        "header",
        { class: "head" },
        h("a", { class: "button bare", href: "#/events", "aria-label": t("event.back"), title: t("event.back") }, icon("back")),
        heading,
        h("span", { class: "grow" }),
        neighbours.newer,
        neighbours.older,
      ),
      body,
    ),
  );
  /** @type {Event | null} */
  let event = null;
  let shown = "";
  let removed = false;

  const render = () => {
    if (!event) return;
    fill(heading, eventWords(event));
    document.title = `${event.text} · ${t("app.name")}`;
    renderFacts(facts, event);
    const now = JSON.stringify([event.has_picture, event.has_clip, event.best?.utc, Boolean(event.end)]);
    if (now !== shown) renderMedia(media, event);
    shown = now;
    keep.setAttribute("aria-pressed", String(Boolean(event.kept)));
    keep.lastChild?.replaceWith(t(event.kept ? "event.kept" : "event.keep"));
    for (const button of [keep, remove]) {
      button.disabled = world.reader;
      if (world.reader) button.title = t("role.viewer");
    }
  };

  const read = async () => {
    if (removed) return;
    try {
      const { data } = await request("GET", path("events", id));
      event = data;
      render();
    } catch (error) {
      if (scope.closed) return;
      if (error instanceof ApiError && error.status === 404) {
        setText(heading, t("events.title"));
        fill(body, h("div", { class: "empty big" }, h("p", {}, t("event.unknown"))));
      } else {
        setText(message, wordsOfError(error, ""));
      }
    }
  };

  const setKept = async () => {
    if (!event) return;
    const kept = !event.kept;
    try {
      await request("PUT", `${path("events", id)}/kept`, { body: { kept } });
      event.kept = kept;
      setText(message, "");
      render();
    } catch (error) {
      setText(message, wordsOfError(error, ""));
    }
  };

  const copyLink = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      announce(t("event.copied"));
    } catch {
      announce(t("event.copy.failed"));
    }
  };

  const drop = async () => {
    if (!(await confirmed(t("event.remove.ask"), t("event.remove"), t("common.cancel")))) return;
    try {
      removed = true;
      await request("DELETE", path("events", id));
      world.open.delete(id);
      tell("removed", id);
      announce(t("event.removed"));
      location.hash = "#/events";
    } catch (error) {
      removed = false;
      setText(message, wordsOfError(error, ""));
    }
  };

  const findNeighbours = async () => {
    if (!event) return;
    try {
      const older = await request("GET", `${path("events")}?after=${encodeURIComponent(id)}&limit=1`);
      link(neighbours.older, older.data.events[0]);
      // Newer ones are listed from the newest: the last of those that begin behind this one is next to it.
      const { data } = await request("GET", `${path("events")}?from=${encodeURIComponent(event.start)}&limit=1000`);
      const at = data.events.findIndex((/** @type {Event} */ other) => other.id === id);
      link(neighbours.newer, at > 0 ? data.events[at - 1] : undefined);
    } catch {
      // Without them the list still leads there.
    }
  };
  const link = (/** @type {HTMLAnchorElement} */ at, /** @type {Event | undefined} */ to) => {
    at.hidden = to === undefined;
    if (to) at.href = `#/events/${encodeURIComponent(to.id)}`;
  };

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;
  const again = (/** @type {string} */ of) => {
    if (of !== id) return;
    clearTimeout(settling);
    settling = setTimeout(read, SETTLE_MS);
  };
  scope.add(() => clearTimeout(settling));
  scope.add(hear("event", (step) => again(step.id)));
  scope.add(hear("clip", again));
  scope.add(hear("session", render));
  scope.add(hear("events", read));
  scope.every(1000, () => event && !event.end && renderFacts(facts, event));
  read().then(findNeighbours);
  return {
    keys: (/** @type {string} */ key) => {
      const to = key === "[" ? neighbours.newer : key === "]" ? neighbours.older : null;
      if (!to || to.hidden) return false;
      location.hash = to.hash;
      return true;
    },
  };
}

/**
 * @param {HTMLElement} facts
 * @param {Event} event
 */
function renderFacts(facts, event) {
  const rows = [
    [t("event.when"), `${day(event.start)}, ${clock(event.start)}`],
    [t("event.duration"), event.end ? lasted(event) : t("event.duration.open", { time: lasted(event) })],
    [t("event.reason"), event.reason && t(`reason.${event.reason}`)],
    [t("event.camera"), h("a", { href: cameraLink(event.camera) }, event.camera)],
    [t("event.rule"), event.rule],
    [t("event.severity"), h("span", { class: `badge ${event.severity}` }, t(`severity.${event.severity}`))],
    [t("event.score"), event.score > 0 ? score(event.score) : t("event.absent")],
    [t("event.answer"), event.answer],
    [t("event.count"), event.count],
    [t("event.tracks"), (event.tracks ?? []).map((/** @type {number} */ track) => `#${track}`).join(", ")],
    [t("event.zones"), (event.zones ?? []).join(", ")],
    [t("event.line"), event.line && [event.line, event.direction && t(`rules.direction.${event.direction}`)].filter(Boolean).join(", ")],
    [t("event.revision"), event.revision],
    [t("event.id"), h("code", {}, event.id)],
  ].filter(([, value]) => value !== undefined && value !== null && value !== "");
  // It may hold the focus: it is made anew only if it says something else.
  const shape = JSON.stringify(rows.map(([name, value]) => [name, value instanceof Node ? value.textContent : value]));
  if (facts.dataset.shape === shape) return;
  facts.dataset.shape = shape;
  fill(facts, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, /** @type {any} */ (value)))));
}

/**
 * @param {HTMLElement} media
 * @param {Event} event
 */
function renderMedia(media, event) {
  const parts = [];
  if (event.has_picture) {
    const words = t("event.picture", { text: event.text, camera: event.camera, time: moment(event.start) });
    const picture = h("img", { class: "shot", alt: words });
    const drawn = h("input", { type: "checkbox", checked: true });
    drawn.addEventListener("change", () => showPicture(picture, event, drawn.checked));
    showPicture(picture, event, true);
    parts.push(picture, h("label", { class: "switch" }, drawn, h("span", { class: "knob" }), h("span", {}, t("event.drawn"))));
  } else {
    parts.push(h("p", { class: "empty" }, t("event.no-picture")));
  }
  if (event.has_clip) {
    parts.push(
      h("video", { class: "shot", src: `${path("events", event.id)}/clip`, controls: true, preload: "metadata", playsinline: true, "aria-label": t("event.clip") }),
    );
  } else {
    parts.push(h("p", { class: "quiet" }, t(event.end ? "event.no-clip" : "event.clip.wait")));
  }
  fill(media, parts);
}
