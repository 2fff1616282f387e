/** Masks in COCO's compressed run lengths. */

/**
 * The run lengths of COCO's printable string: alternating runs of zeros and ones, first of zeros.
 * @param {string} text
 * @returns {number[]}
 */
export function decodeCounts(text) {
  const counts = [];
  let at = 0;
  while (at < text.length) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      if (at >= text.length) throw new Error("the run lengths end in the middle of a number");
      const group = text.charCodeAt(at) - 48;
      if (group < 0 || group > 63 || shift > 30) throw new Error(`no run length at character ${at}`);
      at += 1;
      value |= (group & 0x1f) << shift;
      more = (group & 0x20) !== 0;
      shift += 5;
      if (!more && group & 0x10 && shift < 32) value |= -1 << shift;
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    if (value < 0) throw new Error(`a run of ${value} pixels`);
    counts.push(value);
  }
  return counts;
}

/**
 * Calls `run(x, y, length)` for each vertical run of the mask's pixels.
 * @param {{size: [number, number], counts: string}} mask height and width, and run lengths
 * @param {(x: number, y: number, length: number) => void} run
 */
export function eachRun(mask, run) {
  const [height, width] = mask.size;
  const end = height * width;
  let at = 0;
  decodeCounts(mask.counts).forEach((count, index) => {
    let left = Math.min(count, end - at);
    let from = at;
    at += left;
    while (index % 2 === 1 && left > 0) {
      const y = from % height;
      const length = Math.min(left, height - y);
      run((from - y) / height, y, length);
      from += length;
      left -= length;
    }
  });
}
