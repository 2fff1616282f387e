/** Lengths of time: as the configuration has them, and as people write them. */

const FRIENDLY = /^(?:\d+(?:\.\d+)?\s*(?:d|h|min|ms|m|s)\s*)+$/;
const ISO = /^P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;
/** @type {Record<string, number>} */
const SECONDS = { d: 86400, h: 3600, min: 60, m: 60, s: 1, ms: 0.001 };

/**
 * Seconds of `PT1M30S`, `1m 30s`, `500ms` or `2` (seconds); `null` if it is none of these.
 * @param {string} text
 * @returns {number | null}
 */
export function parseDuration(text) {
  const plain = text.trim();
  if (/^\d+(\.\d+)?$/.test(plain)) return Number(plain);
  const iso = ISO.exec(plain.toUpperCase());
  if (iso && plain.length > 2 && !/T$/i.test(plain)) {
    const [d, h, m, s] = iso.slice(1).map((part) => Number(part ?? 0));
    return d * 86400 + h * 3600 + m * 60 + s;
  }
  const friendly = plain.toLowerCase();
  if (!FRIENDLY.test(friendly)) return null;
  let sum = 0;
  for (const [, number, unit] of friendly.matchAll(/(\d+(?:\.\d+)?)\s*(d|h|min|ms|m|s)/g)) {
    sum += Number(number) * SECONDS[unit];
  }
  return Math.round(sum * 1e6) / 1e6;
}

/**
 * As the configuration takes it.
 * @param {number} seconds
 */
export function toIso(seconds) {
  return `PT${Number(seconds.toFixed(6))}S`;
}

/**
 * As people write it: `1 h 2 min`, `1 min 30 s`, `2.5 s`, `0 s`.
 * @param {number} seconds
 */
export function spoken(seconds) {
  if (seconds < 60) {
    const digits = seconds < 10 ? 1 : 0;
    return `${Number(seconds.toFixed(digits))} s`;
  }
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor((whole % 86400) / 3600), "h"],
    [Math.floor((whole % 3600) / 60), "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => Number(n) > 0);
  return parts.slice(first, first + 2).filter(([n]) => Number(n) > 0).map(([n, unit]) => `${n} ${unit}`).join(" ");
}

/**
 * For a field: `1m 30s`, exactly.
 * @param {string | undefined} text what the configuration has
 */
export function forField(text) {
  const seconds = text === undefined ? 0 : parseDuration(text);
  if (seconds === null) return text ?? "";
  if (seconds === 0) return "0s";
  const whole = Math.floor(seconds);
  const [h, m] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const s = Number((seconds - h * 3600 - m * 60).toFixed(6));
  return [h && `${h}h`, m && `${m}m`, s && `${s}s`].filter(Boolean).join(" ");
}
