/** The monitor's HTTP interface. */

import { jsonLines } from "./lines.js";

/** @typedef {{place: string, message: string}} Fault */

/** Longest wait for an answer. */
const TIMEOUT_MS = 10_000;

/** An answer that is none. `status` is 0 if the program could not be reached. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {Fault[]} faults
   */
  constructor(status, message, faults = []) {
    super(message);
    this.status = status;
    this.faults = faults;
  }

  get unreachable() {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }

  get conflict() {
    return this.status === 409 || this.status === 412;
  }
}

/** @type {Set<(error: ApiError) => void>} told of each answer that asks for a token or another role */
const guards = new Set();

/** @param {(error: ApiError) => void} guard */
export function onRefused(guard) {
  guards.add(guard);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{body?: unknown, revision?: number | null, signal?: AbortSignal}} [options] `revision`: the one that is changed
 * @returns {Promise<{data: any, revision: number | null}>}
 */
export async function request(method, path, { body, revision, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (revision !== undefined && revision !== null) headers["If-Match"] = `"${revision}"`;
  const signals = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any(signals),
      credentials: "same-origin",
      cache: "no-store",
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, String(error instanceof Error ? error.message : error));
  }
  const data = parsed(text);
  if (!response.ok) throw refusal(response, data);
  const tag = /"(\d+)"/.exec(response.headers.get("ETag") ?? "");
  return { data, revision: tag ? Number(tag[1]) : null };
}

/** @param {string} text */
function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

/**
 * The error of an answer that is one.
 * @param {Response} response
 * @param {any} data
 */
function refusal(response, data) {
  const words = typeof data?.error === "string" ? data.error : `${response.status} ${response.statusText}`.trim();
  const refused = new ApiError(response.status, words, Array.isArray(data?.faults) ? data.faults : []);
  if (response.status === 401 || response.status === 403) for (const guard of guards) guard(refused);
  return refused;
}

/**
 * Asks for an answer that comes line by line, for as long as it takes.
 * @param {string} path
 * @param {unknown} body
 * @param {AbortSignal} signal ends it
 * @returns {AsyncGenerator<any>}
 */
export async function* stream(path, body, signal) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { Accept: "application/x-ndjson", "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
      credentials: "same-origin",
      cache: "no-store",
    });
    if (!response.ok) throw refusal(response, parsed(await response.text()));
    if (response.body) yield* jsonLines(response.body);
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
    throw new ApiError(0, String(error instanceof Error ? error.message : error));
  }
}

/**
 * A path of the interface; parts are escaped.
 * @param {...string} parts
 */
export function path(...parts) {
  return `/api/${parts.map(encodeURIComponent).join("/")}`;
}

/**
 * An address of a WebSocket on this host.
 * @param {string} at
 */
export function socketUrl(at) {
  const url = new URL(at, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * Ends a connection. One that is still being made ends once it is: browsers warn of those that are ended before.
 * @param {WebSocket} socket
 */
export function hangUp(socket) {
  if (socket.readyState === WebSocket.CONNECTING) socket.addEventListener("open", () => socket.close());
  else socket.close();
}

/**
 * The query part of an address, without what is empty.
 * @param {Record<string, string | number | boolean | null | undefined>} values
 */
export function search(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}
