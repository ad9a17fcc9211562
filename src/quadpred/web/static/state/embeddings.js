// The embedding of each second: a direction, which music that sounds alike has in common.

/**
 * Embeddings of consecutive seconds, as the server sends them with their rows.
 * @typedef {object} EmbeddingBlock
 * @property {number} width values of one embedding
 * @property {string} data base64 of signed bytes
 */

export class Embeddings {
  #bytes = new Int8Array(0);

  /**
   * @param {number} width
   * @param {Int8Array<ArrayBuffer>} bytes
   */
  constructor(width = 0, bytes = new Int8Array(0)) {
    this.width = width;
    this.#bytes = bytes;
  }

  /** How many seconds there are. */
  get length() {
    return this.width ? this.#bytes.length / this.width : 0;
  }

  get bytes() {
    return this.#bytes;
  }

  /**
   * Take a block; what is there already from its first second on is replaced.
   * @param {number} from second
   * @param {EmbeddingBlock} block
   */
  put(from, { width, data }) {
    const added = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const larger = new Int8Array(from * width + added.length);
    larger.set(this.#bytes.subarray(0, from * width));
    larger.set(new Int8Array(added.buffer), from * width);
    this.#bytes = larger;
    this.width = width;
  }

  /** The values of a second. @param {number} second */
  at(second) {
    return this.#bytes.subarray(second * this.width, (second + 1) * this.width);
  }

  /**
   * The mean direction of some seconds, of length 1; of length 0 where there is none.
   * @param {number[]} seconds
   */
  direction(seconds) {
    const sum = new Float64Array(this.width);
    for (const second of seconds) {
      const values = this.at(second);
      const length = norm(values) || 1;
      for (let i = 0; i < sum.length; i += 1) sum[i] += values[i] / length;
    }
    const length = norm(sum) || 1;
    return sum.map((value) => value / length);
  }
}

/** @param {Int8Array|Float64Array} values */
export function norm(values) {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}
