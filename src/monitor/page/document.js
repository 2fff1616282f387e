/** Zones, lines and rules as the configuration has them. */

import { parseDuration } from "./duration.js";

/** @typedef {import("./world.js").Rule} Rule */

/** What the configuration says if a rule does not. */
const DEFAULTS = /** @type {Record<string, unknown>} */ ({
  anchor: "bottom-center",
  clear: 1,
  direction: "both",
  enabled: true,
  every: 0,
  for: 0,
  frames: 2,
  severity: "alert",
});

/**
 * What says the same becomes the same text: without defaults, keys in order, times in seconds.
 * @param {unknown} value
 * @returns {string}
 */
export function canonical(value) {
  return JSON.stringify(value, (key, part) => {
    if (["for", "clear", "every", "longer_than"].includes(key) && typeof part === "string") {
      return parseDuration(part) ?? part;
    }
    if (part === null || typeof part !== "object" || Array.isArray(part)) return part;
    const entries = Object.entries(part).filter(([name, one]) => {
      const plain = typeof DEFAULTS[name] === "number" && typeof one === "string" ? parseDuration(one) : one;
      return !(name in DEFAULTS && plain === DEFAULTS[name]);
    });
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/**
 * All conditions in a condition, itself first.
 * @param {any} condition
 * @returns {any[]}
 */
export function conditionsOf(condition) {
  const within = Array.isArray(condition?.of) ? condition.of : condition?.of ? [condition.of] : [];
  return [condition, ...within.flatMap(conditionsOf)];
}

/**
 * Ids of the rules that use a query, a zone or a line.
 * @param {Rule[]} rules
 * @param {"query" | "zone" | "line"} kind
 * @param {string} id
 */
export function usersOf(rules, kind, id) {
  return rules.filter((rule) => conditionsOf(rule.when).some((one) => one?.[kind] === id)).map((rule) => rule.id);
}

/**
 * Whether it can be the id of a zone, a line or a rule.
 * @param {string} id
 */
export function isName(id) {
  return /^[A-Za-z0-9_-]{1,64}$/.test(id);
}

/**
 * A free name such as `zone-2`.
 * @param {string} stem
 * @param {{id: string}[]} taken
 */
export function freeName(stem, taken) {
  let name = stem;
  for (let n = 2; taken.some(({ id }) => id === name); n += 1) name = `${stem}-${n}`;
  return name;
}
