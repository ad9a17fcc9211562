// The part of a song that the timeline shows.

const CLOSEST = 5; // seconds

export class Viewport {
  from = 0;
  #span = Infinity;
  total = 1;

  /** Seconds that are shown. */
  get span() {
    return Math.min(this.#span, this.total);
  }

  get to() {
    return this.from + this.span;
  }

  get whole() {
    return this.span >= this.total;
  }

  /** Take the length of another or a growing song. @param {number} seconds */
  resize(seconds) {
    this.total = seconds;
    this.#clamp();
  }

  /** Show everything, as a song grows too. */
  fit() {
    this.#span = Infinity;
    this.from = 0;
  }

  /**
   * Show less (factor below 1) or more, with the second `at` staying in its place.
   * @param {number} factor
   * @param {number} at
   */
  zoom(factor, at) {
    const share = (at - this.from) / this.span;
    const span = Math.max(Math.min(CLOSEST, this.total), this.span * factor);
    if (span >= this.total) return this.fit();
    this.#span = span;
    this.from = at - share * span;
    this.#clamp();
  }

  /** Show from one second to another. @param {number} from @param {number} to */
  show(from, to) {
    this.#span = Math.max(CLOSEST, to - from);
    this.from = from;
    this.#clamp();
  }

  /** @param {number} seconds */
  scroll(seconds) {
    this.from += seconds;
    this.#clamp();
  }

  /** Turn the page if a second is out of sight. @param {number} second */
  follow(second) {
    if (this.whole || (second >= this.from && second < this.to)) return;
    this.from = second - this.span * 0.05;
    this.#clamp();
  }

  #clamp() {
    this.from = Math.max(0, Math.min(this.from, this.total - this.span));
  }
}
