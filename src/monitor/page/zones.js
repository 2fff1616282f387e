/** The list of zones and lines beside the picture. */

import { conditionsOf, isName, usersOf } from "./document.js";
import { fill, h, icon, iconButton, setText } from "./dom.js";
import { crossesItself } from "./geometry.js";
import { t } from "./strings.js";
import { world } from "./world.js";

/**
 * @param {import("./draft.js").Draft} draft
 * @param {import("./editor.js").Editor} editor
 */
export function zonesPanel(draft, editor) {
  const list = h("ul", { class: "shapes" });
  const hint = h("p", { class: "hint" });
  const message = h("p", { class: "fault", role: "alert" });
  const add = (/** @type {import("./editor.js").Kind} */ kind, /** @type {string} */ key) =>
    h(
      "button",
      {
        type: "button",
        class: "button",
        on: { click: (/** @type {MouseEvent} */ event) => editor.begin(kind, event.detail === 0) },
      },
      icon(kind),
      t(key),
    );
  const addZone = add("zone", "zones.add");
  const addLine = add("line", "lines.add");
  const undo = iconButton("undo", t("zones.undo"), () => draft.undo(), { wide: true });
  const element = h(
    "div",
    { class: "stack" },
    hint,
    h("div", { class: "row" }, addZone, addLine, undo),
    list,
    message,
    h("p", { class: "hint" }, t("zones.keys")),
  );
  let shape = "";

  const render = () => {
    const { zones, lines } = draft.parts;
    const drawing = editor.drawing;
    setText(hint, t(drawing ? `zones.drawing.${drawing}` : "zones.intro"));
    for (const button of [addZone, addLine]) button.disabled = world.viewer;
    undo.disabled = world.viewer || !draft.undoable;
    // Points move many times a second: the list is made anew only when it says something else.
    const now = JSON.stringify([
      zones.map(({ id, points }) => [id, points.length, crossesItself(points)]),
      lines.map(({ id }) => id),
      world.viewer,
    ]);
    if (now === shape) return mark();
    shape = now;
    const focused = document.activeElement;
    const back = focused instanceof HTMLElement && list.contains(focused) ? focused.dataset.key : undefined;
    const rows = [
      ...zones.map((zone) => row("zone", zone.id, t("zones.size", { n: zone.points.length }), crossesItself(zone.points))),
      ...lines.map((line) => row("line", line.id, "", false)),
    ];
    fill(list, rows.length > 0 ? rows : h("li", { class: "empty" }, t("zones.none")));
    mark();
    if (back) /** @type {HTMLElement | null} */ (list.querySelector(`[data-key="${CSS.escape(back)}"]`))?.focus();
  };

  /** Marks the one that is chosen. */
  const mark = () => {
    const chosen = editor.selected ? `${editor.selected.kind}-${editor.selected.id}` : "";
    for (const item of /** @type {NodeListOf<HTMLElement>} */ (list.querySelectorAll(".shape"))) {
      item.classList.toggle("chosen", item.dataset.shape === chosen);
      item.querySelector("[aria-pressed]")?.setAttribute("aria-pressed", String(item.dataset.shape === chosen));
    }
  };

  const row = (
    /** @type {import("./editor.js").Kind} */ kind,
    /** @type {string} */ id,
    /** @type {string} */ size,
    /** @type {boolean} */ crossing,
  ) => {
    const name = h("input", {
      type: "text",
      value: id,
      maxlength: 64,
      "aria-label": t("zones.name", { id }),
      disabled: world.viewer,
      "data-key": `name-${kind}-${id}`,
      on: {
        focus: () => !(editor.selected?.kind === kind && editor.selected.id === id) && editor.select(kind, id),
        change: (/** @type {Event} */ event) => rename(kind, id, /** @type {HTMLInputElement} */ (event.target)),
      },
    });
    return h(
      "li",
      { class: "shape", "data-shape": `${kind}-${id}` },
      h(
        "button",
        {
          type: "button",
          class: "button bare",
          "aria-pressed": "false",
          "aria-label": `${t(`zones.${kind}`)} ${id}`,
          "data-key": `pick-${kind}-${id}`,
          on: { click: () => editor.select(kind, id) },
        },
        icon(kind),
      ),
      name,
      size && h("span", { class: "quiet" }, size),
      kind === "line" &&
        h(
          "button",
          { type: "button", class: "button small", "aria-label": t("zones.turn", { id }), disabled: world.viewer, on: { click: () => turn(id) } },
          t("zones.turn.short"),
        ),
      iconButton("remove", t("zones.remove", { id }), () => remove(kind, id), { disabled: world.viewer }),
      crossing && h("p", { class: "fault" }, t("zones.crossing")),
    );
  };

  const turn = (/** @type {string} */ id) =>
    draft.change(({ lines }) => {
      const line = lines.find((line) => line.id === id);
      if (line) [line.from, line.to] = [line.to, line.from];
    });

  const remove = (/** @type {import("./editor.js").Kind} */ kind, /** @type {string} */ id) => {
    const users = usersOf(draft.parts.rules, kind, id);
    setText(message, users.length > 0 ? t("zones.used", { rules: users.join(", ") }) : "");
    if (users.length > 0) return;
    if (editor.selected?.id === id) editor.selected = null;
    draft.change((parts) => {
      if (kind === "zone") parts.zones = parts.zones.filter((zone) => zone.id !== id);
      else parts.lines = parts.lines.filter((line) => line.id !== id);
    });
  };

  const rename = (
    /** @type {import("./editor.js").Kind} */ kind,
    /** @type {string} */ id,
    /** @type {HTMLInputElement} */ input,
  ) => {
    const name = input.value.trim();
    const all = kind === "zone" ? draft.parts.zones : draft.parts.lines;
    const fault = !isName(name)
      ? t("zones.name.bad")
      : all.some((other) => other.id === name && other.id !== id)
        ? t("zones.name.twice")
        : "";
    setText(message, fault);
    if (fault) {
      input.setAttribute("aria-invalid", "true");
      return;
    }
    if (editor.selected?.id === id) editor.selected = { kind, id: name };
    draft.change((parts) => {
      const shape = (kind === "zone" ? parts.zones : parts.lines).find((one) => one.id === id);
      if (shape) shape.id = name;
      for (const rule of parts.rules) {
        for (const condition of conditionsOf(rule.when)) if (condition[kind] === id) condition[kind] = name;
      }
    });
  };

  draft.changed(render);
  editor.changed(render);
  render();
  return { element, render };
}
