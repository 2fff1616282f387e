import assert from "node:assert/strict";
import { test } from "node:test";

import { canonical, conditionsOf, freeName, isName, usersOf } from "../../../../src/monitor/page/document.js";

const SERVED = {
  id: "a",
  severity: "alert",
  when: { is: "present", query: "q", anchor: "bottom-center" },
  for: "PT2S",
  frames: 2,
  clear: "PT1S",
};

test("a rule that says the same is the same", () => {
  assert.equal(canonical(SERVED), canonical({ when: { query: "q", is: "present" }, id: "a", for: "2s", enabled: true }));
  assert.equal(canonical({ ...SERVED, every: "PT0S" }), canonical(SERVED));
});

test("a rule that says something else is another one", () => {
  for (const change of [{ for: "PT3S" }, { enabled: false }, { frames: 3 }, { clear: "PT0S" }, { severity: "detection" }]) {
    assert.notEqual(canonical({ ...SERVED, ...change }), canonical(SERVED), JSON.stringify(change));
  }
  assert.notEqual(canonical({ ...SERVED, when: { ...SERVED.when, anchor: "any" } }), canonical(SERVED));
});

test("conditions in conditions are found", () => {
  const when = {
    is: "all",
    of: [{ is: "not", of: { is: "present", query: "a", zone: "z" } }, { is: "crosses", query: "b", line: "l" }],
  };
  assert.deepEqual(conditionsOf(when).map(({ is }) => is), ["all", "not", "present", "crosses"]);
  const rules = [{ id: "one", when }, { id: "two", when: { is: "present", query: "b" } }];
  assert.deepEqual(usersOf(rules, "query", "b"), ["one", "two"]);
  assert.deepEqual(usersOf(rules, "zone", "z"), ["one"]);
  assert.deepEqual(usersOf(rules, "line", "z"), []);
});

test("names", () => {
  assert.equal(freeName("zone", [{ id: "zone" }, { id: "zone-2" }]), "zone-3");
  for (const [name, good] of [["a-b_1", true], ["", false], ["a b", false], ["ä", false], ["a".repeat(65), false]]) {
    assert.equal(isName(name), good, name);
  }
});
