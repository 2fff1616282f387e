/** One event in a list. */

import { fill, h, icon } from "./dom.js";
import { path, search } from "./api.js";
import { spoken } from "./duration.js";
import { moment } from "./format.js";
import { cut } from "./spans.js";
import { t } from "./strings.js";

/** @typedef {import("./world.js").Event} Event */

/** @param {string} id */
export function eventLink(id) {
  return `#/events/${encodeURIComponent(id)}`;
}

/**
 * @param {string} id
 * @param {boolean} drawn
 */
export function pictureOf(id, drawn) {
  return `${path("events", id)}/picture.jpg${search(drawn ? { drawn: true } : {})}`;
}

/**
 * Shows the picture of an event. The best view may change while an event is open, under the same address: then it is
 * asked for again.
 * @param {HTMLImageElement} image
 * @param {Event} event
 * @param {boolean} drawn
 */
export async function showPicture(image, event, drawn) {
  const at = pictureOf(event.id, drawn);
  if (event.end) {
    image.src = at;
    return;
  }
  try {
    const response = await fetch(at, { cache: "no-cache" });
    if (!response.ok) throw new Error(`${response.status}`);
    const url = URL.createObjectURL(await response.blob());
    const done = () => URL.revokeObjectURL(url);
    image.addEventListener("load", done, { once: true });
    image.addEventListener("error", done, { once: true });
    image.src = url;
  } catch {
    image.dispatchEvent(new Event("error"));
  }
}

/** @param {Event} event */
export function lasted(event) {
  const end = event.end ? new Date(event.end).getTime() : Date.now();
  return spoken(Math.max(0, end - new Date(event.start).getTime()) / 1000);
}

/**
 * Whether the event is that nothing was seen.
 * @param {Event} event
 */
function isAbsence(event) {
  return !(event.score > 0) && !event.answer && (event.phrases ?? []).length === 0;
}

/**
 * The sentence of an event; the words it rests on are marked.
 * @param {Event} event
 */
export function eventWords(event) {
  const spans = (event.phrases ?? []).map((/** @type {{span: [number, number]}} */ phrase) => phrase.span);
  const pieces = cut(event.text ?? "", spans);
  return h(
    "span",
    { class: "words", dir: "auto" },
    isAbsence(event) && h("span", { class: "absent" }, t("events.absent"), " "),
    pieces.map((piece) => (piece.marks.length > 0 ? h("mark", {}, piece.text) : piece.text)),
  );
}

/**
 * @param {Event} event
 * @param {{camera?: boolean}} [options] whether the camera is named
 */
export function eventRow(event, { camera = true } = {}) {
  const thumbnail = h("span", { class: "thumb" });
  if (event.has_picture) {
    const picture = h("img", { alt: "", loading: "lazy", decoding: "async" });
    picture.addEventListener("error", () => fill(thumbnail, icon("events")));
    showPicture(picture, event, true);
    thumbnail.append(picture);
  } else {
    thumbnail.append(icon("events"));
  }
  const open = !event.end;
  return h(
    "a",
    { class: `event ${event.severity}${open ? " open" : ""}`, href: eventLink(event.id), "data-event": event.id },
    thumbnail,
    h(
      "span",
      { class: "what" },
      eventWords(event),
      h(
        "span",
        { class: "quiet" },
        h("time", { datetime: event.start }, moment(event.start)),
        camera && ` · ${event.camera}`,
        ` · ${event.rule}`,
        !open && ` · ${lasted(event)}`,
        event.kept && ` · ${t("event.kept")}`,
      ),
    ),
    h(
      "span",
      { class: "marks" },
      open && h("span", { class: "badge live" }, t("events.live")),
      h("span", { class: `badge ${event.severity}` }, t(`severity.${event.severity}`)),
    ),
  );
}
