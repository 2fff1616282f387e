/** Points, boxes and pictures on a screen. Points are [x, y]; relative ones are from 0 to 1 of the picture. */

/** @typedef {[number, number]} Point */
/** @typedef {[number, number, number, number]} Box x, y, width, height */

/**
 * Where a picture of `width` x `height` lies in a room of `roomWidth` x `roomHeight` if it is to be seen whole.
 * @returns {{x: number, y: number, scale: number, width: number, height: number}}
 */
export function fit(/** @type {number} */ width, /** @type {number} */ height, /** @type {number} */ roomWidth, /** @type {number} */ roomHeight) {
  const scale = Math.min(roomWidth / width, roomHeight / height);
  const [w, h] = [width * scale, height * scale];
  return { x: (roomWidth - w) / 2, y: (roomHeight - h) / 2, scale, width: w, height: h };
}

/** @param {number} value */
export function clamp01(value) {
  return Math.min(1, Math.max(0, value));
}

/**
 * A relative coordinate with as many digits as a picture has pixels.
 * @param {number} value
 */
export function rounded(value) {
  return Math.round(clamp01(value) * 1e4) / 1e4;
}

/**
 * The point of the segment from `a` to `b` that is nearest to `p`, and its distance.
 * @param {Point} p
 * @param {Point} a
 * @param {Point} b
 * @returns {{point: Point, distance: number}}
 */
export function nearest(p, a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  const t = length > 0 ? clamp01(((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length) : 0;
  /** @type {Point} */
  const point = [a[0] + t * dx, a[1] + t * dy];
  return { point, distance: Math.hypot(p[0] - point[0], p[1] - point[1]) };
}

/**
 * Index of the edge of the polygon that is nearest to `p`: edge i goes from corner i to the next.
 * @param {Point} p
 * @param {Point[]} corners
 */
export function nearestEdge(p, corners) {
  let best = 0;
  let least = Infinity;
  corners.forEach((corner, i) => {
    const { distance } = nearest(p, corner, corners[(i + 1) % corners.length]);
    if (distance < least) [best, least] = [i, distance];
  });
  return best;
}

/**
 * Whether `p` is in the polygon (even-odd).
 * @param {Point} p
 * @param {Point[]} corners
 */
export function inside([x, y], corners) {
  let within = false;
  corners.forEach(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % corners.length];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  });
  return within;
}

/**
 * Whether two edges of the polygon that are no neighbours cross.
 * @param {Point[]} corners
 */
export function crossesItself(corners) {
  const n = corners.length;
  const side = (/** @type {Point} */ a, /** @type {Point} */ b, /** @type {Point} */ c) =>
    Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
  for (let i = 0; i < n; i += 1) {
    for (let k = i + 2; k < n; k += 1) {
      if (i === 0 && k === n - 1) continue;
      const [a, b, c, d] = [corners[i], corners[i + 1], corners[k], corners[(k + 1) % n]];
      if (side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b)) return true;
    }
  }
  return false;
}

/**
 * The arrow that shows which way is forward across a line: from its middle to the right of its direction, as the eye
 * sees it on a picture of this shape. Forward is from the left side to the right side, looking from `from` to `to`.
 * @param {Point} from on the screen, in pixels
 * @param {Point} to
 * @param {number} length
 * @returns {{tail: Point, head: Point}}
 */
export function forwardArrow(from, to, length) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const norm = Math.hypot(dx, dy) || 1;
  // y grows downwards: the right side of (dx, dy) is (-dy, dx).
  const [rx, ry] = [-dy / norm, dx / norm];
  const [mx, my] = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
  return {
    tail: [mx - (rx * length) / 2, my - (ry * length) / 2],
    head: [mx + (rx * length) / 2, my + (ry * length) / 2],
  };
}

/**
 * The smallest of the boxes that has the point in it, by index; -1 if none has.
 * @param {Point} p
 * @param {Box[]} boxes
 */
export function boxAt([px, py], boxes) {
  let best = -1;
  let least = Infinity;
  boxes.forEach(([x, y, width, height], index) => {
    const within = px >= x && px <= x + width && py >= y && py <= y + height;
    if (within && width * height < least) [best, least] = [index, width * height];
  });
  return best;
}
