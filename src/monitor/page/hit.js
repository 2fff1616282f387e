/** A frame that answers a search. */

import { path, search } from "./api.js";
import { draw, wordsOf } from "./boxes.js";
import { h } from "./dom.js";
import { eventsAbout } from "./found.js";
import { moment, score } from "./format.js";
import { t } from "./strings.js";

/** @typedef {import("./found.js").Hit} Hit */

/** @param {Hit} hit */
export function keyOf({ camera, time, score }) {
  return JSON.stringify([camera, time, score]);
}

/** Words of what was found, each once. */
function found(/** @type {Hit} */ hit) {
  return [...new Set(hit.detections.map(wordsOf).filter(Boolean))].join(", ") || t("search.something");
}

/**
 * The frame with its boxes: on its picture if one was kept, else on an empty frame.
 * @param {Hit} hit
 * @param {ResizeObserver} sizes is told of the canvas, which is drawn by `redraw`
 */
export function frame(hit, sizes) {
  const { camera, time, size, detections } = hit;
  const [width, height] = size;
  const words = t(hit.has_picture ? "search.picture" : "search.frame", { camera, time: moment(time), words: found(hit) });
  const canvas = h("canvas", { "aria-hidden": "true" });
  reports.set(canvas, {
    schema: "mdetr/1",
    source: camera,
    frame: 0,
    size,
    revision: 0,
    queries: [{ id: "search", text: "", detections }],
  });
  sizes.observe(canvas);
  const none = h("p", { class: "note", "aria-hidden": "true" }, t("search.no-picture"));
  const stage = h("div", { class: "stage", role: "img", "aria-label": words, style: { "--ratio": `${width} / ${height}` } }, canvas);
  if (hit.has_picture) {
    const picture = h("img", { class: "picture", alt: "", loading: "lazy", decoding: "async" });
    // It may have been removed by its age meanwhile: then the frame is empty.
    picture.addEventListener("error", () => picture.replaceWith(none));
    picture.src = `${path("search", "picture.jpg")}${search({ camera, time })}`;
    stage.prepend(picture);
  } else {
    stage.append(none);
  }
  return h("div", { class: "screen compact" }, stage);
}

/** @type {WeakMap<Element, import("./frame.js").Report>} */
const reports = new WeakMap();

/** @param {Element} canvas of a frame */
export function redraw(canvas) {
  const report = reports.get(canvas);
  if (report) draw(/** @type {HTMLCanvasElement} */ (canvas), report, { focus: null, compact: false, boxes: true, masks: false });
}

/**
 * @param {Hit} hit
 * @param {ResizeObserver} sizes
 */
export function hitCard(hit, sizes) {
  const { camera, time, until } = hit;
  const when = moment(time);
  return h(
    "li",
    { class: "tile hit" },
    frame(hit, sizes),
    h(
      "div",
      { class: "about" },
      h("h2", {}, h("time", { datetime: time }, when), ` · ${camera}`),
      h("p", { class: "quiet" }, t("search.score", { words: found(hit), score: score(hit.score) })),
      h("a", { href: eventsAbout(camera, time, until), "aria-label": t("search.events.label", { camera, time: when }) }, t("search.events")),
    ),
  );
}
