/** A question's answers over time: drawn, and in a table. */

import { h, svg } from "./dom.js";
import { MOST_ROWS, curveOf, levelOf, stretches } from "./found.js";
import { moment } from "./format.js";
import { t } from "./strings.js";

/** @typedef {import("./found.js").Point} Point */
/** @typedef {import("./found.js").Stretch} Stretch */

const WIDTH = 1000;
const LEAST_HEIGHT = 120;
/** Height of a level's name. */
const ROW = 18;
/** Least length of a line that is seen. */
const LEAST = 4;

/**
 * A chart and a table for each camera.
 * @param {Point[]} points
 */
export function curves(points) {
  return [...stretches(points)].map(([camera, all]) =>
    h("section", { class: "card curve", "data-camera": camera }, h("h2", {}, camera), chart(camera, all), table(camera, all)),
  );
}

/**
 * Lines where an answer is known to hold, thin ones where it changes in between.
 * @param {string} camera
 * @param {Stretch[]} all
 */
function chart(camera, all) {
  const curve = curveOf(all);
  const [begin, end] = [all[0].from, all[all.length - 1].to];
  const length = Math.max(end - begin, 1);
  const x = (/** @type {number} */ time) => ((time - begin) / length) * WIDTH;
  const height = Math.max(LEAST_HEIGHT, ROW * (curve.numeric ? 2 : curve.levels.length));
  const y = (/** @type {string} */ text) => height - ROW / 2 - levelOf(curve, text) * (height - ROW);
  let [held, between] = ["", ""];
  for (const [index, { from, to, text }] of all.entries()) {
    const next = all[index + 1];
    if (text === null) continue;
    const [left, at] = [Math.min(x(from), WIDTH - LEAST), y(text)];
    held += `M${left} ${at}H${Math.max(x(to), left + LEAST)}`;
    if (next?.text) between += `M${x(to)} ${at}L${x(next.from)} ${y(next.text)}`;
  }
  const levels = curve.numeric ? [curve.low, curve.high] : curve.levels;
  const words = t("search.curve.label", { camera, n: all.length, from: moment(begin), to: moment(end) });
  return h(
    "div",
    { class: "chart" },
    h("ul", { class: "levels", "aria-hidden": "true", style: { height: `${height}px` } }, levels.map((level) => h("li", {}, level))),
    h(
      "div",
      { class: "plot" },
      svg(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", height, role: "img", "aria-label": words },
        svg("path", { class: "between", d: between }),
        svg("path", { class: "held", d: held }),
      ),
      h("p", { class: "ticks", "aria-hidden": "true" }, h("span", {}, moment(begin)), h("span", {}, moment(end))),
    ),
  );
}

/**
 * @param {string} camera
 * @param {Stretch[]} all
 */
function table(camera, all) {
  const columns = ["from", "to", "answer"];
  const rows = all.slice(0, MOST_ROWS).map(({ from, to, text }) =>
    h("tr", {}, h("td", {}, moment(from)), h("td", {}, moment(to)), h("td", {}, text ?? t("search.no-answer"))),
  );
  const more = all.length - rows.length;
  return h(
    "details",
    { class: "help", open: all.length <= 12 },
    h("summary", {}, t("search.table", { n: all.length })),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": t("search.table.label", { camera }) },
      h("table", {}, h("thead", {}, h("tr", {}, columns.map((one) => h("th", { scope: "col" }, t(`search.table.${one}`))))), h("tbody", {}, rows)),
    ),
    more > 0 && h("p", { class: "quiet" }, t("search.more", { n: more })),
  );
}
