import assert from "node:assert/strict";
import { test } from "node:test";

import { ageOf, parseMessage } from "../../../../src/monitor/page/frame.js";

function message(text, jpeg, length = undefined) {
  const bytes = new TextEncoder().encode(text);
  const buffer = new ArrayBuffer(4 + bytes.length + jpeg.length);
  new DataView(buffer).setUint32(0, length ?? bytes.length);
  new Uint8Array(buffer, 4).set(bytes);
  new Uint8Array(buffer, 4 + bytes.length).set(jpeg);
  return buffer;
}

const REPORT = { schema: "mdetr/1", source: "größe ☕", frame: 1, size: [4, 3], revision: 2, queries: [] };

test("a message is a report and a picture", () => {
  const { report, jpeg } = parseMessage(message(JSON.stringify(REPORT), [255, 216, 7]));
  assert.deepEqual(report, REPORT);
  assert.deepEqual([...jpeg], [255, 216, 7]);
});

test("broken messages are refused", () => {
  assert.throws(() => parseMessage(new ArrayBuffer(2)), /4 at least/);
  assert.throws(() => parseMessage(message("{}", [], 99)), /99 bytes/);
  assert.throws(() => parseMessage(message("{}", [])), /mdetr\/1/);
  assert.throws(() => parseMessage(message("{", [])), SyntaxError);
});

test("the age of a result is that of its element", () => {
  assert.equal(ageOf({ ...REPORT, age_ms: 5 }, { id: "a", text: "a", age_ms: 40 }), 40);
  assert.equal(ageOf({ ...REPORT, age_ms: 5 }, { id: "a", text: "a" }), 5);
  assert.equal(ageOf(REPORT, { id: "a", text: "a" }), 0);
});
