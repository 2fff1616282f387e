/** One camera: its picture, its sentences, its zones, rules and events. */

import { cameraLink, stateBadge } from "./cameras.js";
import { usersOf } from "./document.js";
import { confirmed, fill, h, icon, iconButton, setText } from "./dom.js";
import { Draft } from "./draft.js";
import { Editor } from "./editor.js";
import { EventList } from "./eventlist.js";
import { moment } from "./format.js";
import { promptBox, queryForm, wordsOfError } from "./prompt.js";
import { rulesPanel } from "./rules.js";
import { Screen } from "./screen.js";
import { Sentence, sentenceActions } from "./sentences.js";
import { t } from "./strings.js";
import { enableCamera } from "./system.js";
import { hear, setWatch, world } from "./world.js";
import { zonesPanel } from "./zones.js";

/** @typedef {import("./boxes.js").Focus} Focus */

/** Texts beside the picture change at most this often, in milliseconds. */
const READ_MS = 120;
const TABS = /** @type {const} */ (["events", "rules", "zones"]);

/**
 * @param {HTMLElement} main
 * @param {import("./dom.js").Scope} scope
 * @param {string} name
 * @param {(words: string) => void} announce
 */
export function cameraView(main, scope, name, announce) {
  document.title = `${name} · ${t("app.name")}`;
  if (!world.camera(name)) {
    const say = () => {
      if (world.camera(name)) window.dispatchEvent(new Event("route"));
      else if (world.config) fill(main, h("div", { class: "empty big" }, h("p", {}, t("camera.unknown", { camera: name })), h("a", { class: "button", href: "#/" }, t("camera.back"))));
      else fill(main, h("p", { class: "empty" }, t("common.loading")));
    };
    scope.add(hear("config", say));
    say();
    return { keys: () => false };
  }
  const screen = new Screen(name);
  scope.add(() => screen.close());
  const draft = new Draft(name, scope);
  const editor = new Editor(screen, draft, scope);
  const rules = rulesPanel(draft, scope);
  const zones = zonesPanel(draft, editor);
  const prompt = promptBox(name, announce);
  const latest = new EventList(scope, { limit: 50, camera: false, paged: true, empty: t("cameras.nothing") });
  latest.show({ camera: name });

  const tabs = tabBar(
    { events: latest.element, rules: rules.element, zones: zones.element },
    (tab) => {
      if (tab !== "rules") rules.commit();
      editor.setEditing(tab === "zones" && !world.viewer);
      element.classList.toggle("edits", tab === "zones");
    },
  );
  const sentences = sentenceList(name, scope, screen, (query) => {
    tabs.choose("rules");
    rules.addRule(query);
  });
  const head = header(name, scope, screen);
  const element = h(
    "div",
    { class: "split camera" },
    h(
      "section",
      { class: "stack", "aria-labelledby": "title" },
      head.element,
      screen.element,
      prompt.element,
      sentences.element,
    ),
    h("aside", { class: "side", "aria-label": t("camera.panel") }, tabs.bar, tabs.panels, saveBar(draft, rules, scope)),
  );
  const guard = () => {
    prompt.guard();
    sentences.render();
    rules.render();
    zones.render();
    editor.setEditing(tabs.chosen === "zones" && !world.viewer);
  };
  scope.add(hear("session", guard));
  scope.add(hear("config", () => !world.camera(name) && window.dispatchEvent(new Event("route"))));
  fill(main, element);

  const keys = (/** @type {string} */ key, /** @type {KeyboardEvent} */ event) => {
    if (key === "/") prompt.focus();
    else if (key === "[") head.go(-1);
    else if (key === "]") head.go(1);
    else if (key === "b") head.boxes();
    else if (key === "f") head.full();
    else if (key === "Escape" && editor.drawing) editor.stop();
    else if (key === "Enter" && editor.drawing) editor.finish();
    else if (key === "z" && (event.ctrlKey || event.metaKey) && tabs.chosen === "zones") draft.undo();
    else return false;
    return true;
  };
  const leave = async () => {
    if (!rules.commit() || draft.dirty) return confirmed(t("draft.leave"), t("draft.leave.yes"), t("common.cancel"));
    return true;
  };
  scope.on(window, "beforeunload", (event) => {
    if (draft.dirty) event.preventDefault();
  });
  return { keys, leave };
}

/**
 * @param {string} name
 * @param {import("./dom.js").Scope} scope
 * @param {Screen} screen
 */
function header(name, scope, screen) {
  const status = h("p", { class: "facts" });
  const toggle = h("input", { type: "checkbox", on: { change: () => enableCamera(name, toggle) } });
  const go = (/** @type {number} */ by) => {
    const cameras = world.cameras();
    const at = cameras.findIndex((camera) => camera.name === name);
    if (cameras.length > 1) location.hash = cameraLink(cameras[(at + by + cameras.length) % cameras.length].name);
  };
  const boxes = () => {
    screen.boxes = !screen.boxes;
    boxesButton.setAttribute("aria-pressed", String(screen.boxes));
    screen.redraw();
  };
  const full = () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else screen.element.requestFullscreen?.().catch(() => {});
  };
  const boxesButton = iconButton("boxes", t("camera.boxes"), boxes, { "aria-pressed": "true" });
  const element = h(
    "header",
    { class: "head" },
    h("a", { class: "button bare", href: "#/", "aria-label": t("camera.back"), title: t("camera.back") }, icon("back")),
    h("h1", { id: "title", tabindex: -1 }, name),
    status,
    h("span", { class: "grow" }),
    h("label", { class: "switch" }, toggle, h("span", { class: "knob" }), h("span", { class: "name" }, t("camera.enabled"))),
    boxesButton,
    iconButton("full", t("camera.full"), full),
    iconButton("previous", t("camera.previous"), () => go(-1)),
    iconButton("next", t("camera.next"), () => go(1)),
  );
  let shape = "";
  const say = () => {
    const known = world.statusOf(name);
    const camera = world.camera(name);
    toggle.checked = camera?.enabled !== false;
    toggle.disabled = world.viewer;
    /** @type {HTMLElement} */ (toggle.parentElement).title = world.viewer ? world.why() : "";
    const now = JSON.stringify(known);
    if (now === shape) return;
    shape = now;
    if (!known) return fill(status, stateBadge("unknown"));
    const since = t("camera.since", { state: t(`state.${known.state}`), time: moment(known.since) });
    const badge = stateBadge(known.state);
    badge.textContent = since;
    const figures = t("camera.fps", { fps: known.fps.toFixed(1), inferred: known.inferred_fps.toFixed(1) });
    return fill(
      status,
      badge,
      known.state === "online" && h("span", { class: "quiet" }, figures),
      known.message && h("span", { class: "quiet message" }, known.message),
    );
  };
  for (const topic of ["status", "config", "session"]) scope.add(hear(topic, say));
  say();
  return { element, go, boxes, full };
}

/**
 * @param {string} name of the camera
 * @param {import("./dom.js").Scope} scope
 * @param {Screen} screen
 * @param {(query: string) => void} makeRule
 */
function sentenceList(name, scope, screen, makeRule) {
  const list = h("ul", { class: "sentences", "aria-label": t("query.list") });
  const message = h("p", { class: "fault", role: "alert" });
  const element = h("div", { class: "stack" }, message, list);
  /** @type {Sentence[]} */
  let shown = [];
  /** @type {{id: string, form: ReturnType<typeof queryForm>} | null} */
  let open = null;
  let shape = "";
  const light = (/** @type {Focus | null} */ focus) => {
    for (const sentence of shown) sentence.light(focus);
  };
  const point = (/** @type {Focus | null} */ focus) => {
    screen.focus = focus;
    light(focus);
  };
  const remove = async (/** @type {import("./world.js").Query} */ query) => {
    const camera = world.camera(name);
    const users = usersOf(camera?.rule ?? [], "query", query.id);
    if (users.length > 0) {
      setText(message, t("query.used", { rules: users.join(", ") }));
      return;
    }
    try {
      const rest = (camera?.query ?? []).filter(({ id }) => id !== query.id);
      await setWatch(name, { queries: rest }, world.revision);
      setText(message, "");
    } catch (error) {
      setText(message, wordsOfError(error, t("draft.moved")));
    }
  };
  const edit = (/** @type {import("./world.js").Query} */ query) => {
    const done = () => {
      open = null;
      render();
      /** @type {HTMLElement | null} */ (list.querySelector(`[data-query="${CSS.escape(query.id)}"] ~ .actions button:nth-of-type(2)`))?.focus();
    };
    open = { id: query.id, form: queryForm(name, query, done) };
    render();
    open.form.focus();
  };
  const render = () => {
    const queries = world.camera(name)?.query ?? [];
    if (open && !queries.some(({ id }) => id === open?.id)) open = null;
    const now = JSON.stringify([queries, open?.id, world.viewer]);
    if (now === shape) return;
    shape = now;
    shown = [];
    const items = queries.map((query, index) => {
      if (open?.id === query.id) return h("li", { class: "wide" }, open.form.element);
      const sentence = new Sentence(query, index, point);
      shown.push(sentence);
      sentence.show(screen.report);
      const actions = { edit: () => edit(query), remove: () => remove(query), rule: () => makeRule(query.id), locked: world.viewer ? world.why() : "" };
      return h("li", { class: "card" }, sentence.element, sentenceActions(query, actions));
    });
    fill(list, items.length > 0 ? items : h("li", { class: "empty" }, t("query.none")));
  };
  let read = 0;
  screen.read((report) => {
    if (performance.now() - read < READ_MS) return;
    read = performance.now();
    for (const sentence of shown) sentence.show(report);
  });
  screen.pointed(light);
  scope.add(hear("config", render));
  render();
  return { element, render };
}

/**
 * @param {Record<typeof TABS[number], HTMLElement>} contents
 * @param {(tab: typeof TABS[number]) => void} chosen
 */
function tabBar(contents, chosen) {
  const buttons = TABS.map((tab) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${tab}`,
        "aria-controls": `panel-${tab}`,
        on: { click: () => choose(tab) },
      },
      t(`camera.tab.${tab}`),
    ),
  );
  const panels = TABS.map((tab) =>
    h("div", { role: "tabpanel", id: `panel-${tab}`, "aria-labelledby": `tab-${tab}`, class: "panel" }, contents[tab]),
  );
  const bar = h("div", { class: "tabs", role: "tablist", "aria-label": t("camera.panel") }, buttons);
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const at = (TABS.indexOf(state.chosen) + by + TABS.length) % TABS.length;
    choose(TABS[at]);
    buttons[at].focus();
  });
  const state = { bar, panels: h("div", { class: "tabpanels" }, panels), chosen: /** @type {typeof TABS[number]} */ ("events"), choose };
  function choose(/** @type {typeof TABS[number]} */ tab) {
    show(tab);
    chosen(tab);
  }
  function show(/** @type {typeof TABS[number]} */ tab) {
    state.chosen = tab;
    TABS.forEach((one, index) => {
      buttons[index].setAttribute("aria-selected", String(one === tab));
      buttons[index].tabIndex = one === tab ? 0 : -1;
      panels[index].hidden = one !== tab;
    });
  }
  show("events");
  return state;
}

/**
 * @param {Draft} draft
 * @param {ReturnType<typeof rulesPanel>} rules
 * @param {import("./dom.js").Scope} scope
 */
function saveBar(draft, rules, scope) {
  const note = h("p", { role: "status" });
  const fault = h("p", { class: "fault", role: "alert" });
  const save = h("button", { type: "button", class: "button primary" }, t("draft.save"));
  const discard = h("button", { type: "button", class: "button" }, t("draft.discard"));
  const element = h("div", { class: "savebar" }, fault, h("div", { class: "row" }, note, h("span", { class: "grow" }), discard, save));
  const render = () => {
    const dirty = draft.dirty || draft.saving;
    element.classList.toggle("dirty", dirty);
    save.disabled = !dirty || draft.saving || world.viewer;
    discard.disabled = !dirty || draft.saving;
    if (dirty) setText(note, t("draft.dirty"));
    if (draft.overtaken && fault.textContent === "") setText(fault, t("draft.conflict"));
  };
  discard.addEventListener("click", () => {
    setText(fault, "");
    setText(note, "");
    draft.discard();
  });
  save.addEventListener("click", async () => {
    if (!rules.commit()) return;
    const words = await draft.save();
    setText(fault, words);
    setText(note, words ? t("draft.dirty") : t("draft.saved"));
    render();
  });
  draft.changed(render);
  scope.add(hear("session", render));
  render();
  return element;
}
