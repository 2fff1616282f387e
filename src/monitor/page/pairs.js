/** Pictures and results that come apart, and belong together by their times. */

/** Times are the same if they differ by no more, in microseconds: decoders round. */
const SAME_US = 500;
/** Longest wait of a picture for its results, in milliseconds. */
const PATIENCE_MS = 300;
/** Most pictures that wait: decoders have few. */
const MOST_FRAMES = 12;
/** Most results that wait. */
const MOST_REPORTS = 64;

/**
 * Shows pictures with their results, never an older one behind a newer one; those without results of their own, such as those
 * between two that were looked at, only if none comes for long.
 * @template {{close(): void}} Frame
 * @template Report
 */
export class Pairs {
  #show;
  /** @type {{frame: Frame, us: number, at: number}[]} oldest first */
  #frames = [];
  /** @type {{report: Report, us: number}[]} oldest first */
  #reports = [];
  /** @type {Report | null} */
  #last = null;
  #shownAt = -Infinity;

  /** @param {(frame: Frame, report: Report | null) => void} show is given each picture, and closes it */
  constructor(show) {
    this.#show = show;
  }

  /**
   * @param {Frame} frame
   * @param {number} us its time in microseconds
   * @param {number} now in milliseconds
   */
  frame(frame, us, now) {
    this.#frames.push({ frame, us, at: now });
    if (this.#frames.length > MOST_FRAMES) this.#frames.shift()?.frame.close();
    this.#match(now);
  }

  /**
   * @param {Report} report
   * @param {number} us its time in microseconds
   */
  report(report, us) {
    this.#reports.push({ report, us });
    if (this.#reports.length > MOST_REPORTS) this.#reports.shift();
    this.#match(performance.now());
  }

  /**
   * Shows the newest picture if it and all before it have waited too long.
   * @param {number} now in milliseconds
   */
  look(now) {
    const [oldest] = this.#frames;
    if (!oldest || now - Math.max(oldest.at, this.#shownAt) < PATIENCE_MS) return;
    this.#give(this.#frames.length - 1, this.#last, now);
  }

  close() {
    for (const { frame } of this.#frames) frame.close();
    this.#frames = [];
    this.#reports = [];
  }

  /** @param {number} now */
  #match(now) {
    for (let index = this.#frames.length - 1; index >= 0; index -= 1) {
      const { us } = this.#frames[index];
      const found = this.#reports.findIndex((report) => Math.abs(report.us - us) <= SAME_US);
      if (found < 0) continue;
      const { report } = this.#reports[found];
      this.#reports.splice(0, found + 1);
      this.#give(index, report, now);
      return;
    }
  }

  /**
   * @param {number} index of the picture to show; those before it are dropped
   * @param {Report | null} report
   * @param {number} now
   */
  #give(index, report, now) {
    const gone = this.#frames.splice(0, index + 1);
    const shown = gone.pop();
    for (const { frame } of gone) frame.close();
    this.#last = report;
    this.#shownAt = now;
    if (shown) this.#show(shown.frame, report);
  }
}
