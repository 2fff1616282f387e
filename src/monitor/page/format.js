/** Times, numbers and sizes for readers. */

import { spoken } from "./duration.js";
import { LOCALE, t } from "./strings.js";

const TIME = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(LOCALE, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
const SHORT_DAY = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });

/** @param {string | number | Date} when */
export function clock(when) {
  return TIME.format(new Date(when));
}

/** @param {string | number | Date} when */
export function day(when) {
  return DAY.format(new Date(when));
}

/**
 * The time, with the day if it is not today.
 * @param {string | number | Date} when
 */
export function moment(when) {
  const date = new Date(when);
  if (date.toDateString() === new Date().toDateString()) return clock(date);
  return `${SHORT_DAY.format(date)}, ${clock(date)}`;
}

/**
 * How long ago, in the largest units.
 * @param {string | number | Date} when
 */
export function ago(when) {
  const seconds = (Date.now() - new Date(when).getTime()) / 1000;
  return seconds < 2 ? t("common.now") : t("common.ago", { time: spoken(Math.floor(seconds)) });
}

/** @param {number} score */
export function score(score) {
  return score.toFixed(2);
}

/** @param {number} part */
export function percent(part) {
  return String(Math.round(part * 100));
}

/** @param {number} bytes */
export function bytes(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toFixed(unit > 0 && value < 100 ? 1 : 0)} ${units[unit]}`;
}

/**
 * For a field of type datetime-local.
 * @param {Date} date
 */
export function localField(date) {
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/**
 * A time for a field of type datetime-local.
 * @param {string} text an RFC 3339 time
 */
export function asTyped(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? "" : localField(date);
}

/**
 * An RFC 3339 time of what was typed in such a field.
 * @param {string} value
 */
export function asInstant(value) {
  return value ? new Date(value).toISOString() : "";
}
