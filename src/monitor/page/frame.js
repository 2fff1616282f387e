/** Messages of a camera's live connection. */

/**
 * @typedef {{text: string, span: [number, number], score: number}} Phrase
 * @typedef {{size: [number, number], counts: string}} Mask
 * @typedef {{box: [number, number, number, number], score: number, track?: number, phrases: Phrase[], mask?: Mask}} Detection
 * @typedef {{id: string, text: string, present?: boolean, detections?: Detection[],
 *   answer?: {text: string, score: number}, age_ms?: number}} Result
 * @typedef {{schema: string, source: string, frame: number, utc?: string, age_ms?: number, size: [number, number],
 *   revision: number, queries: Result[]}} Report
 */

/**
 * A message: length of a JSON text as four bytes, the text (a line of mdetr/1), a JPEG.
 * @param {ArrayBuffer} buffer
 * @returns {{report: Report, jpeg: Uint8Array}}
 */
export function parseMessage(buffer) {
  if (buffer.byteLength < 4) throw new Error(`a message of ${buffer.byteLength} bytes, expected 4 at least`);
  const length = new DataView(buffer).getUint32(0);
  if (length > buffer.byteLength - 4) {
    throw new Error(`a text of ${length} bytes in a message of ${buffer.byteLength}`);
  }
  const report = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  if (report?.schema !== "mdetr/1" || !Array.isArray(report.queries) || !Array.isArray(report.size)) {
    throw new Error("expected a line of mdetr/1");
  }
  return { report, jpeg: new Uint8Array(buffer, 4 + length) };
}

/**
 * A query's age: that of its element if it has one, else the frame's.
 * @param {Report} report
 * @param {Result} result
 */
export function ageOf(report, result) {
  return result.age_ms ?? report.age_ms ?? 0;
}
