import assert from "node:assert/strict";
import { test } from "node:test";

import * as g from "../../../../src/monitor/page/geometry.js";

test("a picture is seen whole, in the middle", () => {
  assert.deepEqual(g.fit(640, 480, 1000, 480), { x: 180, y: 0, scale: 1, width: 640, height: 480 });
  assert.deepEqual(g.fit(100, 100, 50, 80), { x: 0, y: 15, scale: 0.5, width: 50, height: 50 });
});

test("the nearest point of a segment is on it", () => {
  assert.deepEqual(g.nearest([5, 5], [0, 0], [10, 0]), { point: [5, 0], distance: 5 });
  assert.deepEqual(g.nearest([-3, 4], [0, 0], [10, 0]), { point: [0, 0], distance: 5 });
  assert.deepEqual(g.nearest([3, 4], [0, 0], [0, 0]), { point: [0, 0], distance: 5 });
});

test("the nearest edge may be the last", () => {
  const square = [[0, 0], [1, 0], [1, 1], [0, 1]];
  assert.equal(g.nearestEdge([0.5, 0.1], square), 0);
  assert.equal(g.nearestEdge([0.9, 0.5], square), 1);
  assert.equal(g.nearestEdge([0.1, 0.5], square), 3);
});

test("inside and outside of a polygon with a notch", () => {
  const notch = [[0, 0], [1, 0], [1, 1], [0.5, 0.2], [0, 1]];
  assert.equal(g.inside([0.1, 0.1], notch), true);
  assert.equal(g.inside([0.5, 0.6], notch), false);
  assert.equal(g.inside([1.2, 0.5], notch), false);
});

test("polygons that cross themselves are found", () => {
  assert.equal(g.crossesItself([[0, 0], [1, 0], [1, 1], [0, 1]]), false);
  assert.equal(g.crossesItself([[0, 0], [1, 1], [1, 0], [0, 1]]), true);
  assert.equal(g.crossesItself([[0, 0], [1, 0], [0.5, 1]]), false);
});

test("forward is to the right of the line's direction, as one sees it", () => {
  // Looking to the right of the picture, the right hand is below.
  const { tail, head } = g.forwardArrow([0, 50], [100, 50], 20);
  assert.deepEqual([tail, head], [[50, 40], [50, 60]]);
  // Looking down the picture, the right hand is at its left.
  assert.deepEqual(g.forwardArrow([50, 0], [50, 100], 20).head, [40, 50]);
});

test("of boxes over each other the smallest is meant", () => {
  const boxes = [[0, 0, 100, 100], [10, 10, 20, 20], [200, 0, 5, 5]];
  assert.equal(g.boxAt([15, 15], boxes), 1);
  assert.equal(g.boxAt([50, 50], boxes), 0);
  assert.equal(g.boxAt([150, 150], boxes), -1);
});

test("relative coordinates stay in the picture", () => {
  assert.deepEqual([-0.1, 0.123456, 1.7].map(g.rounded), [0, 0.1235, 1]);
});
