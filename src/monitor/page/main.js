/** The page: where one is, what is said to everybody, keys. */

import { theme, nextTheme, remember, remembered } from "./theme.js";
import { cameraView } from "./camera.js";
import { camerasView } from "./cameras.js";
import { Scope, fill, h, icon, iconButton, openDialog, setText } from "./dom.js";
import { eventView } from "./event.js";
import { eventsView } from "./events.js";
import { loginView } from "./login.js";
import { keepsPast, searchView } from "./search.js";
import { t } from "./strings.js";
import { systemView } from "./system.js";
import { connect, hear, logOut, restWhileKept, world } from "./world.js";

/**
 * @typedef {{keys: (key: string, event: KeyboardEvent) => boolean, leave?: () => Promise<boolean>}} View
 */

const KEYS_OFF = "mdetr-keys-off";
const TABS = /** @type {const} */ ([
  ["cameras", "#/", "camera"],
  ["events", "#/events", "events"],
  ["system", "#/system", "system"],
  ["search", "#/search", "search"],
]);
/** Time for which something is said in the corner. */
const TOAST_MS = 5000;

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const banners = /** @type {HTMLElement} */ (document.getElementById("banners"));
const polite = /** @type {HTMLElement} */ (document.getElementById("polite"));
const toast = /** @type {HTMLElement} */ (document.getElementById("toast"));

let scope = new Scope();
/** @type {View} */
let view = { keys: () => false };
let shown = "";

/** @param {string} hash */
function place(hash) {
  const [at, query = ""] = hash.replace(/^#/, "").split("?");
  const parts = at.split("/").filter(Boolean).map(decode);
  return { parts, query: new URLSearchParams(query) };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string} words said in the corner and to screen readers */
function announce(words) {
  setText(toast, words);
  toast.hidden = false;
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => {
    toast.hidden = true;
    setText(toast, "");
  }, TOAST_MS);
}
/** @type {ReturnType<typeof setTimeout> | undefined} */
announce.timer = undefined;

/** Shows what the address says. */
function show() {
  const { parts, query } = place(location.hash);
  scope.close();
  scope = new Scope();
  const key = parts.join("/");
  const moved = key !== shown;
  shown = key;
  if (world.locked) {
    view = loginView(main);
  } else if (parts[0] === "cameras" && parts[1]) {
    view = cameraView(main, scope, parts[1], announce);
  } else if (parts[0] === "events" && parts[1]) {
    view = eventView(main, scope, parts[1], announce);
  } else if (parts[0] === "events") {
    view = eventsView(main, scope, query);
  } else if (parts[0] === "system") {
    view = systemView(main, scope);
  } else if (parts[0] === "search") {
    view = searchView(main, scope, query);
  } else {
    view = camerasView(main, scope);
  }
  const current = TABS.find(([name]) => name === parts[0])?.[0] ?? "cameras";
  for (const link of document.querySelectorAll("#nav a")) {
    const here = link.getAttribute("data-tab") === current;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (moved) {
    window.scrollTo(0, 0);
    // Whoever uses a screen reader hears where they are; the first view leaves the focus alone.
    if (show.before) /** @type {HTMLElement | null} */ (document.getElementById("title"))?.focus({ preventScroll: true });
  }
  show.before = true;
}
show.before = false;

let address = location.hash;

async function route() {
  const to = location.hash;
  if (to === address) return;
  if (view.leave && !world.locked) {
    const back = address;
    const leaving = view.leave();
    // The address is that of what is seen until it is left.
    history.replaceState(null, "", back || "#/");
    if (!(await leaving)) return;
    history.replaceState(null, "", to || "#/");
  }
  address = to;
  show();
}

/** @param {string} tab */
function isThere(tab) {
  return tab !== "search" || keepsPast();
}

function header() {
  const tabs = TABS.map(
    ([name, href, picture]) =>
      /** @type {const} */ ([name, h("a", { href, "data-tab": name }, icon(picture), h("span", {}, t(`nav.${name}`)))]),
  );
  const links = tabs.map(([, link]) => link);
  fill(/** @type {HTMLElement} */ (document.getElementById("nav")), links);
  document.getElementById("nav")?.setAttribute("aria-label", t("nav.label"));
  polite.setAttribute("aria-label", t("alerts.label"));
  const tools = /** @type {HTMLElement} */ (document.getElementById("tools"));
  const look = iconButton("theme", "", nextTheme);
  const out = iconButton("logout", t("tool.logout"), () => logOut().catch(() => announce(t("link.lost"))));
  const say = () => {
    const words = t("tool.theme", { theme: t(`theme.${theme()}`) });
    look.setAttribute("aria-label", words);
    look.title = words;
    out.hidden = !world.loggedIn;
    for (const [name, link] of tabs) link.hidden = !isThere(name);
  };
  window.addEventListener("theme", say);
  for (const topic of ["session", "status", "config"]) hear(topic, say);
  say();
  fill(tools, look, iconButton("help", t("tool.help"), help), out);
}

function renderBanners() {
  const { status, linked, locked, viewer, retryAt } = world;
  const parts = [];
  if (!linked && !locked) {
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    const next = seconds > 0 ? t("link.retry", { seconds }) : t("link.trying");
    parts.push(["bad", "link", t("link.lost"), next]);
  }
  if (linked && status?.store && !status.store.writable) {
    parts.push(["bad", "store", t("store.bad", { message: status.store.message ?? t("store.bad.unknown") }), ""]);
  }
  if (linked && status?.broker && !status.broker.connected) {
    parts.push(["mild", "broker", t("broker.bad", { message: status.broker.message ?? "", waiting: status.broker.waiting }), ""]);
  }
  if (viewer && !locked) parts.push(["mild", "viewer", world.why(), ""]);
  const shape = JSON.stringify(parts.map(([kind, name, words]) => [kind, name, words]));
  if (banners.dataset.shape !== shape) {
    banners.dataset.shape = shape;
    fill(
      banners,
      parts.map(([kind, name, words]) =>
        h("p", { class: `banner ${kind}`, "data-banner": name }, icon("warning"), h("span", {}, words), h("span", { class: "next", "aria-hidden": "true" })),
      ),
    );
  }
  const next = banners.querySelector('[data-banner="link"] .next');
  if (next) setText(next, parts[0][3]);
}

/** New alerts are said, and counted in the title while nobody looks. */
function alerts() {
  let unseen = 0;
  const title = () => {
    const plain = document.title.replace(/^\(\d+\) /, "");
    document.title = unseen > 0 ? `(${unseen}) ${plain}` : plain;
  };
  hear("event", (event) => {
    if (event.kind !== "new" || event.severity !== "alert") return;
    polite.append(h("p", {}, t("events.alert", { camera: event.camera, rule: event.rule, text: event.text })));
    while (polite.childElementCount > 3) polite.firstElementChild?.remove();
    if (document.hidden) {
      unseen += 1;
      title();
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    unseen = 0;
    title();
  });
}

function help() {
  const rows = ["1", "2", "3", ...(keepsPast() ? ["4"] : []), "/", "[ ]", "b", "f", "t", "?", "Esc"];
  const on = h("input", { type: "checkbox", checked: remembered(KEYS_OFF) !== "yes" });
  on.addEventListener("change", () => remember(KEYS_OFF, on.checked ? "no" : "yes"));
  openDialog(t("help.title"), (dialog) => [
    h("dl", { class: "keys" }, rows.map((key) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, t(`help.key.${key}`))))),
    h("label", { class: "switch" }, on, h("span", { class: "knob" }), h("span", {}, t("help.keys"))),
    h("div", { class: "row end" }, h("button", { type: "button", class: "button primary", on: { click: () => dialog.close() } }, t("common.close"))),
  ]);
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const target = /** @type {HTMLElement} */ (event.target);
  const typing = target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (typing) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (remembered(KEYS_OFF) === "yes" && plain && event.key.length === 1) return;
  if (view.keys(event.key, event)) {
    event.preventDefault();
    return;
  }
  if (!plain) return;
  const tab = TABS[Number(event.key) - 1];
  if (tab && isThere(tab[0])) location.hash = tab[1];
  else if (event.key === "?") help();
  else if (event.key === "t") nextTheme();
  else return;
  event.preventDefault();
}

const skip = /** @type {HTMLElement} */ (document.querySelector(".skip"));
setText(skip, t("app.skip"));
// Its address is no place of the page.
skip.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
header();
alerts();
show();
address = location.hash;
window.addEventListener("hashchange", route);
window.addEventListener("route", show);
window.addEventListener("keydown", pressed);
let wasLinked = true;
hear("link", () => {
  if (world.linked && !wasLinked) announce(t("link.back"));
  wasLinked = world.linked;
});
let wasLocked = world.locked;
hear("session", () => {
  if (wasLocked !== world.locked) show();
  wasLocked = world.locked;
});
for (const topic of ["link", "status", "session"]) hear(topic, renderBanners);
setInterval(() => !world.linked && renderBanners(), 500);
restWhileKept();
connect();
