/** Messages of a camera's live connection. */

/**
 * @typedef {{text: string, span: [number, number], score: number}} Phrase
 * @typedef {{size: [number, number], counts: string}} Mask
 * @typedef {{box: [number, number, number, number], score: number, track?: number, phrases: Phrase[], mask?: Mask}} Detection
 * @typedef {{id: string, text: string, present?: boolean, detections?: Detection[],
 *   answer?: {text: string, score: number}, age_ms?: number}} Result
 * @typedef {{schema: string, source: string, frame: number, utc?: string, pts_ns?: number, age_ms?: number, size: [number, number],
 *   revision: number, queries: Result[]}} Report
 */

/**
 * A message: length of a JSON text as four bytes, the text, and bytes that it says something of.
 * @param {ArrayBuffer} buffer
 * @returns {{header: any, data: Uint8Array}}
 */
export function parseFramed(buffer) {
  if (buffer.byteLength < 4) throw new Error(`a message of ${buffer.byteLength} bytes, expected 4 at least`);
  const length = new DataView(buffer).getUint32(0);
  if (length > buffer.byteLength - 4) {
    throw new Error(`a text of ${length} bytes in a message of ${buffer.byteLength}`);
  }
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { header, data: new Uint8Array(buffer, 4 + length) };
}

/**
 * A message with a line of mdetr/1 and a JPEG.
 * @param {ArrayBuffer} buffer
 * @returns {{report: Report, jpeg: Uint8Array}}
 */
export function parseMessage(buffer) {
  const { header, data } = parseFramed(buffer);
  return { report: checkedReport(header), jpeg: data };
}

/**
 * @param {any} report
 * @returns {Report}
 */
export function checkedReport(report) {
  if (report?.schema !== "mdetr/1" || !Array.isArray(report.queries) || !Array.isArray(report.size)) {
    throw new Error("expected a line of mdetr/1");
  }
  return report;
}

/**
 * A query's age: that of its element if it has one, else the frame's.
 * @param {Report} report
 * @param {Result} result
 */
export function ageOf(report, result) {
  return result.age_ms ?? report.age_ms ?? 0;
}
