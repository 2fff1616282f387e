/** Live pictures of a camera: as video if it can be decoded here, else as JPEG over a WebSocket, or one by one if that fails. */

import { hangUp, path, socketUrl } from "./api.js";
import { parseMessage } from "./frame.js";
import { Video, decodes } from "./video.js";

/** @typedef {import("./frame.js").Report} Report */

/** Waiting between two tries, in milliseconds. */
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
/** Failed tries in a row after which pictures are fetched one by one. */
const PATIENCE = 2;
/** Time between pictures that are fetched one by one. */
const POLL_MS = 1000;

export class Live {
  #camera;
  #take;
  #tell;
  #running = false;
  #failures = 0;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #poll;
  /** The message that waits while another is decoded; a newer one takes its place. */
  #next = /** @type {ArrayBuffer | null} */ (null);
  #busy = false;
  #pause;
  /** @type {Video | null} */
  #video = null;
  /** Whether the camera gives video now. */
  #offersVideo;
  /** Whether its video cannot be shown here. */
  #noVideo = false;

  /**
   * @param {string} camera
   * @param {(picture: ImageBitmap | VideoFrame, report: Report | null) => void} take is given each picture, and closes it
   * @param {(state: "connecting" | "live" | "pictures") => void} tell
   * @param {{pause?: number, video?: () => boolean}} [options] `pause`: least milliseconds from one JPEG to the next; `video`:
   *   whether the camera gives video now
   */
  constructor(camera, take, tell, { pause = 0, video = () => false } = {}) {
    this.#pause = pause;
    this.#offersVideo = () => !this.#noVideo && decodes() && video();
    this.#camera = camera;
    this.#take = take;
    this.#tell = tell;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#failures = 0;
    this.#noVideo = false;
    this.#tell("connecting");
    this.#connect();
  }

  stop() {
    this.#running = false;
    clearTimeout(this.#retry);
    this.#stopPolling();
    this.#video?.stop();
    this.#video = null;
    if (this.#socket) hangUp(this.#socket);
    this.#socket = null;
    this.#next = null;
  }

  /** The camera may give video now that gave none before. */
  look() {
    if (!this.#running || !this.#socket || !this.#offersVideo()) return;
    const socket = this.#socket;
    this.#socket = null;
    hangUp(socket);
    this.#connect();
  }

  #connect() {
    if (this.#offersVideo()) this.#connectVideo();
    else this.#connectPictures();
  }

  #connectVideo() {
    const take = (/** @type {VideoFrame} */ frame, /** @type {Report | null} */ report) => {
      this.#failures = 0;
      this.#stopPolling();
      this.#tell("live");
      this.#take(frame, report);
    };
    const video = new Video(socketUrl(`${path("cameras", this.#camera)}/video`), take, () => {
      this.#video = null;
      if (!this.#running) return;
      if (video.shown) return this.#retryLater();
      // What cannot be shown as video can be as pictures.
      this.#noVideo = true;
      this.#connect();
    });
    this.#video = video;
  }

  #retryLater() {
    const wait = RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)];
    this.#failures += 1;
    if (this.#failures >= PATIENCE && this.#poll === undefined) this.#fetchPicture();
    this.#retry = setTimeout(() => this.#connect(), wait * (0.75 + Math.random() / 2));
  }

  #connectPictures() {
    const socket = new WebSocket(socketUrl(`${path("cameras", this.#camera)}/live`));
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.addEventListener("message", (message) => {
      if (socket !== this.#socket || !(message.data instanceof ArrayBuffer)) return;
      this.#failures = 0;
      this.#stopPolling();
      this.#next = message.data;
      this.#decode();
    });
    socket.addEventListener("close", () => {
      if (socket !== this.#socket || !this.#running) return;
      this.#socket = null;
      this.#retryLater();
    });
  }

  async #decode() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next) {
      const message = this.#next;
      this.#next = null;
      try {
        const { report, jpeg } = parseMessage(message);
        const bitmap = await createImageBitmap(new Blob([/** @type {BlobPart} */ (jpeg)], { type: "image/jpeg" }));
        if (this.#running) {
          this.#tell("live");
          this.#take(bitmap, report);
        } else {
          bitmap.close();
        }
      } catch {
        // A broken message says nothing about the next one.
      }
      if (this.#pause > 0) await new Promise((resolve) => setTimeout(resolve, this.#pause));
    }
    this.#busy = false;
  }

  #stopPolling() {
    clearTimeout(this.#poll);
    this.#poll = undefined;
  }

  #fetchPicture() {
    this.#poll = setTimeout(async () => {
      try {
        const at = `${path("cameras", this.#camera)}/picture.jpg`;
        const response = await fetch(at, { cache: "no-store", signal: AbortSignal.timeout(5000) });
        if (response.ok) {
          const bitmap = await createImageBitmap(await response.blob());
          if (this.#running && this.#poll !== undefined) {
            this.#tell("pictures");
            this.#take(bitmap, null);
          } else {
            bitmap.close();
          }
        }
      } catch {
        // The next try may do.
      }
      if (this.#running && this.#poll !== undefined) this.#fetchPicture();
    }, POLL_MS);
  }
}
