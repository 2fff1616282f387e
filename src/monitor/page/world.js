/** What the page knows of the monitor, and who wants to hear of changes. */

import { ApiError, onRefused, path, request, search } from "./api.js";
import { t } from "./strings.js";

/**
 * @typedef {{id: string, text: string, score_threshold?: number, phrase_threshold?: number}} Query
 * @typedef {{id: string, points: [number, number][]}} Zone
 * @typedef {{id: string, from: [number, number], to: [number, number]}} Line
 * @typedef {Record<string, any> & {id: string, when: any}} Rule
 * @typedef {{name: string, url: string, enabled: boolean, query?: Query[], zone?: Zone[], line?: Line[],
 *   rule?: Rule[]} & Record<string, any>} Camera
 * @typedef {{name: string, state: string, since: string, message?: string, size?: [number, number], video?: boolean, fps: number,
 *   inferred_fps: number, reconnects: number, revision: number}} CameraStatus
 * @typedef {Record<string, any> & {id: string, camera: string, rule: string, kind: string, severity: string,
 *   text: string, start: string, time: string, end?: string, has_picture?: boolean, has_clip?: boolean,
 *   kept?: boolean}} Event
 */

/** How often the state is asked for: figures such as frames a second are not told. */
const STATUS_MS = 10_000;
/** Waiting between two tries, in seconds. */
const RETRY_S = [0.5, 1, 2, 4, 8, 15];

/** @type {Map<string, Set<(detail: any) => void>>} */
const listeners = new Map();

/**
 * Hears of: `status`, `config`, `event` (a step), `events` (what is open is known anew), `clip` and `removed` (an id), `link`
 * (whether the program is reached), `session` (who we are).
 * @param {string} topic
 * @param {(detail: any) => void} listener
 * @returns {() => void} stops it
 */
export function hear(topic, listener) {
  const known = listeners.get(topic) ?? new Set();
  listeners.set(topic, known.add(listener));
  return () => known.delete(listener);
}

/**
 * @param {string} topic
 * @param {any} [detail]
 */
export function tell(topic, detail) {
  for (const listener of [...(listeners.get(topic) ?? [])]) listener(detail);
}

/** What is known. */
export const world = {
  /** @type {any} */
  status: null,
  /** @type {any} */
  config: null,
  /** @type {number | null} */
  revision: null,
  /** @type {Map<string, Event>} events that go on, by id */
  open: new Map(),
  /** Whether the program is reached. */
  linked: true,
  /** Next try to reach it, as milliseconds of the clock. */
  retryAt: 0,
  /** Whether a token is needed. */
  locked: false,
  /** Whether this is a session that can be ended. */
  get loggedIn() {
    return !this.locked && this.status !== null && (this.status.name ?? "loopback") !== "loopback";
  },
  /** Whether we may look only. */
  reader: false,
  /** Whether cameras are those of many sites, and are changed there. */
  hub: false,
  /** Whether the configuration cannot be changed here: see `why`. */
  get viewer() {
    return this.reader || this.hub;
  },

  /** Why the configuration cannot be changed here. */
  why() {
    return t(this.hub ? "role.hub" : "role.viewer");
  },

  /**
   * @param {string} name
   * @returns {Camera | null}
   */
  camera(name) {
    return this.cameras().find((/** @type {Camera} */ camera) => camera.name === name) ?? null;
  },

  /** @returns {Camera[]} */
  cameras() {
    return this.config?.camera ?? [];
  },

  /**
   * @param {string} name
   * @returns {CameraStatus | null}
   */
  statusOf(name) {
    return this.status?.cameras?.find((/** @type {CameraStatus} */ status) => status.name === name) ?? null;
  },

  /**
   * The open event of a rule, if there is one.
   * @param {string} camera
   * @param {string} rule
   */
  openOf(camera, rule) {
    return [...this.open.values()].find((event) => event.camera === camera && event.rule === rule) ?? null;
  },
};

onRefused((error) => {
  if (error.status === 401 && !world.locked) {
    world.locked = true;
    close();
    tell("session");
  } else if (error.status === 403 && !world.reader) {
    world.reader = true;
    tell("session");
  }
});

async function loadStatus() {
  const { data } = await request("GET", path("status"));
  world.status = data;
  const [reader, hub] = [data.role === "viewer", data.hub === true];
  if (reader !== world.reader || hub !== world.hub) {
    [world.reader, world.hub] = [reader, hub];
    tell("session");
  }
  tell("status");
}

/** Reads the configuration anew. */
export async function loadConfig() {
  const { data, revision } = await request("GET", path("config"));
  world.config = data;
  world.revision = revision;
  tell("config");
}

async function loadOpen() {
  const { data } = await request("GET", path("events") + search({ open: true, limit: 1000 }));
  world.open = new Map(data.events.map((/** @type {Event} */ event) => [event.id, event]));
  tell("events");
}

/** @type {EventSource | null} */
let feed = null;
let tries = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let ticking;

function close() {
  feed?.close();
  feed = null;
  clearTimeout(timer);
  clearTimeout(ticking);
}

/** @param {boolean} linked */
function setLinked(linked) {
  if (world.linked === linked && linked) return;
  world.linked = linked;
  tell("link");
}

function lost() {
  close();
  const seconds = RETRY_S[Math.min(tries, RETRY_S.length - 1)] * (0.75 + Math.random() / 2);
  tries += 1;
  world.retryAt = Date.now() + seconds * 1000;
  setLinked(false);
  timer = setTimeout(connect, seconds * 1000);
}

async function tick() {
  try {
    await loadStatus();
    ticking = setTimeout(tick, STATUS_MS);
  } catch (error) {
    if (feed && error instanceof ApiError && error.unreachable) lost();
    else if (feed) ticking = setTimeout(tick, STATUS_MS);
  }
}

/** Reads everything, and hears of changes from then on; tries again and again. */
export async function connect() {
  close();
  const source = new EventSource("/api/live");
  feed = source;
  hearFrom(source);
  const opened = new Promise((resolve, reject) => {
    source.addEventListener("open", resolve, { once: true });
    source.addEventListener("error", reject, { once: true });
  });
  opened.catch(() => {});
  try {
    // Asked first: it says whether a token is needed, which an EventSource does not.
    await loadStatus();
    await opened;
    await loadConfig();
    // A store that does not answer is said elsewhere: cameras can be watched without it.
    await loadOpen().catch(() => {});
    if (feed !== source) return;
    tries = 0;
    setLinked(true);
    source.addEventListener("error", () => feed === source && lost());
    if (source.readyState !== EventSource.OPEN) lost();
    else ticking = setTimeout(tick, STATUS_MS);
  } catch {
    if (!world.locked && feed === source) lost();
  }
}

/** A page that the browser keeps for going back must not hold a connection: there are six for each host. */
export function restWhileKept() {
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && !world.locked) connect();
  });
}

/** @param {EventSource} source */
function hearFrom(source) {
  const on = (/** @type {string} */ type, /** @type {(data: any) => void} */ take) => {
    source.addEventListener(type, (message) => {
      if (feed === source) take(JSON.parse(/** @type {MessageEvent} */ (message).data || "null"));
    });
  };
  on("event", (event) => {
    if (event.kind === "end") world.open.delete(event.id);
    else world.open.set(event.id, { ...world.open.get(event.id), ...event });
    tell("event", event);
  });
  on("clip", (clip) => tell("clip", typeof clip === "string" ? clip : (clip?.event ?? clip?.id)));
  on("camera", (status) => {
    const cameras = world.status?.cameras;
    if (!cameras) return;
    const index = cameras.findIndex((/** @type {CameraStatus} */ known) => known.name === status.name);
    if (index >= 0) cameras[index] = status;
    else cameras.push(status);
    tell("status");
  });
  on("broker", (broker) => world.status && ((world.status.broker = broker), tell("status")));
  on("store", (store) => world.status && ((world.status.store = store), tell("status")));
  on("config", () => {
    loadConfig().catch(() => {});
    loadStatus().catch(() => {});
  });
  on("missed", () => {
    Promise.all([loadStatus(), loadConfig(), loadOpen()]).catch(() => {});
  });
}

/**
 * Gives the token; a session begins.
 * @param {string} token
 */
export async function logIn(token) {
  const { data } = await request("POST", path("login"), { body: { token } });
  world.locked = false;
  world.reader = data?.role === "viewer";
  tries = 0;
  await connect();
  tell("session");
}

export async function logOut() {
  await request("POST", path("logout"));
  close();
  world.locked = true;
  tell("session");
}

/**
 * Changes what is watched on a camera. `revision` is the one that the change was made from.
 * @param {string} camera
 * @param {{queries?: Query[], zones?: Zone[], lines?: Line[], rules?: Rule[]}} watch
 * @param {number | null} revision
 */
export async function setWatch(camera, watch, revision) {
  try {
    await request("PUT", path("cameras", camera, "watch"), { body: watch, revision });
  } catch (error) {
    if (error instanceof ApiError && error.conflict) await loadConfig();
    throw error;
  }
  await loadConfig();
}
