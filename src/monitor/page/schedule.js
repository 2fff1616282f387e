/** The times in which a rule watches. */

import { h, icon, iconButton } from "./dom.js";
import { field } from "./prompt.js";
import { t } from "./strings.js";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** @param {string} name */
function isTimeZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return name !== "";
  } catch {
    return false;
  }
}

/** @param {any} value */
function scheduleRow(value) {
  const time = (/** @type {string} */ key, /** @type {string} */ now) =>
    field(t(key), h("input", { type: "time", value: now.slice(0, 5) }));
  const from = time("rules.schedule.from", value.from);
  const to = time("rules.schedule.to", value.to);
  const zone = field(t("rules.schedule.zone"), h("input", { type: "text", value: value.time_zone, list: "time-zones" }));
  const days = DAYS.map((day) => h("input", { type: "checkbox", value: day, checked: (value.days ?? []).includes(day) }));
  const element = h(
    "div",
    { class: "condition" },
    h("div", { class: "fields" }, from.element, to.element, zone.element),
    h(
      "fieldset",
      { class: "days" },
      h("legend", {}, t("rules.schedule.days")),
      days.map((box) => h("label", { class: "day" }, box, h("span", {}, t(`day.${box.value}`)))),
    ),
  );
  const read = () => {
    let sound = true;
    for (const asked of [from, to]) {
      const good = /^\d\d:\d\d/.test(asked.input.value);
      asked.say(good ? "" : t("rules.schedule.time.bad"));
      sound &&= good;
    }
    const known = isTimeZone(zone.input.value.trim());
    zone.say(known ? "" : t("rules.schedule.zone.bad"));
    if (!sound || !known) return null;
    const chosen = days.filter((box) => box.checked).map((box) => box.value);
    return {
      ...(chosen.length > 0 ? { days: chosen } : {}),
      from: `${from.input.value.slice(0, 5)}:00`,
      to: `${to.input.value.slice(0, 5)}:00`,
      time_zone: zone.input.value.trim(),
    };
  };
  return { element, read };
}

/**
 * @param {any[]} schedules
 * @returns {import("./condition.js").Part}
 */
export function scheduleForm(schedules) {
  /** @type {{row: ReturnType<typeof scheduleRow>, item: HTMLElement}[]} */
  let rows = [];
  const list = h("ul", { class: "conditions" });
  const always = h("p", { class: "hint" }, t("rules.schedule.always"));
  const add = (/** @type {any} */ value) => {
    const row = scheduleRow(value);
    const gone = () => {
      rows = rows.filter((one) => one.item !== item);
      item.remove();
      always.hidden = rows.length > 0;
      more.focus();
    };
    const item = h("li", {}, row.element, iconButton("close", t("rules.schedule.remove"), gone));
    rows.push({ row, item });
    list.append(item);
    always.hidden = true;
  };
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const more = h(
    "button",
    { type: "button", class: "button small", on: { click: () => add({ from: "18:00", to: "06:00", time_zone: here }) } },
    icon("add"),
    t("rules.schedule.add"),
  );
  const zones = h("datalist", { id: "time-zones" }, Intl.supportedValuesOf("timeZone").map((value) => h("option", { value })));
  for (const schedule of schedules) add(schedule);
  const read = () => {
    const found = rows.map(({ row }) => row.read());
    return found.includes(null) ? null : found;
  };
  return { element: h("div", { class: "stack" }, always, list, h("div", {}, more), zones), read };
}
