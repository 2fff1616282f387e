/** Boxes, masks and words over a picture. */

import { fit } from "./geometry.js";
import { score } from "./format.js";
import { eachRun } from "./rle.js";
import { overlap } from "./spans.js";

/** @typedef {import("./frame.js").Report} Report */
/** @typedef {import("./frame.js").Detection} Detection */
/** @typedef {import("./frame.js").Mask} Mask */

/**
 * What the reader points at: a query, and in it an object (by its track, else by its place in the list) or a span.
 * @typedef {{query: string, track?: number, index?: number, span?: [number, number]}} Focus
 */

/** Colours of queries: bright on video, each readable under black words. */
export const COLOURS = ["#4cc9f0", "#ffd166", "#ff8fab", "#80ed99", "#c8a2ff", "#ffa94d", "#5eead4", "#e2e86b"];

/** @param {number} index of the query in its camera */
export function colour(index) {
  return COLOURS[((index % COLOURS.length) + COLOURS.length) % COLOURS.length];
}

/**
 * @param {Focus | null} focus
 * @param {string} query
 * @param {Detection} detection
 * @param {number} index
 */
export function isMeant(focus, query, detection, index) {
  if (!focus || focus.query !== query) return false;
  const { track, span } = focus;
  if (track !== undefined) return detection.track === track;
  if (focus.index !== undefined) return focus.index === index;
  return span === undefined || detection.phrases.some((phrase) => overlap(phrase.span, span));
}

/**
 * The words of an object, each once.
 * @param {Detection} detection
 */
export function wordsOf(detection) {
  return [...new Set(detection.phrases.map((phrase) => phrase.text))].join(", ");
}

/**
 * Draws a report on a canvas that lies over its picture.
 * @param {HTMLCanvasElement} canvas
 * @param {Report | null} report
 * @param {{focus: Focus | null, compact: boolean, boxes: boolean, masks: boolean, hidden?: Set<string>}} options
 */
export function draw(canvas, report, { focus, compact, boxes, masks }) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (!report || !boxes) return;
  const room = fit(report.size[0], report.size[1], width, height);
  const found = report.queries.flatMap((query, at) =>
    (query.detections ?? []).map((detection, index) => ({
      detection,
      colour: colour(at),
      meant: isMeant(focus, query.id, detection, index),
    })),
  );
  // What is meant comes last: on top.
  found.sort((a, b) => Number(a.meant) - Number(b.meant));
  for (const { detection, colour, meant } of found) {
    context.globalAlpha = focus && !meant ? 0.3 : 1;
    if (masks && detection.mask) drawMask(context, detection.mask, room, colour, meant);
  }
  for (const { detection, colour, meant } of found) {
    context.globalAlpha = focus && !meant ? 0.3 : 1;
    const [x, y, boxWidth, boxHeight] = detection.box;
    const box = {
      x: room.x + x * room.scale,
      y: room.y + y * room.scale,
      width: boxWidth * room.scale,
      height: boxHeight * room.scale,
    };
    context.lineWidth = (compact ? 1.5 : 2) + (meant ? 1.5 : 0);
    context.strokeStyle = "rgb(0 0 0 / 55%)";
    context.strokeRect(box.x, box.y, box.width, box.height);
    context.lineWidth -= 0.5;
    context.strokeStyle = colour;
    context.strokeRect(box.x, box.y, box.width, box.height);
  }
  if (!compact) labels(context, found.filter(({ meant }) => meant || !focus), room);
  context.globalAlpha = 1;
}

/** Height of a line of words, and the width of a picture below which scores are left out. */
const LABEL = 18;
const NARROW = 420;

/**
 * Words beside boxes. Where there is no room for them without covering others they are left out: they are in the list
 * of sentences too.
 * @param {CanvasRenderingContext2D} context
 * @param {{detection: Detection, colour: string, meant: boolean}[]} found
 * @param {{x: number, y: number, scale: number, width: number, height: number}} room
 */
function labels(context, found, room) {
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.globalAlpha = 1;
  /** @type {{left: number, top: number, width: number}[]} */
  const taken = [];
  for (const { detection, colour, meant } of [...found].reverse()) {
    const track = detection.track === undefined ? "" : `  #${detection.track}`;
    const figures = room.width < NARROW ? "" : `  ${score(detection.score)}${track}`;
    const text = wordsOf(detection) + figures;
    const width = Math.min(context.measureText(text).width + 10, room.width);
    const [x, y] = [room.x + detection.box[0] * room.scale, room.y + detection.box[1] * room.scale];
    const bottom = y + detection.box[3] * room.scale;
    const left = Math.max(room.x, Math.min(x - 1, room.x + room.width - width));
    const tops = [y - LABEL, bottom, y, bottom - LABEL].filter(
      (top) => top >= room.y && top + LABEL <= room.y + room.height,
    );
    const free = tops.find((top) =>
      taken.every(
        (other) => Math.abs(other.top - top) >= LABEL || left + width <= other.left || other.left + other.width <= left,
      ),
    );
    const top = free ?? (meant ? tops[0] : undefined);
    if (top === undefined) continue;
    taken.push({ left, top, width });
    context.fillStyle = colour;
    context.fillRect(left, top, width, LABEL);
    context.fillStyle = "#000";
    context.fillText(text, left + 5, top + LABEL / 2 + 0.5, width - 10);
  }
}

/**
 * A mask as a picture of its own pixels, with the place of its top left corner.
 * @typedef {{picture: HTMLCanvasElement, x: number, y: number}} Shape
 */

/** @type {WeakMap<Mask, Shape | null>} `null`: it is empty or broken */
const shapes = new WeakMap();

/**
 * @param {Mask} mask
 * @param {string} colour
 * @returns {Shape | null}
 */
function shapeOf(mask, colour) {
  /** @type {[number, number, number][]} */
  const runs = [];
  try {
    eachRun(mask, (x, y, length) => runs.push([x, y, length]));
  } catch {
    return null;
  }
  if (runs.length === 0) return null;
  let [left, top, right, bottom] = [Infinity, Infinity, 0, 0];
  for (const [x, y, length] of runs) {
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + length)];
  }
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [right - left, bottom - top];
  const pen = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
  pen.fillStyle = colour;
  for (const [x, y, length] of runs) pen.fillRect(x - left, y - top, 1, length);
  return { picture, x: left, y: top };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Mask} mask
 * @param {{x: number, y: number, scale: number}} room
 * @param {string} colour
 * @param {boolean} meant
 */
function drawMask(context, mask, room, colour, meant) {
  let shape = shapes.get(mask);
  if (shape === undefined) {
    shape = shapeOf(mask, colour);
    shapes.set(mask, shape);
  }
  if (!shape) return;
  const { picture, x, y } = shape;
  const alpha = context.globalAlpha;
  context.globalAlpha = alpha * (meant ? 0.5 : 0.22);
  const [left, top] = [room.x + x * room.scale, room.y + y * room.scale];
  context.drawImage(picture, left, top, picture.width * room.scale, picture.height * room.scale);
  context.globalAlpha = alpha;
}
