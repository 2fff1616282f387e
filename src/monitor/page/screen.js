/** A camera's picture with what is found in it. */

import { Scope, h, setText } from "./dom.js";
import { draw, isMeant } from "./boxes.js";
import { boxAt, fit } from "./geometry.js";
import { Live } from "./live.js";
import { t } from "./strings.js";
import { hear, world } from "./world.js";

/** @typedef {import("./frame.js").Report} Report */
/** @typedef {import("./boxes.js").Focus} Focus */

/** Time without a picture after which the state of the camera is said on it. */
const STALE_MS = 3000;
/** Small pictures, of which there are many, change less often. */
const COMPACT_PAUSE_MS = 100;

export class Screen {
  scope = new Scope();
  /** @type {Report | null} */
  report = null;
  boxes = true;
  masks = true;
  /** @type {Focus | null} */
  #focus = null;
  #compact;
  #name;
  #live;
  #seen = false;
  #lastPicture = 0;
  /** @type {"connecting" | "live" | "pictures"} */
  #state = "connecting";
  /** @type {Set<(report: Report | null) => void>} */
  #readers = new Set();
  /** @type {Set<(focus: Focus | null) => void>} */
  #pointers = new Set();

  /**
   * @param {string} name of the camera
   * @param {{compact?: boolean}} [options]
   */
  constructor(name, { compact = false } = {}) {
    this.#name = name;
    this.#compact = compact;
    // Pictures come many times a second: the words beside them are what is read out, not what is drawn.
    const label = t("screen.label", { camera: name });
    this.picture = h("canvas", { class: "picture", width: 4, height: 3, role: "img", "aria-label": label });
    this.overlay = h("canvas", { class: "overlay", "aria-hidden": "true" });
    this.note = h("p", { class: "note" }, t("screen.wait"));
    this.stage = h("div", { class: "stage" }, this.picture, this.overlay);
    this.element = h("div", { class: compact ? "screen compact" : "screen" }, this.stage, this.note);
    this.#live = new Live(
      name,
      (bitmap, report) => this.#show(bitmap, report),
      (state) => {
        this.#state = state;
        this.#say();
      },
      compact ? { pause: COMPACT_PAUSE_MS } : { video: () => world.statusOf(name)?.video === true },
    );
    this.scope.add(() => this.#live.stop());
    const watcher = new IntersectionObserver((entries) => {
      this.#seen = entries[entries.length - 1].isIntersecting;
      this.#run();
    });
    watcher.observe(this.element);
    this.scope.add(() => watcher.disconnect());
    const sizes = new ResizeObserver(() => this.redraw());
    sizes.observe(this.overlay);
    this.scope.add(() => sizes.disconnect());
    this.scope.on(document, "visibilitychange", () => this.#run());
    this.scope.add(hear("status", () => this.#run()));
    this.scope.add(hear("config", () => this.#run()));
    this.scope.add(hear("link", () => this.#run()));
    this.scope.every(1000, () => this.#say());
    if (!compact) {
      this.scope.on(this.stage, "pointermove", (event) => this.#point(event));
      this.scope.on(this.stage, "pointerdown", (event) => this.#point(event));
      this.scope.on(this.stage, "pointerleave", () => this.#pointAt(null));
    }
  }

  close() {
    this.scope.close();
  }

  /**
   * Is given each report.
   * @param {(report: Report | null) => void} reader
   */
  read(reader) {
    this.#readers.add(reader);
    reader(this.report);
  }

  /**
   * Is told what the reader points at on the picture.
   * @param {(focus: Focus | null) => void} pointer
   */
  pointed(pointer) {
    this.#pointers.add(pointer);
  }

  get focus() {
    return this.#focus;
  }

  set focus(focus) {
    this.#focus = focus;
    this.redraw();
  }

  redraw() {
    const { boxes, masks } = this;
    draw(this.overlay, this.report, { focus: this.#focus, compact: this.#compact, boxes, masks });
  }

  #watched() {
    const camera = world.camera(this.#name);
    return camera !== null && camera.enabled !== false && world.statusOf(this.#name)?.state !== "disabled";
  }

  #run() {
    const wanted = this.#seen && !document.hidden && !this.scope.closed && this.#watched() && !world.locked && !world.hub;
    if (wanted) {
      this.#live.start();
      this.#live.look();
    } else {
      this.#live.stop();
    }
    this.#say();
  }

  /**
   * @param {ImageBitmap | VideoFrame} bitmap
   * @param {Report | null} report
   */
  #show(bitmap, report) {
    const { picture } = this;
    const isVideo = "displayWidth" in bitmap;
    const [width, height] = isVideo ? [bitmap.displayWidth, bitmap.displayHeight] : [bitmap.width, bitmap.height];
    this.element.dataset.kind = isVideo ? "video" : "picture";
    if (picture.width !== width || picture.height !== height) {
      [picture.width, picture.height] = [width, height];
      this.stage.style.setProperty("--ratio", `${width} / ${height}`);
      this.stage.style.setProperty("--aspect", String(width / height));
    }
    picture.getContext("2d")?.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.#lastPicture = Date.now();
    this.report = report;
    this.redraw();
    this.element.dataset.frame = String(report?.frame ?? "");
    this.element.dataset.age = String(report?.age_ms ?? "");
    for (const reader of this.#readers) reader(report);
    if (!this.note.hidden) this.#say();
  }

  #say() {
    const state = world.statusOf(this.#name)?.state;
    const stale = Date.now() - this.#lastPicture > STALE_MS;
    let words = "";
    if (!this.#watched()) words = t("screen.off");
    else if (world.hub && state !== "offline") words = t("screen.hub");
    else if (this.#state === "pictures" && !stale) words = t("screen.pictures");
    else if (stale && state === "offline") words = t("screen.offline");
    else if (stale && state === "stalled") words = t("screen.stalled");
    else if (stale) words = t(this.#state === "connecting" ? "screen.connecting" : "screen.wait");
    setText(this.note, words);
    this.note.hidden = words === "";
    this.element.classList.toggle("stale", stale || !this.#watched());
    this.element.dataset.state = words === "" ? "live" : this.#state;
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const { report } = this;
    if (!report || !this.boxes) return this.#pointAt(null);
    const area = this.overlay.getBoundingClientRect();
    const room = fit(report.size[0], report.size[1], area.width, area.height);
    /** @type {[number, number]} */
    const place = [(event.clientX - area.left - room.x) / room.scale, (event.clientY - area.top - room.y) / room.scale];
    const all = report.queries.flatMap((query) =>
      (query.detections ?? []).map((detection, index) => ({ query: query.id, detection, index })),
    );
    const at = boxAt(place, all.map(({ detection }) => detection.box));
    if (at < 0) return this.#pointAt(null);
    const { query, detection, index } = all[at];
    return this.#pointAt(detection.track === undefined ? { query, index } : { query, track: detection.track });
  }

  /** @param {Focus | null} focus */
  #pointAt(focus) {
    if (JSON.stringify(focus) === JSON.stringify(this.#focus)) return;
    this.focus = focus;
    for (const pointer of this.#pointers) pointer(focus);
  }
}

/**
 * Spans of the words of the objects that are meant.
 * @param {Report | null} report
 * @param {string} id of the query
 * @param {Focus | null} focus
 * @returns {[number, number][]}
 */
export function spansMeant(report, id, focus) {
  const query = report?.queries.find((query) => query.id === id);
  return (query?.detections ?? []).flatMap((detection, index) =>
    isMeant(focus, id, detection, index) ? detection.phrases.map((phrase) => phrase.span) : [],
  );
}
