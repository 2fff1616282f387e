/** What a search of the past has found so far. Times are in milliseconds. */

/** @typedef {import("./frame.js").Detection} Detection */
/**
 * @typedef {{camera: string, time: string, until: string, size: [number, number], score: number, detections: Detection[],
 *   has_picture: boolean}} Hit
 * @typedef {{camera: string, time: string, until: string, answer: {text: string, score: number} | null}} Point
 * @typedef {{camera: string, appears: boolean, time: string, after: string, shown: Hit | null}} Moment
 * @typedef {{mode: "best" | "curve" | "moments", frames: number, asked: number, unreadable: number,
 *   first_unreadable: string | null, cancelled: boolean, hits: Hit[], curve: Point[], moments: Moment[]}} Outcome
 * @typedef {{from: number, to: number, text: string | null}} Stretch a time for which an answer is known to hold
 * @typedef {{stretches: Stretch[], levels: string[], numeric: boolean, low: number, high: number}} Curve
 */

/** Most rows that are listed of answers or moments. */
export const MOST_ROWS = 200;
/** Of hits of a camera that are closer than this only the best is shown, as in the outcome. */
const APART_MS = 60_000;

/** What is found, line by line. */
export class Found {
  /** @type {Hit[]} best first */
  hits = [];
  /** @type {Point[]} */
  points = [];
  /** @type {Outcome | null} */
  outcome = null;
  /** @type {string | null} */
  error = null;
  asked = 0;
  of = 0;

  /** @param {number} limit most hits */
  constructor(limit) {
    this.limit = limit;
  }

  /** @param {any} line */
  take(line) {
    if (line?.hit) this.hits = ranked(this.hits, line.hit, this.limit);
    else if (line?.answer) this.points.push(line.answer);
    else if (line?.progress) ({ asked: this.asked, of: this.of } = line.progress);
    else if (line?.outcome) this.#end(line.outcome);
    else if (typeof line?.error === "string") this.error = line.error;
  }

  /** @param {Outcome} outcome */
  #end(outcome) {
    const byTime = (/** @type {Moment} */ one, /** @type {Moment} */ other) => Date.parse(one.time) - Date.parse(other.time);
    this.outcome = { ...outcome, moments: [...outcome.moments].sort(byTime) };
    this.hits = outcome.hits;
    this.points = outcome.curve;
    [this.asked, this.of] = [outcome.asked, outcome.frames];
  }

  /** Whether all was told. */
  get over() {
    return this.outcome !== null || this.error !== null;
  }
}

/**
 * The hits with another one: it takes the place of those of its camera that are close to it.
 * @param {Hit[]} hits best first
 * @param {Hit} hit
 * @param {number} limit
 */
export function ranked(hits, hit, limit) {
  const ms = Date.parse;
  const isClose = (/** @type {Hit} */ other) =>
    other.camera === hit.camera &&
    Math.max(ms(other.time) - ms(hit.until), ms(hit.time) - ms(other.until)) < APART_MS;
  const better = (/** @type {Hit} */ other) =>
    other.score > hit.score || (other.score === hit.score && ms(other.time) <= ms(hit.time));
  if (hits.some((other) => isClose(other) && better(other))) return hits;
  const others = hits.filter((other) => !isClose(other));
  const at = others.findIndex((other) => !better(other));
  others.splice(at < 0 ? others.length : at, 0, hit);
  return others.slice(0, limit);
}

/**
 * Points of each camera by time; of neighbours with the same answer the first, until the last.
 * @param {Point[]} points
 * @returns {Map<string, Stretch[]>}
 */
export function stretches(points) {
  /** @type {Map<string, Stretch[]>} */
  const cameras = new Map();
  for (const { camera, time, until, answer } of points) {
    const known = cameras.get(camera) ?? [];
    known.push({ from: Date.parse(time), to: Date.parse(until), text: answer?.text ?? null });
    cameras.set(camera, known);
  }
  const names = [...cameras.keys()].sort();
  return new Map(names.map((name) => [name, joined(/** @type {Stretch[]} */ (cameras.get(name)))]));
}

/** @param {Stretch[]} all */
function joined(all) {
  /** @type {Stretch[]} */
  const kept = [];
  for (const one of all.sort((a, b) => a.from - b.from)) {
    const last = kept[kept.length - 1];
    if (last && last.text === one.text) last.to = Math.max(last.to, one.to);
    else kept.push(one);
  }
  return kept;
}

/**
 * What is drawn of a camera's answers: numbers by their size, words one above the other.
 * @param {Stretch[]} stretches
 * @returns {Curve}
 */
export function curveOf(stretches) {
  const texts = [...new Set(stretches.flatMap(({ text }) => (text === null ? [] : [text])))];
  const numeric = texts.length > 0 && texts.every((text) => /^-?\d+(\.\d+)?$/.test(text));
  if (!numeric) return { stretches, levels: texts.sort(), numeric, low: 0, high: Math.max(texts.length - 1, 1) };
  const values = texts.map(Number).sort((a, b) => a - b);
  const [low, high] = [Math.min(0, values[0]), values[values.length - 1]];
  return { stretches, levels: values.map(String), numeric, low, high: Math.max(high, low + 1) };
}

/**
 * How high an answer lies, from 0 to 1.
 * @param {Curve} curve
 * @param {string} text
 */
export function levelOf({ numeric, levels, low, high }, text) {
  return ((numeric ? Number(text) : levels.indexOf(text)) - low) / (high - low);
}

/** A minute before and behind, so that events that led there are seen too. */
const MARGIN_MS = 60_000;

/**
 * Where the events of a camera about a time are.
 * @param {string} camera
 * @param {string} from
 * @param {string} to
 */
export function eventsAbout(camera, from, to) {
  const at = (/** @type {number} */ ms) => new Date(ms).toISOString();
  const times = { from: at(Date.parse(from) - MARGIN_MS), to: at(Date.parse(to) + MARGIN_MS) };
  return `#/events?${new URLSearchParams({ camera, ...times })}`;
}
