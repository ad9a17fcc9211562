// The outline of a sound: the lowest and highest sample of all channels in each part of a second.

/**
 * Peaks, as the server sends them.
 * @typedef {object} PeakBlock
 * @property {number} per_second
 * @property {number} from index of the first pair
 * @property {string} data base64 of signed bytes: lowest, highest, lowest, highest, …
 */

const FULL = 127; // full scale of a signed byte

export class Peaks {
  #pairs = new Int8Array(0);
  #count = 0;
  #loudest = 0;
  #measured = 0; // bytes of `#pairs`, in `#loudest`

  /**
   * @param {number} perSecond
   * @param {Int8Array<ArrayBuffer>} pairs
   */
  constructor(perSecond = 50, pairs = new Int8Array(0)) {
    this.perSecond = perSecond;
    this.#pairs = pairs;
    this.#count = pairs.length;
  }

  get pairs() {
    return this.#pairs.subarray(0, this.#count);
  }

  get seconds() {
    return this.#count / 2 / this.perSecond;
  }

  /** @param {PeakBlock} block */
  put({ per_second, from, data }) {
    this.perSecond = per_second;
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const end = 2 * from + bytes.length;
    if (end > this.#pairs.length) {
      const larger = new Int8Array(Math.max(end, 2 * this.#pairs.length));
      larger.set(this.#pairs);
      this.#pairs = larger;
    }
    this.#pairs.set(new Int8Array(bytes.buffer), 2 * from);
    this.#count = Math.max(this.#count, end);
    this.#measured = Math.min(this.#measured, 2 * from);
  }

  /**
   * The lowest and highest sample between two times in seconds, -1 to 1; null beyond the end.
   * @param {number} from
   * @param {number} to
   * @returns {[number, number]|null}
   */
  between(from, to) {
    const first = Math.floor(from * this.perSecond);
    const last = Math.min(Math.max(first + 1, Math.ceil(to * this.perSecond)), this.#count / 2);
    if (first >= last) return null;
    let [low, high] = [FULL, -FULL];
    for (let i = first; i < last; i += 1) {
      low = Math.min(low, this.#pairs[2 * i]);
      high = Math.max(high, this.#pairs[2 * i + 1]);
    }
    return [low / FULL, high / FULL];
  }

  /** The largest distance from zero, 0 to 1. */
  get loudest() {
    for (; this.#measured < this.#count; this.#measured += 1) {
      this.#loudest = Math.max(this.#loudest, Math.abs(this.#pairs[this.#measured]));
    }
    return this.#loudest / FULL;
  }
}
