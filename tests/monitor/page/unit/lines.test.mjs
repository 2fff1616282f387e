import assert from "node:assert/strict";
import { test } from "node:test";

import { jsonLines } from "../../../../src/monitor/page/lines.js";

async function read(chunks) {
  const values = [];
  for await (const value of jsonLines(ReadableStream.from(chunks))) values.push(value);
  return values;
}

const bytes = (text) => new TextEncoder().encode(text);

test("lines are read however they are cut", async () => {
  const whole = bytes('{"a": "größe ☕"}\n\n[1, 2]\n3');
  for (let size = 1; size <= whole.length; size += 1) {
    const chunks = [];
    for (let at = 0; at < whole.length; at += size) chunks.push(whole.slice(at, at + size));
    assert.deepEqual(await read(chunks), [{ a: "größe ☕" }, [1, 2], 3]);
  }
});

test("nothing is nothing, and what is cut off is refused", async () => {
  assert.deepEqual(await read([]), []);
  await assert.rejects(read([bytes('{"a": 1}\n{"b"')]), SyntaxError);
});

test("a line is given as soon as it has ended, and who stops ends the stream", async () => {
  let ended = false;
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(bytes("1\n2")),
    cancel: () => {
      ended = true;
    },
  });
  for await (const value of jsonLines(stream)) {
    assert.equal(value, 1);
    break;
  }
  assert.ok(ended);
});
