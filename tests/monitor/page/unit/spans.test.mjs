import assert from "node:assert/strict";
import { test } from "node:test";

import { cut, idFor, overlap, parseSentence } from "../../../../src/monitor/page/spans.js";

test("brackets become targets", () => {
  for (const [source, text, targets] of [
    ["[a person] without a helmet", "a person without a helmet", [[0, 8]]],
    ["a [cube] on [a ball]", "a cube on a ball", [[2, 6], [10, 16]]],
    ["no target", "no target", []],
    ["[a][b]", "ab", [[0, 1], [1, 2]]],
    ["die größte [Tasse ☕] 左の [赤い玉]", "die größte Tasse ☕ 左の 赤い玉", [[11, 18], [22, 25]]],
    ["a sign saying [[exit]]", "a sign saying [exit]", []],
    ["[a key labelled [[A]]]", "a key labelled [A]", [[0, 18]]],
    [" [ a cube ] ", "a cube", [[0, 6]]],
  ]) {
    assert.deepEqual(parseSentence(source), { text, targets, fault: null }, source);
  }
});

test("faults of brackets are named", () => {
  for (const [source, fault] of [
    ["[a person", "unclosed"],
    ["a person] x", "unopened"],
    ["a [ ] b", "empty"],
    ["a [] b", "empty"],
    ["a [b [c] d", "nested"],
  ]) {
    assert.equal(parseSentence(source).fault, fault, source);
  }
});

test("a text is cut where spans begin and end, in code points", () => {
  const text = "👍🏽 a red ☕";
  const pieces = cut(text, [[3, 8], [5, 10]]);
  assert.deepEqual(pieces.map((piece) => [piece.text, piece.marks]), [
    ["👍🏽 ", []],
    ["a ", [0]],
    ["red", [0, 1]],
    [" ☕", [1]],
  ]);
  assert.equal(pieces.map((piece) => piece.text).join(""), text);
});

test("spans out of the text are cut", () => {
  assert.deepEqual(cut("ab", [[-3, 1], [1, 99], [7, 9]]).map((piece) => piece.text), ["a", "b"]);
  assert.deepEqual(cut("", [[0, 1]]), []);
  assert.deepEqual(cut("ab", []).map((piece) => piece.marks), [[]]);
});

test("spans overlap if they share a code point", () => {
  assert.equal(overlap([0, 2], [2, 3]), false);
  assert.equal(overlap([0, 3], [2, 3]), true);
});

test("ids are short, plain and free", () => {
  assert.equal(idFor("[a person] without a helmet", []), "person");
  assert.equal(idFor("all cones", ["cones", "cones-2"]), "cones-3");
  assert.equal(idFor("die größte Tasse", []), "die-gro-te-tasse");
  assert.equal(idFor("赤い玉", []), "query");
  assert.equal(idFor("赤い玉", ["query"]), "query-2");
});
