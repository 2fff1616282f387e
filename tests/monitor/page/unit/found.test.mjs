import assert from "node:assert/strict";
import { test } from "node:test";

import { Found, curveOf, eventsAbout, levelOf, ranked, stretches } from "../../../../src/monitor/page/found.js";

const at = (second) => new Date(Date.UTC(2026, 0, 5, 10, 0, second)).toISOString();
const hit = (camera, second, score, until = second) => ({ camera, time: at(second), until: at(until), score, detections: [] });
const point = (camera, second, text, until = second) => ({
  camera,
  time: at(second),
  until: at(until),
  answer: text === null ? null : { text, score: 0.9 },
});

test("hits are ranked, and the best of those that are close stays", () => {
  const offers = [hit("a", 100, 0.5), hit("a", 130, 0.4), hit("b", 130, 0.6), hit("a", 140, 0.9), hit("a", 300, 0.7)];
  const hits = offers.reduce((known, one) => ranked(known, one, 3), []);
  assert.deepEqual(hits.map(({ camera, score }) => [camera, score]), [["a", 0.9], ["a", 0.7], ["b", 0.6]]);
  // A scene that stood still for long is close to what comes at its end.
  const still = ranked(hits, hit("a", 310, 0.95, 900), 3);
  assert.deepEqual(still.map(({ score }) => score), [0.95, 0.9, 0.6]);
  assert.equal(ranked(still, hit("a", 930, 0.8), 3), still);
  // No more than are wanted.
  assert.deepEqual(ranked(still, hit("c", 0, 0.7), 3).map(({ score }) => score), [0.95, 0.9, 0.7]);
  assert.equal(ranked(still, hit("c", 0, 0.1), 3).length, 3);
});

test("hits are in order and apart, whatever comes", () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  for (let round = 0; round < 50; round += 1) {
    const offers = Array.from({ length: 30 }, () => hit("ab"[random(2)], random(900), random(100) / 100));
    const hits = offers.reduce((known, one) => ranked(known, one, 8), []);
    assert.equal(hits[0].score, Math.max(...offers.map(({ score }) => score)));
    hits.forEach((one, index) => {
      for (const other of hits.slice(index + 1)) {
        assert.ok(one.score >= other.score);
        assert.ok(one.camera !== other.camera || Math.abs(Date.parse(one.time) - Date.parse(other.time)) >= 60_000);
      }
    });
  }
});

test("the outcome takes the place of what was told before", () => {
  const found = new Found(20);
  for (const line of [{ hit: hit("a", 1, 0.5) }, { progress: { asked: 3, of: 9 } }, { unknown: 1 }, null]) found.take(line);
  assert.deepEqual([found.hits.length, found.asked, found.of, found.over], [1, 3, 9, false]);
  const hits = [hit("b", 2, 0.8)];
  found.take({ outcome: { mode: "best", asked: 9, frames: 9, hits, curve: [], moments: [] } });
  assert.deepEqual([found.hits, found.asked, found.over], [hits, 9, true]);
  const failed = new Found(20);
  failed.take({ error: "no frame can be asked" });
  assert.deepEqual([failed.error, failed.over], ["no frame can be asked", true]);
});

test("answers are put in order, and the same in a row are one", () => {
  const found = stretches([point("b", 5, "2"), point("a", 9, "1"), point("a", 1, "1", 2), point("a", 4, null), point("a", 12, "1", 20)]);
  assert.deepEqual([...found.keys()], ["a", "b"]);
  assert.deepEqual(found.get("a").map(({ from, to, text }) => [from, to, text]), [
    [Date.parse(at(1)), Date.parse(at(2)), "1"],
    [Date.parse(at(4)), Date.parse(at(4)), null],
    [Date.parse(at(9)), Date.parse(at(20)), "1"],
  ]);
});

test("numbers are as high as they are, words one above the other", () => {
  const curve = (...texts) => curveOf(texts.map((text, index) => ({ from: index, to: index, text })));
  const numbers = curve("10", "2", null);
  assert.deepEqual([numbers.numeric, numbers.low, numbers.high, numbers.levels], [true, 0, 10, ["2", "10"]]);
  assert.equal(levelOf(numbers, "2"), 0.2);
  const words = curve("yes", "no", "10");
  assert.deepEqual([words.numeric, words.levels], [false, ["10", "no", "yes"]]);
  assert.equal(levelOf(words, "no"), 0.5);
  // One value alone, or none, divides by nothing.
  assert.equal(levelOf(curve("0"), "0"), 0);
  assert.equal(levelOf(curve("yes"), "yes"), 0);
  assert.deepEqual(curve(null).levels, []);
});

test("moments of all cameras are told in order", () => {
  const found = new Found(1);
  const moments = [30, 10, 20].map((second, index) => ({ camera: `${index}`, appears: true, time: at(second), after: at(0), shown: null }));
  found.take({ outcome: { mode: "moments", frames: 9, asked: 9, hits: [], curve: [], moments } });
  assert.deepEqual(found.outcome.moments.map(({ camera }) => camera), ["1", "2", "0"]);
});

test("events are looked for a minute around", () => {
  const link = eventsAbout("gate & yard", at(30), at(40));
  const asked = new URLSearchParams(link.split("?")[1]);
  assert.deepEqual([asked.get("camera"), asked.get("from"), asked.get("to")], ["gate & yard", at(-30), at(100)]);
});
