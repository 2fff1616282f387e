/** Zones and lines on a picture: seen, drawn, moved. */

import { freeName } from "./document.js";
import { fill, svg } from "./dom.js";
import { clamp01, crossesItself, fit, forwardArrow, rounded } from "./geometry.js";
import { t } from "./strings.js";

/** @typedef {import("./draft.js").Draft} Draft */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {"zone" | "line"} Kind */

/** How far an arrow key moves a point, and with Shift. */
const STEP = 0.005;
const LEAP = 0.05;
/** A click this near to the first corner ends a zone, in pixels. */
const CLOSE_PX = 14;
const ARROW_PX = 34;

export class Editor {
  #screen;
  #draft;
  /** @type {{kind: Kind, points: Point[], pointer: Point | null} | null} */
  #drawing = null;
  /** @type {number | null} index of the point that is dragged */
  #dragged = null;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  #refocus = "";
  editing = false;
  /** @type {{kind: Kind, id: string} | null} */
  selected = null;

  /**
   * @param {import("./screen.js").Screen} screen
   * @param {Draft} draft
   * @param {import("./dom.js").Scope} scope
   */
  constructor(screen, draft, scope) {
    this.#screen = screen;
    this.#draft = draft;
    this.element = svg("svg", { class: "editor" });
    screen.stage.append(this.element);
    const sizes = new ResizeObserver(() => this.render());
    sizes.observe(this.element);
    scope.add(() => sizes.disconnect());
    draft.changed(() => this.render());
    scope.on(this.element, "pointerdown", (event) => this.#down(event));
    scope.on(this.element, "pointermove", (event) => this.#move(event));
    scope.on(this.element, "pointerup", () => this.#up());
    scope.on(this.element, "pointercancel", () => this.#up());
    scope.on(this.element, "keydown", (event) => this.#key(event));
    scope.on(this.element, "focusin", (event) => this.#focused(event));
  }

  /** @param {() => void} listener is told when another shape is chosen, or drawing begins or ends */
  changed(listener) {
    this.#listeners.add(listener);
  }

  #tell() {
    this.render();
    for (const listener of this.#listeners) listener();
  }

  /** @param {boolean} on */
  setEditing(on) {
    this.editing = on;
    if (!on) {
      this.#drawing = null;
      this.selected = null;
    }
    this.#tell();
  }

  get drawing() {
    return this.#drawing?.kind ?? null;
  }

  /** @param {Kind} kind @param {string} id */
  select(kind, id) {
    this.selected = { kind, id };
    this.#tell();
  }

  /**
   * Begins to draw; by the keyboard a shape appears in the middle, to be moved.
   * @param {Kind} kind
   * @param {boolean} byKeyboard
   */
  begin(kind, byKeyboard) {
    if (!byKeyboard) {
      this.selected = null;
      this.#drawing = { kind, points: [], pointer: null };
      this.#tell();
      return;
    }
    /** @type {Point[]} */
    const zone = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]];
    this.#add(kind, kind === "zone" ? zone : [[0.3, 0.5], [0.7, 0.5]]);
    this.#refocus = "point-0";
    this.render();
  }

  stop() {
    this.#drawing = null;
    this.#tell();
  }

  /** @param {Kind} kind @param {Point[]} points */
  #add(kind, points) {
    const at = points.map(([x, y]) => /** @type {Point} */ ([rounded(x), rounded(y)]));
    let id = "";
    this.#draft.change(({ zones, lines }) => {
      id = freeName(kind, kind === "zone" ? zones : lines);
      if (kind === "zone") zones.push({ id, points: at });
      else lines.push({ id, from: at[0], to: at[1] });
    });
    this.#drawing = null;
    this.select(kind, id);
  }

  /** Where the picture lies in the element, in pixels. */
  #room() {
    const { width, height } = this.element.getBoundingClientRect();
    const { picture } = this.#screen;
    return fit(picture.width, picture.height, width, height);
  }

  /** @param {Point} point relative @returns {Point} in pixels of the element */
  #place([x, y]) {
    const room = this.#room();
    return [room.x + x * room.width, room.y + y * room.height];
  }

  /** @param {PointerEvent} event @returns {Point} relative */
  #relative(event) {
    const area = this.element.getBoundingClientRect();
    const room = this.#room();
    const x = (event.clientX - area.left - room.x) / room.width;
    const y = (event.clientY - area.top - room.y) / room.height;
    return [clamp01(x), clamp01(y)];
  }

  /** @returns {{id: string, points: Point[]} | null} */
  #chosen() {
    if (!this.selected) return null;
    const { kind, id } = this.selected;
    const { zones, lines } = this.#draft.parts;
    if (kind === "zone") return zones.find((zone) => zone.id === id) ?? null;
    const line = lines.find((line) => line.id === id);
    return line ? { id, points: [line.from, line.to] } : null;
  }

  /** @param {number} index @param {Point} to @param {string} step */
  #setPoint(index, [x, y], step) {
    const chosen = this.selected;
    if (!chosen) return;
    /** @type {Point} */
    const point = [rounded(x), rounded(y)];
    this.#draft.change(({ zones, lines }) => {
      if (chosen.kind === "zone") {
        const zone = zones.find(({ id }) => id === chosen.id);
        if (zone) zone.points[index] = point;
      } else {
        const line = lines.find(({ id }) => id === chosen.id);
        if (line) line[index === 0 ? "from" : "to"] = point;
      }
    }, step);
  }

  /** @param {number} index behind which one is inserted, in the middle of the edge */
  #insert(index) {
    const shape = this.#chosen();
    if (this.selected?.kind !== "zone" || !shape) return;
    const [a, b] = [shape.points[index], shape.points[(index + 1) % shape.points.length]];
    const id = shape.id;
    this.#refocus = `point-${index + 1}`;
    this.#draft.change(({ zones }) => {
      const zone = zones.find((zone) => zone.id === id);
      zone?.points.splice(index + 1, 0, [rounded((a[0] + b[0]) / 2), rounded((a[1] + b[1]) / 2)]);
    });
  }

  /** @param {number} index */
  #delete(index) {
    const shape = this.#chosen();
    if (this.selected?.kind !== "zone" || !shape || shape.points.length <= 3) return;
    const id = shape.id;
    this.#refocus = `point-${Math.max(0, index - 1)}`;
    this.#draft.change(({ zones }) => {
      zones.find((zone) => zone.id === id)?.points.splice(index, 1);
    });
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (!this.editing || event.button !== 0) return;
    const place = this.#relative(event);
    if (this.#drawing) {
      event.preventDefault();
      this.#draw(place);
      return;
    }
    const target = /** @type {Element} */ (event.target).closest("[data-part]");
    const part = target?.getAttribute("data-part") ?? "";
    const [kind, id] = [target?.getAttribute("data-kind"), target?.getAttribute("data-id")];
    if (part === "shape" && kind && id) {
      this.select(/** @type {Kind} */ (kind), id);
    } else if (part.startsWith("point-")) {
      event.preventDefault();
      this.#dragged = Number(part.slice(6));
      this.#refocus = part;
      this.element.setPointerCapture(event.pointerId);
      this.#draft.settle();
      this.render();
    } else if (part.startsWith("edge-")) {
      event.preventDefault();
      const index = Number(part.slice(5));
      this.#insert(index);
      this.#dragged = index + 1;
      this.element.setPointerCapture(event.pointerId);
    }
  }

  /** @param {Point} place */
  #draw(place) {
    const drawing = this.#drawing;
    if (!drawing) return;
    const [x, y] = this.#place(place);
    const first = drawing.points[0] ? this.#place(drawing.points[0]) : null;
    const closes = first && Math.hypot(first[0] - x, first[1] - y) < CLOSE_PX;
    if (drawing.kind === "zone" && closes && drawing.points.length >= 3) {
      this.#add("zone", drawing.points);
      return;
    }
    drawing.points.push(place);
    if (drawing.kind === "line" && drawing.points.length === 2) this.#add("line", drawing.points);
    else this.render();
  }

  /** Ends the drawing of a zone, if it has corners enough. */
  finish() {
    if (this.#drawing?.kind === "zone" && this.#drawing.points.length >= 3) this.#add("zone", this.#drawing.points);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (this.#drawing) {
      this.#drawing.pointer = this.#relative(event);
      this.render();
    } else if (this.#dragged !== null) {
      this.#refocus = `point-${this.#dragged}`;
      this.#setPoint(this.#dragged, this.#relative(event), "drag");
    }
  }

  #up() {
    this.#dragged = null;
    this.#draft.settle();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const part = /** @type {Element} */ (event.target).getAttribute("data-part") ?? "";
    if (part.startsWith("edge-") && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      this.#insert(Number(part.slice(5)));
      return;
    }
    if (part === "shape" && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      this.#refocus = "point-0";
      const shape = /** @type {Element} */ (event.target);
      this.select(/** @type {Kind} */ (shape.getAttribute("data-kind")), shape.getAttribute("data-id") ?? "");
      return;
    }
    const shape = this.#chosen();
    if (!part.startsWith("point-") || !shape) return;
    const index = Number(part.slice(6));
    const by = event.shiftKey ? LEAP : STEP;
    /** @type {Record<string, Point>} */
    const ways = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] };
    const way = ways[event.key];
    if (way) {
      const [x, y] = shape.points[index];
      this.#refocus = part;
      this.#setPoint(index, [x + way[0], y + way[1]], `key-${shape.id}-${index}`);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.#delete(index);
    } else if (event.key === "+" || event.key === "Insert") {
      this.#insert(index);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {FocusEvent} event */
  #focused(event) {
    const part = /** @type {Element} */ (event.target).getAttribute("data-part") ?? "";
    if (part.startsWith("point-") || part.startsWith("edge-")) this.#refocus = part;
  }

  render() {
    const { element } = this;
    const within = element.contains(document.activeElement);
    const { width, height } = element.getBoundingClientRect();
    element.setAttribute("viewBox", `0 0 ${width || 1} ${height || 1}`);
    element.classList.toggle("editing", this.editing);
    element.classList.toggle("drawing", this.#drawing !== null);
    if (this.editing) {
      element.setAttribute("role", "group");
      element.setAttribute("aria-label", t("zones.picture", { camera: this.#draft.camera }));
      element.removeAttribute("aria-hidden");
    } else {
      element.setAttribute("aria-hidden", "true");
    }
    const { zones, lines } = this.#draft.parts;
    const parts = [
      ...zones.map((zone) => this.#zone(zone)),
      ...lines.map((line) => this.#line(line)),
      this.#handles(),
      this.#sketch(),
    ];
    fill(element, ...parts.filter((part) => part !== null));
    if (this.#refocus && (within || this.#dragged !== null || this.#refocus === "point-0")) {
      const handle = element.querySelector(`[data-part="${this.#refocus}"]`);
      if (handle instanceof SVGElement) handle.focus({ preventScroll: true });
      if (this.#refocus === "point-0" && !within && this.#dragged === null && handle === null) return;
    }
    if (!within && this.#dragged === null && element.contains(document.activeElement) === false) this.#refocus = "";
  }

  /** @param {Kind} kind @param {string} id */
  #shapeProps(kind, id) {
    const chosen = this.selected?.kind === kind && this.selected.id === id;
    const props = { class: `${kind}${chosen ? " chosen" : ""}`, "data-kind": kind, "data-id": id };
    if (!this.editing || this.#drawing) return props;
    return { ...props, "data-part": "shape", role: "button", tabindex: 0, "aria-label": `${t(`zones.${kind}`)} ${id}`, "aria-pressed": String(chosen) };
  }

  /** @param {{id: string, points: Point[]}} zone */
  #zone({ id, points }) {
    const at = points.map((point) => this.#place(point));
    const top = at.reduce((a, b) => (b[1] < a[1] ? b : a));
    return svg(
      "g",
      { ...this.#shapeProps("zone", id), ...(crossesItself(points) ? { "data-crossing": "" } : {}) },
      svg("polygon", { points: at.map((point) => point.join()).join(" ") }),
      svg("text", { x: top[0] + 6, y: top[1] + 18 }, id),
    );
  }

  /** @param {{id: string, from: Point, to: Point}} line */
  #line({ id, from, to }) {
    const [a, b] = [this.#place(from), this.#place(to)];
    const { tail, head } = forwardArrow(a, b, ARROW_PX);
    const [dx, dy] = [(head[0] - tail[0]) / ARROW_PX, (head[1] - tail[1]) / ARROW_PX];
    const wing = (/** @type {number} */ side) =>
      `${head[0] - 9 * dx + side * 6 * dy},${head[1] - 9 * dy - side * 6 * dx}`;
    return svg(
      "g",
      this.#shapeProps("line", id),
      svg("line", { class: "grip", x1: a[0], y1: a[1], x2: b[0], y2: b[1] }),
      svg("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }),
      svg("line", { class: "arrow", x1: tail[0], y1: tail[1], x2: head[0], y2: head[1] }),
      svg("polygon", { class: "arrowhead", points: `${head.join()} ${wing(1)} ${wing(-1)}` }),
      svg("text", { x: (a[0] + b[0]) / 2 + 8, y: (a[1] + b[1]) / 2 - 8 }, id),
    );
  }

  #handles() {
    const shape = this.#chosen();
    if (!this.editing || !shape || this.#drawing) return null;
    const zone = this.selected?.kind === "zone";
    const { id, points } = shape;
    const edges = !zone
      ? []
      : points.map((a, index) => {
          const next = (index + 1) % points.length;
          const b = points[next];
          const [x, y] = this.#place([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
          const label = t("zones.insert", { a: index + 1, b: next + 1, id });
          return svg(
            "g",
            { class: "edge", "data-part": `edge-${index}`, role: "button", tabindex: 0, "aria-label": label },
            svg("circle", { class: "touch", cx: x, cy: y, r: 14 }),
            svg("circle", { cx: x, cy: y, r: 5 }),
            svg("path", { d: `M${x - 3} ${y}h6M${x} ${y - 3}v6` }),
          );
        });
    const corners = points.map((point, index) => {
      const [x, y] = this.#place(point);
      const percent = (/** @type {number} */ part) => Number((part * 100).toFixed(1));
      const label = t("zones.point", { id, n: index + 1, all: points.length, x: percent(point[0]), y: percent(point[1]) });
      return svg(
        "g",
        { class: "corner", "data-part": `point-${index}`, role: "button", tabindex: 0, "aria-label": label },
        svg("circle", { class: "touch", cx: x, cy: y, r: 18 }),
        svg("circle", { cx: x, cy: y, r: 7 }),
      );
    });
    return svg("g", { class: "handles" }, edges, corners);
  }

  #sketch() {
    if (!this.#drawing) return null;
    const { points, pointer } = this.#drawing;
    const at = [...points, ...(pointer && points.length > 0 ? [pointer] : [])].map((point) => this.#place(point));
    return svg(
      "g",
      { class: "sketch" },
      svg("polyline", { points: at.map((point) => point.join()).join(" ") }),
      points.map((point, index) => {
        const [x, y] = this.#place(point);
        return svg("circle", { cx: x, cy: y, r: index === 0 ? 7 : 5 });
      }),
    );
  }
}
