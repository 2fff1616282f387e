import assert from "node:assert/strict";
import { test } from "node:test";

import { Pairs } from "../../../../src/monitor/page/pairs.js";

/** Pictures with names, and what was shown and closed. */
function setup() {
  const shown = [];
  const closed = [];
  const pairs = new Pairs((frame, report) => shown.push([frame.name, report]));
  const frame = (name, us, now = 0) => pairs.frame({ name, close: () => closed.push(name) }, us, now);
  return { pairs, frame, shown, closed };
}

test("a picture is shown with its own results, whichever comes first", () => {
  const { pairs, frame, shown, closed } = setup();
  frame("a", 1000);
  frame("b", 34_333);
  pairs.report("of a", 1000);
  assert.deepEqual(shown, [["a", "of a"]]);
  pairs.report("of c", 67_666);
  assert.equal(shown.length, 1);
  frame("c", 67_667);
  assert.deepEqual(shown.at(-1), ["c", "of c"]);
  // Nothing older is shown behind it.
  assert.deepEqual(closed, ["b"]);
  pairs.report("of b", 34_333);
  assert.equal(shown.length, 2);
});

test("pictures without results are shown when none come for long", () => {
  const { pairs, frame, shown, closed } = setup();
  frame("a", 1000, 0);
  frame("b", 2000, 100);
  pairs.look(200);
  assert.deepEqual(shown, []);
  pairs.look(301);
  assert.deepEqual(shown, [["b", null]]);
  assert.deepEqual(closed, ["a"]);
});

test("no more than a few pictures and results wait", () => {
  const { pairs, frame, shown, closed } = setup();
  for (let index = 0; index < 40; index += 1) frame(index, index * 40_000);
  assert.equal(closed.length, 28);
  for (let index = 0; index < 1000; index += 1) pairs.report(index, -index * 40_000 - 1_000_000);
  pairs.report("last", 39 * 40_000);
  assert.deepEqual(shown, [[39, "last"]]);
  frame("open", 2_000_000);
  pairs.close();
  assert.ok(closed.includes("open"));
});
