/** All cameras. */

import { fill, h, icon, setText } from "./dom.js";
import { EventList } from "./eventlist.js";
import { Screen } from "./screen.js";
import { parseSentence } from "./spans.js";
import { percent } from "./format.js";
import { colour } from "./boxes.js";
import { t } from "./strings.js";
import { addCamera } from "./system.js";
import { hear, world } from "./world.js";

/** Sentences that are shown below a small picture. */
const MOST = 3;
/** Texts change at most this often. */
const READ_MS = 200;

/** @param {string} name */
export function cameraLink(name) {
  return `#/cameras/${encodeURIComponent(name)}`;
}

/** @param {string} state */
export function stateBadge(state) {
  return h("span", { class: `status ${state}` }, t(`state.${state}`));
}

/**
 * A small picture of a camera with its sentences.
 * @param {import("./world.js").Camera} camera
 */
function tile(camera) {
  const screen = new Screen(camera.name, { compact: true });
  const queries = camera.query ?? [];
  const states = queries.map(() => h("span", { class: "found" }));
  const lines = queries.slice(0, MOST).map((query, index) =>
    h(
      "li",
      { style: { "--colour": colour(index) } },
      h("span", { class: "text", dir: "auto" }, parseSentence(query.text).text),
      states[index],
    ),
  );
  const rest = queries.length - lines.length;
  const badge = h("span", {});
  const alert = h("span", { class: "badge", hidden: true });
  const element = h(
    "li",
    { class: "tile", "data-camera": camera.name },
    h(
      "div",
      { class: "head" },
      // The link covers the whole tile.
      h("h2", {}, h("a", { href: cameraLink(camera.name), "aria-label": t("cameras.open", { camera: camera.name }) }, camera.name)),
      alert,
      badge,
    ),
    screen.element,
    h(
      "ul",
      { class: "lines" },
      lines.length > 0 ? lines : h("li", { class: "quiet plain" }, t("cameras.no-queries")),
      rest > 0 && h("li", { class: "quiet plain" }, t("cameras.more", { n: rest })),
    ),
  );
  const say = () => {
    fill(badge, stateBadge(world.statusOf(camera.name)?.state ?? (camera.enabled === false ? "disabled" : "unknown")));
    const open = [...world.open.values()].filter((event) => event.camera === camera.name);
    const alerting = open.some(({ severity }) => severity === "alert");
    alert.hidden = open.length === 0;
    alert.classList.toggle("alert", alerting);
    setText(alert, t(alerting ? "cameras.alert" : "cameras.event"));
    element.classList.toggle("alerting", alerting);
  };
  for (const topic of ["status", "event", "events"]) screen.scope.add(hear(topic, say));
  say();
  let read = 0;
  screen.read((report) => {
    if (!report || performance.now() - read < READ_MS) return;
    read = performance.now();
    queries.slice(0, MOST).forEach((query, index) => {
      const result = report.queries.find(({ id }) => id === query.id);
      const answer = result?.answer;
      let words = "";
      if (answer) words = `${answer.text} · ${t("query.probability", { p: percent(answer.score) })}`;
      else if (result?.present) words = t("query.seen", { n: result.detections?.length ?? 0 });
      else if (result) words = t("query.not-seen");
      setText(states[index], words);
      lines[index].dataset.found = answer ? "answer" : result?.present ? "seen" : result ? "absent" : "none";
    });
  });
  return { element, screen };
}

/**
 * @param {HTMLElement} main
 * @param {import("./dom.js").Scope} scope
 */
export function camerasView(main, scope) {
  document.title = `${t("cameras.title")} · ${t("app.name")}`;
  const grid = h("ul", { class: "grid" });
  const empty = h(
    "div",
    { class: "empty big" },
    h("p", {}, t("cameras.none")),
    h("p", { class: "hint" }, t("cameras.none.hint")),
    h("button", { type: "button", class: "button primary", on: { click: addCamera } }, icon("add"), t("cameras.add")),
  );
  const latest = new EventList(scope, { limit: 20, camera: true, paged: false, empty: t("cameras.nothing") });
  fill(
    main,
    h(
      "div",
      { class: "split" },
      h("section", { "aria-labelledby": "title" }, h("h1", { id: "title", class: "hidden", tabindex: -1 }, t("cameras.title")), grid, empty),
      h("aside", { class: "side", "aria-labelledby": "latest" }, h("h2", { id: "latest" }, t("cameras.latest")), latest.element),
    ),
  );
  /** @type {ReturnType<typeof tile>[]} */
  let tiles = [];
  let shape = "";
  const close = () => {
    for (const { screen } of tiles.splice(0)) screen.close();
  };
  const render = () => {
    const cameras = world.cameras();
    const now = JSON.stringify(cameras.map(({ name, query, enabled }) => [name, query, enabled]));
    empty.hidden = world.config === null || cameras.length > 0;
    grid.hidden = cameras.length === 0;
    if (now === shape) return;
    shape = now;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest("[data-camera]"))?.dataset.camera;
    close();
    tiles = cameras.map(tile);
    grid.dataset.count = String(cameras.length);
    fill(grid, tiles.map(({ element }) => element));
    if (focused) /** @type {HTMLElement | null} */ (grid.querySelector(`[data-camera="${CSS.escape(focused)}"] a`))?.focus();
  };
  scope.add(hear("config", render));
  scope.add(close);
  render();
  latest.show({});
  return {
    keys: (/** @type {string} */ key) => {
      if (key !== "b") return false;
      for (const { screen } of tiles) {
        screen.boxes = !screen.boxes;
        screen.redraw();
      }
      return true;
    },
  };
}
