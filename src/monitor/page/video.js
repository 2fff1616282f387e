/** Live video of a camera: coded pictures over a WebSocket, decoded here, each shown with its results. */

import { hangUp } from "./api.js";
import { checkedReport, parseFramed } from "./frame.js";
import { Pairs } from "./pairs.js";

/** @typedef {import("./frame.js").Report} Report */

/** Coded pictures that may wait for the decoder; then it goes on with the next key picture. */
const BACKLOG = 60;
/** How often pictures without results are looked for, in milliseconds. */
const LOOK_MS = 100;

/** Whether this browser decodes here; over plain HTTP only that of the same machine does. */
export const decodes = () => "VideoDecoder" in globalThis;

export class Video {
  #socket;
  #end;
  /** @type {VideoDecoder | null} */
  #decoder = null;
  #codec = "";
  #waitsForKey = true;
  #timer;
  /** @type {Pairs<VideoFrame, Report>} */
  #pairs;
  /** Whether a picture was shown. */
  shown = false;

  /**
   * @param {string} url of the WebSocket
   * @param {(frame: VideoFrame, report: Report | null) => void} take is given each picture, and closes it
   * @param {() => void} end is called once: the connection or the decoder failed
   */
  constructor(url, take, end) {
    this.#end = end;
    this.#pairs = new Pairs((frame, report) => {
      this.shown = true;
      take(frame, report);
    });
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("message", ({ data }) => this.#take(data));
    this.#socket.addEventListener("close", () => this.#fail());
    this.#timer = setInterval(() => this.#pairs.look(performance.now()), LOOK_MS);
  }

  stop() {
    this.#end = () => {};
    this.#fail();
  }

  #fail() {
    clearInterval(this.#timer);
    hangUp(this.#socket);
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
    this.#pairs.close();
    const end = this.#end;
    this.#end = () => {};
    end();
  }

  /** @param {string | ArrayBuffer} message */
  #take(message) {
    try {
      if (typeof message === "string") {
        const report = checkedReport(JSON.parse(message));
        if (report.pts_ns !== undefined) this.#pairs.report(report, Math.floor(report.pts_ns / 1000));
      } else {
        this.#decode(parseFramed(message));
      }
    } catch {
      // A decoder that cannot go on, or messages that are not ours: pictures come another way.
      this.#fail();
    }
  }

  /** @param {{header: any, data: Uint8Array}} picture */
  #decode({ header, data }) {
    if (header.key) this.#configure(header);
    const decoder = this.#decoder;
    if (!decoder) return;
    if (decoder.decodeQueueSize > BACKLOG) this.#waitsForKey = true;
    if (this.#waitsForKey && !header.key) return;
    this.#waitsForKey = false;
    const type = header.key ? "key" : "delta";
    decoder.decode(new EncodedVideoChunk({ type, timestamp: header.pts_us, data }));
  }

  /** @param {{codec: string, description?: string}} header of a key picture */
  #configure({ codec, description }) {
    const now = `${codec} ${description ?? ""}`;
    if (now === this.#codec) return;
    this.#codec = now;
    this.#decoder ??= new VideoDecoder({
      output: (frame) => this.#pairs.frame(frame, frame.timestamp, performance.now()),
      error: () => this.#fail(),
    });
    const bytes = description?.match(/../g)?.map((digits) => Number.parseInt(digits, 16));
    this.#decoder.configure({
      codec,
      optimizeForLatency: true,
      ...(bytes && { description: new Uint8Array(bytes) }),
    });
  }
}
