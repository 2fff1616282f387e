/** Sentences, and the spans of code points in them. */

/** @typedef {[number, number]} Span half-open, in Unicode code points */
/** @typedef {{text: string, span: Span, marks: number[]}} Piece a part of a text with what lies on it */

const BLANK = /^\s$/u;

/**
 * A sentence as it is typed: its text without brackets, and the spans of its targets.
 * @param {string} source
 * @returns {{text: string, targets: Span[], fault: string | null}}
 */
export function parseSentence(source) {
  const letters = Array.from(source);
  /** @type {string[]} */
  const text = [];
  /** @type {Span[]} */
  const targets = [];
  let open = -1;
  let fault = null;
  for (let i = 0; i < letters.length; i += 1) {
    const letter = letters[i];
    if ((letter === "[" || letter === "]") && letters[i + 1] === letter) {
      text.push(letter);
      i += 1;
    } else if (letter === "[") {
      if (open >= 0) fault ??= "nested";
      open = text.length;
    } else if (letter === "]") {
      if (open < 0) fault ??= "unopened";
      else if (!text.slice(open).some((c) => !BLANK.test(c))) fault ??= "empty";
      else targets.push([open, text.length]);
      open = -1;
    } else {
      text.push(letter);
    }
  }
  if (open >= 0) fault ??= "unclosed";
  let start = 0;
  let end = text.length;
  while (start < end && BLANK.test(text[start])) start += 1;
  while (end > start && BLANK.test(text[end - 1])) end -= 1;
  /** @type {Span[]} */
  const moved = targets.map(([a, b]) => trimmed(text, [Math.max(a, start), Math.min(b, end)], start));
  return { text: text.slice(start, end).join(""), targets: moved, fault };
}

/**
 * @param {string[]} text
 * @param {Span} span
 * @param {number} start
 * @returns {Span}
 */
function trimmed(text, [a, b], start) {
  while (a < b && BLANK.test(text[a])) a += 1;
  while (b > a && BLANK.test(text[b - 1])) b -= 1;
  return [a - start, b - start];
}

/**
 * The text in pieces, cut wherever a span begins or ends; `marks` are the indices of the spans that cover a piece.
 * Spans that reach out of the text are cut.
 * @param {string} text
 * @param {Span[]} spans
 * @returns {Piece[]}
 */
export function cut(text, spans) {
  const letters = Array.from(text);
  const bounds = new Set([0, letters.length]);
  for (const [start, end] of spans) {
    if (start < letters.length) bounds.add(Math.max(start, 0));
    if (end > 0 && end < letters.length) bounds.add(end);
  }
  const places = [...bounds].sort((a, b) => a - b);
  const pieces = [];
  for (let i = 0; i + 1 < places.length; i += 1) {
    const [start, end] = [places[i], places[i + 1]];
    const marks = spans.flatMap((span, index) => (span[0] <= start && end <= span[1] ? [index] : []));
    pieces.push({ text: letters.slice(start, end).join(""), span: /** @type {Span} */ ([start, end]), marks });
  }
  return pieces;
}

/**
 * Whether two spans have a code point in common.
 * @param {Span} a
 * @param {Span} b
 */
export function overlap(a, b) {
  return a[0] < b[1] && b[0] < a[1];
}

/**
 * A short id for a sentence, none of `taken`.
 * @param {string} sentence
 * @param {string[]} taken
 */
export function idFor(sentence, taken) {
  const { text, targets } = parseSentence(sentence);
  const words = targets.length > 0 ? Array.from(text).slice(...targets[0]).join("") : text;
  const plain = words.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const kept = plain.replace(/^(a|an|the|all|any)\s+/, "").replace(/[^a-z0-9]+/g, "-");
  const stem = kept.slice(0, 32).replace(/^-+|-+$/g, "") || "query";
  let id = stem;
  for (let n = 2; taken.includes(id); n += 1) id = `${stem}-${n}`;
  return id;
}
