/** JSON lines as they come. */

/** Longest line that is read, in characters. */
export const MOST = 64 << 20;

/**
 * The value of each line.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<any>}
 */
export async function* jsonLines(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  /** @type {string[]} the pieces of a line that has not ended */
  let pieces = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const parts = decoder.decode(value, { stream: !done }).split("\n");
      for (const [index, part] of parts.entries()) {
        pieces.push(part);
        length += part.length;
        if (length > MOST) throw new Error(`a line of more than ${MOST} characters`);
        if (index === parts.length - 1 && !done) break;
        const line = pieces.join("");
        [pieces, length] = [[], 0];
        if (line.trim()) yield JSON.parse(line);
      }
      if (done) return;
    }
  } finally {
    // Whoever stops reading wants no more: the server hears of it.
    reader.cancel().catch(() => {});
  }
}
