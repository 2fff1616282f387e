import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeCounts, eachRun } from "../../../../src/monitor/page/rle.js";

/** COCO's code, written from its description: groups of five bits, low first, differences from the third on. */
function encode(counts) {
  let text = "";
  counts.forEach((count, i) => {
    let x = i > 2 ? count - counts[i - 2] : count;
    for (;;) {
      let group = x & 0x1f;
      x >>= 5;
      const more = group & 0x10 ? x !== -1 : x !== 0;
      if (more) group |= 0x20;
      text += String.fromCharCode(group + 48);
      if (!more) break;
    }
  });
  return text;
}

function pixels(mask) {
  const [height, width] = mask.size;
  const rows = Array.from({ length: height }, () => Array(width).fill(0));
  eachRun(mask, (x, y, length) => {
    for (let i = 0; i < length; i += 1) rows[y + i][x] += 1;
  });
  return rows;
}

test("run lengths come back", () => {
  let seed = 1;
  const random = (n) => {
    seed = (seed * 48271) % 2147483647;
    return seed % n;
  };
  for (let round = 0; round < 500; round += 1) {
    const counts = Array.from({ length: 1 + random(40) }, (_, i) => random(10 ** (1 + random(6))) + (i ? 1 : 0));
    assert.deepEqual(decodeCounts(encode(counts)), counts);
  }
});

test("runs go down the columns, first zeros", () => {
  // Columns 0110, 1100 of a picture four high and two wide.
  assert.deepEqual(pixels({ size: [4, 2], counts: encode([1, 2, 1, 2, 2]) }), [[0, 1], [1, 1], [1, 0], [0, 0]]);
});

test("a run that goes over the end of a column is divided", () => {
  assert.deepEqual(pixels({ size: [2, 3], counts: encode([1, 4, 1]) }), [[0, 1, 1], [1, 1, 0]]);
});

test("what is longer than the picture is cut", () => {
  assert.deepEqual(pixels({ size: [2, 2], counts: encode([0, 900]) }), [[1, 1], [1, 1]]);
});

test("a mask of the model", () => {
  const counts =
    "cn`4`0]>7K3L3M4L3N2O1N1O2O0O2O0O2O0O101O000O1000000O1000000001O000O2O00000O2O1N2N2N2M3N3M3L4M2M4L5J^PU4";
  const runs = decodeCounts(counts);
  assert.equal(runs.reduce((a, b) => a + b), 640 * 480);
  let [left, right, top, bottom] = [Infinity, 0, Infinity, 0];
  eachRun({ size: [480, 640], counts }, (x, y, length) => {
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + length)];
  });
  // Its box is 307.87, 94.48, 51.23 x 53.72.
  for (const [found, expected] of [[left, 307.9], [top, 94.5], [right, 359.1], [bottom, 148.2]]) {
    assert.ok(Math.abs(found - expected) < 5, `${found} near ${expected}`);
  }
});

test("what is no code is refused", () => {
  for (const text of ["\u0000", "o", "oooooooooo0", "é", "00N0"]) assert.throws(() => decodeCounts(text), Error, text);
});
