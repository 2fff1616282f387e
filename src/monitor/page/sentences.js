/** The sentences of a camera with what is found for each. */

import { fill, h, icon, iconButton, setText } from "./dom.js";
import { colour, wordsOf } from "./boxes.js";
import { spoken } from "./duration.js";
import { percent, score } from "./format.js";
import { ageOf } from "./frame.js";
import { spansMeant } from "./screen.js";
import { cut, overlap, parseSentence } from "./spans.js";
import { t } from "./strings.js";

/** @typedef {import("./frame.js").Report} Report */
/** @typedef {import("./frame.js").Result} Result */
/** @typedef {import("./boxes.js").Focus} Focus */
/** @typedef {import("./world.js").Query} Query */

/** Results older than this are said to be old. */
const OLD_MS = 1000;
/** Most objects that are listed for a sentence. */
const MOST = 12;

/** A sentence, the words of which light up with boxes. */
export class Sentence {
  /** @type {Report | null} */
  #report = null;
  /** @type {Focus | null} */
  #focus = null;
  #shape = "";
  /** @type {{element: HTMLElement, span: [number, number]}[]} */
  #pieces = [];
  /** @type {HTMLButtonElement[]} */
  #chips = [];

  /**
   * @param {Query} query
   * @param {number} index of the query in its camera
   * @param {(focus: Focus | null) => void} point is told what the reader points at; nothing is, if there is none
   */
  constructor(query, index, point) {
    this.query = query;
    this.point = point;
    this.parsed = parseSentence(query.text);
    this.words = h("p", { class: "words", dir: "auto" });
    this.state = h("p", { class: "found" });
    this.objects = h("ul", { class: "chips", "aria-label": t("query.list") });
    this.objects.hidden = true;
    this.element = h(
      "div",
      { class: "sentence", style: { "--colour": colour(index) }, "data-query": query.id },
      this.words,
      this.state,
      this.objects,
    );
    this.show(null);
  }

  /** @returns {Result | null} */
  #result() {
    return this.#report?.queries.find((result) => result.id === this.query.id) ?? null;
  }

  /** @param {Report | null} report */
  show(report) {
    this.#report = report;
    const result = this.#result();
    this.#cutWords(result);
    this.#say(report, result);
    this.#list(result);
    this.light(this.#focus);
  }

  /** @param {Focus | null} focus */
  light(focus) {
    this.#focus = focus;
    const spans = spansMeant(this.#report, this.query.id, focus);
    for (const { element, span } of this.#pieces) {
      element.classList.toggle("lit", spans.some((meant) => overlap(meant, span)));
    }
    const detections = this.#listed(this.#result());
    this.#chips.forEach((chip, index) => {
      const detection = detections[index];
      const same = focus?.track !== undefined ? detection?.track === focus.track : focus?.index === index;
      chip.classList.toggle("lit", focus?.query === this.query.id && same);
    });
  }

  /** @param {Result | null} result */
  #cutWords(result) {
    const text = result?.text ?? this.parsed.text;
    const targets = text === this.parsed.text ? this.parsed.targets : [];
    const spans = (result?.detections ?? []).flatMap((detection) => detection.phrases.map((phrase) => phrase.span));
    const unique = [...new Map(spans.map((span) => [span.join(), span])).values()].sort(
      (a, b) => a[0] - b[0] || a[1] - b[1],
    );
    const shape = JSON.stringify([text, targets, unique]);
    if (shape === this.#shape) return;
    const pieces = cut(text, [...targets, ...unique]).map((piece) => {
      const target = piece.marks.some((mark) => mark < targets.length);
      const found = piece.marks.some((mark) => mark >= targets.length);
      const classes = [target && "target", found && "grounded"].filter(Boolean).join(" ");
      // A click or a touch shows them too; the list of objects below serves the keyboard.
      const element = h("span", { class: classes }, piece.text);
      if (found) {
        element.addEventListener("pointerenter", () => this.point({ query: this.query.id, span: piece.span }));
        element.addEventListener("pointerleave", () => this.point(null));
      }
      return { element, span: piece.span };
    });
    this.#shape = shape;
    this.#pieces = pieces;
    fill(this.words, pieces.map(({ element }) => element));
  }

  /**
   * @param {Report | null} report
   * @param {Result | null} result
   */
  #say(report, result) {
    const age = report && result ? ageOf(report, result) : 0;
    const old = age > OLD_MS ? ` · ${t("screen.age", { age: spoken(age / 1000) })}` : "";
    let words;
    let kind = "none";
    if (!result) {
      words = t("query.no-result");
    } else if (result.answer) {
      kind = "answer";
      words = `${result.answer.text} · ${t("query.probability", { p: percent(result.answer.score) })}`;
    } else if (result.present) {
      kind = "seen";
      words = t("query.seen", { n: result.detections?.length ?? 0 });
    } else {
      kind = "absent";
      words = t("query.not-seen");
    }
    setText(this.state, words + old);
    this.element.dataset.found = kind;
  }

  /** @param {Result | null} result */
  #list(result) {
    const detections = this.#listed(result);
    while (this.#chips.length > detections.length) this.#chips.pop()?.parentElement?.remove();
    while (this.#chips.length < detections.length) this.#addChip();
    this.#chips.forEach((chip, index) => {
      const detection = detections[index];
      const track = detection.track === undefined ? "" : ` #${detection.track}`;
      setText(chip, `${wordsOf(detection)} ${score(detection.score)}${track}`);
    });
    this.objects.hidden = detections.length === 0;
  }

  /**
   * Tracked objects keep their place, whatever their scores.
   * @param {Result | null} result
   */
  #listed(result) {
    const found = (result?.detections ?? []).slice(0, MOST);
    return found.every(({ track }) => track !== undefined)
      ? found.sort((a, b) => Number(a.track) - Number(b.track))
      : found;
  }

  #addChip() {
    const index = this.#chips.length;
    const show = () => {
      const track = this.#listed(this.#result())[index]?.track;
      this.point(track === undefined ? { query: this.query.id, index } : { query: this.query.id, track });
    };
    const hide = () => this.point(null);
    const on = { pointerenter: show, focus: show, pointerleave: hide, blur: hide, click: show };
    const chip = h("button", { type: "button", class: "chip", on });
    this.#chips.push(chip);
    this.objects.append(h("li", {}, chip));
  }
}

/**
 * What may be done with a sentence.
 * @param {Query} query
 * @param {{edit: () => void, remove: () => void, rule: () => void, locked: string}} actions
 *   `locked`: why nothing may be done; empty if it may
 */
export function sentenceActions(query, { edit, remove, rule, locked }) {
  const props = (/** @type {string} */ key) => ({
    disabled: locked !== "",
    title: locked || t(key, { text: query.text }),
  });
  return h(
    "div",
    { class: "actions" },
    h(
      "button",
      { type: "button", class: "button small", "aria-label": t("query.rule", { text: query.text }), ...props("query.rule"), on: { click: rule } },
      icon("bell"),
      t("query.rule.short"),
    ),
    iconButton("edit", t("query.edit", { text: query.text }), edit, props("query.edit")),
    iconButton("remove", t("query.remove", { text: query.text }), remove, props("query.remove")),
  );
}
