/** How the monitor does, and its cameras. */

import { path, request } from "./api.js";
import { isName } from "./document.js";
import { confirmed, fill, h, icon, iconButton, openDialog, setText } from "./dom.js";
import { bytes, moment } from "./format.js";
import { field, wordsOfError } from "./prompt.js";
import { t } from "./strings.js";
import { hear, loadConfig, world } from "./world.js";

/**
 * Switches a camera, as its box says.
 * @param {string} name
 * @param {HTMLInputElement} box
 */
export async function enableCamera(name, box) {
  const enabled = box.checked;
  box.disabled = true;
  try {
    await request("PUT", `${path("cameras", name)}/enabled`, { body: { enabled } });
    await loadConfig();
  } catch (error) {
    box.checked = !enabled;
    box.setCustomValidity(wordsOfError(error, t("draft.moved")));
    box.reportValidity();
    box.setCustomValidity("");
  } finally {
    box.disabled = world.viewer;
  }
}

/** Asks for a new camera. */
export function addCamera() {
  openDialog(t("add.title"), (dialog) => {
    const name = field(t("add.name"), h("input", { type: "text", maxlength: 64, autocomplete: "off" }), { hint: t("add.name.hint") });
    const url = field(t("add.url"), h("input", { type: "text", maxlength: 2000, autocomplete: "off", inputmode: "url" }), { hint: t("add.url.hint"), class: "wide" });
    const user = field(`${t("add.username")} (${t("common.optional")})`, h("input", { type: "text", maxlength: 200, autocomplete: "off" }), { hint: t("add.password.hint") });
    const fault = h("p", { class: "fault", role: "alert" });
    const add = h("button", { type: "submit", class: "button primary" }, t("common.add"));
    const form = h(
      "form",
      { class: "stack", novalidate: true },
      h("div", { class: "fields" }, name.element, user.element, url.element),
      fault,
      h("div", { class: "row end" }, h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, t("common.cancel")), add),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const given = { name: name.input.value.trim(), url: url.input.value.trim() };
      const taken = world.camera(given.name) !== null;
      name.say(!isName(given.name) ? t("zones.name.bad") : taken ? t("zones.name.twice") : "");
      url.say(given.url === "" ? t("add.url.hint") : "");
      if (!isName(given.name) || taken || given.url === "") return;
      const username = user.input.value.trim();
      add.disabled = true;
      try {
        await request("POST", path("cameras"), { body: username ? { ...given, username } : given });
        await loadConfig();
        dialog.close();
      } catch (error) {
        setText(fault, wordsOfError(error, t("draft.moved")));
      } finally {
        add.disabled = false;
      }
    });
    return form;
  });
}

/**
 * @param {HTMLElement} main
 * @param {import("./dom.js").Scope} scope
 */
export function systemView(main, scope) {
  document.title = `${t("system.title")} · ${t("app.name")}`;
  const fault = h("p", { class: "fault", role: "alert" });
  const table = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("system.cameras") });
  const panels = h("div", { class: "panels" });
  const history = h("ol", { class: "history" });
  const past = h("section", { class: "card" }, h("h2", {}, t("system.history")), history);
  const add = h("button", { type: "button", class: "button", on: { click: addCamera } }, icon("add"), t("cameras.add"));
  const remove = async (/** @type {string} */ name) => {
    if (!(await confirmed(t("system.remove.ask", { camera: name }), t("common.remove"), t("common.cancel")))) return;
    try {
      await request("DELETE", path("cameras", name));
      await loadConfig();
      setText(fault, "");
    } catch (error) {
      setText(fault, wordsOfError(error, t("draft.moved")));
    }
  };
  let shape = "";
  const render = () => {
    const { status, config, viewer } = world;
    add.disabled = viewer;
    add.title = viewer ? world.why() : "";
    const now = JSON.stringify([status, config?.camera?.map((/** @type {any} */ c) => [c.name, c.enabled]), viewer]);
    if (!status || now === shape) return;
    shape = now;
    const held = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.key;
    fill(table, cameraTable(remove));
    fill(panels, brokerPanel(status.broker), diskPanel(status.store), programPanel(status));
    if (held) /** @type {HTMLElement | null} */ (table.querySelector(`[data-key="${CSS.escape(held)}"]`))?.focus();
  };
  const readHistory = async () => {
    // It is for admins.
    past.hidden = world.viewer || world.status === null;
    if (past.hidden) return;
    try {
      const { data } = await request("GET", path("config", "history"));
      const lines = data.revisions.map((/** @type {any} */ entry) =>
        h(
          "li",
          {},
          h("span", {}, t("system.history.line", { revision: entry.revision, origin: entry.origin })),
          h("time", { class: "quiet", datetime: entry.time }, moment(entry.time)),
        ),
      );
      fill(history, lines.length > 0 ? lines : h("li", { class: "empty" }, t("system.history.none")));
    } catch {
      fill(history, h("li", { class: "empty" }, t("system.history.none")));
    }
  };
  fill(
    main,
    h(
      "section",
      { class: "stack system-view", "aria-labelledby": "title" },
      h("header", { class: "head" }, h("h1", { id: "title", tabindex: -1 }, t("system.title")), h("span", { class: "grow" }), add),
      fault,
      table,
      panels,
      past,
    ),
  );
  for (const topic of ["status", "config", "session"]) scope.add(hear(topic, render));
  for (const topic of ["config", "session"]) scope.add(hear(topic, readHistory));
  render();
  readHistory();
  return { keys: () => false };
}

/** @param {(name: string) => void} remove */
function cameraTable(remove) {
  const columns = ["camera", "state", "since", "fps", "inferred", "size", "reconnects", "actions"];
  const names = [...new Set([...world.cameras().map(({ name }) => name), ...(world.status?.cameras ?? []).map((/** @type {any} */ c) => c.name)])];
  const rows = names.map((name) => {
    const status = world.statusOf(name);
    const camera = world.camera(name);
    const toggle = h("input", {
      type: "checkbox",
      checked: camera?.enabled !== false,
      disabled: world.viewer || !camera,
      "aria-label": t("system.watch", { camera: name }),
      "data-key": `watch-${name}`,
      on: { change: (/** @type {any} */ event) => enableCamera(name, event.target) },
    });
    const off = iconButton("remove", t("system.remove", { camera: name }), () => remove(name), { disabled: world.viewer || !camera, "data-key": `remove-${name}` });
    const state = status?.state ?? "unknown";
    return h(
      "tr",
      { "data-camera": name },
      h("th", { scope: "row" }, h("a", { href: `#/cameras/${encodeURIComponent(name)}` }, name)),
      h("td", {}, h("span", { class: `status ${state}` }, t(`state.${state}`)), status?.message && h("span", { class: "quiet message" }, status.message)),
      h("td", {}, status ? moment(status.since) : ""),
      h("td", { class: "number" }, status ? status.fps.toFixed(1) : ""),
      h("td", { class: "number" }, status ? status.inferred_fps.toFixed(1) : ""),
      h("td", {}, status?.size ? status.size.join(" × ") : ""),
      h("td", { class: "number" }, status ? String(status.reconnects) : ""),
      h("td", {}, h("div", { class: "row" }, h("label", { class: "switch" }, toggle, h("span", { class: "knob" })), off)),
    );
  });
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, t(`system.${column}`))))),
    h("tbody", {}, rows),
  );
}

/** @param {any} broker */
function brokerPanel(broker) {
  return h(
    "section",
    { class: "card", "data-panel": "broker" },
    h("h2", {}, t("system.broker")),
    broker
      ? [
          h("p", {}, h("span", { class: `status ${broker.connected ? "online" : "offline"}` }, t(broker.connected ? "system.connected" : "system.disconnected"))),
          broker.message && h("p", { class: "message" }, broker.message),
          h("p", { class: "quiet" }, t("system.waiting", { n: broker.waiting })),
        ]
      : h("p", { class: "quiet" }, t("system.broker.none")),
  );
}

/** @param {any} store */
function diskPanel(store) {
  return h(
    "section",
    { class: "card", "data-panel": "disk" },
    h("h2", {}, t("system.disk")),
    h("p", {}, h("span", { class: `status ${store.writable ? "online" : "offline"}` }, t(store.writable ? "system.writable" : "system.unwritable"))),
    store.message && h("p", { class: "message" }, store.message),
    h("p", { class: "quiet" }, t("system.bytes", { bytes: bytes(store.bytes) })),
    h("p", { class: "quiet" }, t("system.free", { bytes: bytes(store.free_bytes) })),
    store.waiting > 0 && h("p", { class: "quiet" }, t("system.waiting", { n: store.waiting })),
  );
}

/** @param {any} status */
function programPanel(status) {
  const rows = [
    [t("system.version"), status.version],
    [t("system.started"), status.started && moment(status.started)],
    [t("system.model"), status.model],
    [t("system.engine"), status.engine],
    [t("system.revision"), status.revision],
  ].filter(([, value]) => value !== undefined && value !== null);
  return h(
    "section",
    { class: "card", "data-panel": "program" },
    h("h2", {}, t("system.program")),
    h("dl", { class: "facts-list" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value))))),
  );
}
