import assert from "node:assert/strict";
import { test } from "node:test";

import { forField, parseDuration, spoken, toIso } from "../../../../src/monitor/page/duration.js";

test("durations of the configuration and of people", () => {
  for (const [text, seconds] of [
    ["PT2S", 2],
    ["PT1M30S", 90],
    ["PT0.5S", 0.5],
    ["PT0S", 0],
    ["P1DT1H", 90000],
    ["2s", 2],
    ["1m 30s", 90],
    ["1 h", 3600],
    ["500ms", 0.5],
    ["5 min", 300],
    ["2", 2],
    ["1.5 s", 1.5],
  ]) {
    assert.equal(parseDuration(text), seconds, text);
  }
  for (const text of ["", "soon", "-2s", "2 weeks", "P", "PT", "s", "2s later"]) {
    assert.equal(parseDuration(text), null, text);
  }
});

test("what is written is read again", () => {
  for (const seconds of [0, 0.25, 1, 59.5, 60, 90, 3600, 5400.125, 90000]) {
    assert.equal(parseDuration(toIso(seconds)), seconds);
    assert.equal(parseDuration(forField(toIso(seconds))), seconds);
  }
});

test("people read the two largest units", () => {
  assert.equal(spoken(0), "0 s");
  assert.equal(spoken(2.54), "2.5 s");
  assert.equal(spoken(42.4), "42 s");
  assert.equal(spoken(90), "1 min 30 s");
  assert.equal(spoken(3600), "1 h");
  assert.equal(spoken(90061), "1 d 1 h");
});
