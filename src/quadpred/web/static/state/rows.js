// What a model predicts for a song: one row per second, in the order in which rows arrive.

/**
 * A block of rows, as the server sends it.
 * @typedef {object} Block
 * @property {number} from second of the first row
 * @property {number[][]} quadrant probabilities of Q1 to Q4
 * @property {number[][]} arousal probabilities of negative and positive
 * @property {number[][]} valence probabilities of negative and positive
 * @property {boolean[]} silent
 * @property {boolean[]} uncertain_seconds
 */

/**
 * Means of several rows.
 * @typedef {object} Means
 * @property {number[]} quadrant
 * @property {number} arousal probability of positive arousal
 * @property {number} valence probability of positive valence
 */

/**
 * One or several seconds, drawn as one.
 * @typedef {Means & {from: number, to: number, winner: number, silent: boolean, uncertain: boolean, adjusted: boolean}} Column
 */

/**
 * A song as a whole. `winner` is null where every second is silent.
 * @typedef {Means & {winner: number|null, confidence: number, uncertain: boolean}} Summary
 */

/** @typedef {import("../actions/api.js").Result} Result */

export class Rows {
  /** @type {number[][]} */ quadrant = [];
  /** @type {number[][]} */ arousal = [];
  /** @type {number[][]} */ valence = [];
  /** @type {boolean[]} */ silent = [];
  /** @type {boolean[]} */ uncertain = [];
  /** Whether the labels of the user have changed a second. @type {boolean[]} */ adjusted = [];

  get length() {
    return this.quadrant.length;
  }

  /**
   * Take a block; rows that are there already are replaced.
   * @param {Block} block
   * @returns {boolean} false, and nothing is taken, if rows before it are missing
   */
  put({ from, quadrant, arousal, valence, silent, uncertain_seconds }) {
    if (from > this.length) return false;
    this.quadrant.splice(from, quadrant.length, ...quadrant);
    this.arousal.splice(from, arousal.length, ...arousal);
    this.valence.splice(from, valence.length, ...valence);
    this.silent.splice(from, silent.length, ...silent);
    this.uncertain.splice(from, uncertain_seconds.length, ...uncertain_seconds);
    return true;
  }

  /**
   * The most probable quadrant of a second, 0 to 3.
   * @param {number} k
   */
  winner(k) {
    return largest(this.quadrant[k]);
  }

  /**
   * Rows from second `from` to `to` in columns of `step` seconds. Columns begin at multiples of
   * `step`, so that they stay the same while a person scrolls. A column is silent if all of its
   * seconds are, uncertain if more than half of the others are, and adjusted if any second is.
   * @param {number} step
   * @param {number} from
   * @param {number} to
   * @returns {Column[]}
   */
  columns(step, from = 0, to = this.length) {
    const made = [];
    const end = Math.min(to, this.length);
    for (let first = Math.floor(from / step) * step; first < end; first += step) {
      const seconds = range(first, Math.min(first + step, this.length));
      const sounding = seconds.filter((k) => !this.silent[k]);
      const uncertain = sounding.filter((k) => this.uncertain[k]);
      const means = this.means(sounding.length ? sounding : seconds);
      made.push({
        from: first,
        to: first + seconds.length,
        ...means,
        winner: largest(means.quadrant),
        silent: !sounding.length,
        uncertain: uncertain.length * 2 > sounding.length,
        adjusted: seconds.some((k) => this.adjusted[k]),
      });
    }
    return made;
  }

  /**
   * The means of some seconds, of which there must be one.
   * @param {number[]} seconds
   * @returns {Means}
   */
  means(seconds) {
    /** @param {(k: number) => number} value */
    const mean = (value) => seconds.reduce((sum, k) => sum + value(k), 0) / seconds.length;
    return {
      quadrant: [0, 1, 2, 3].map((c) => mean((k) => this.quadrant[k][c])),
      arousal: mean((k) => this.arousal[k][1]),
      valence: mean((k) => this.valence[k][1]),
    };
  }

  /**
   * The song as far as its rows are there; null without a row.
   * @returns {Summary|null}
   */
  summary() {
    if (!this.length) return null;
    const all = range(0, this.length);
    const sounding = all.filter((k) => !this.silent[k]);
    const means = this.means(sounding.length ? sounding : all);
    return summaryOf(means, !sounding.length, false);
  }
}

/**
 * Rows of a finished prediction.
 * @param {Result} result
 */
export function rowsOf(result) {
  const rows = new Rows();
  rows.put({
    from: 0,
    quadrant: result.quadrant.rows,
    arousal: result.arousal.rows,
    valence: result.valence.rows,
    silent: result.silent,
    uncertain_seconds: result.uncertain_seconds,
  });
  rows.adjusted = result.adjusted?.seconds ?? [];
  return rows;
}

/**
 * The song as a whole, as the server sums it up.
 * @param {Result} result
 */
export function summaryOfResult(result) {
  const { quadrant, arousal, valence } = result.means;
  const means = {
    quadrant: ["Q1", "Q2", "Q3", "Q4"].map((name) => quadrant[name]),
    arousal: arousal.positive,
    valence: valence.positive,
  };
  return summaryOf(means, result.silent.every(Boolean), result.uncertain);
}

/**
 * @param {Means} means
 * @param {boolean} silent
 * @param {boolean} uncertain
 * @returns {Summary}
 */
function summaryOf(means, silent, uncertain) {
  const winner = largest(means.quadrant);
  return {
    ...means,
    winner: silent ? null : winner,
    confidence: means.quadrant[winner],
    uncertain,
  };
}

/**
 * The quadrant in which a point of the plane lies, 0 to 3.
 * @param {Means} means
 */
export const quadrantAt = ({ arousal, valence }) =>
  arousal >= 0.5 ? Number(valence < 0.5) : 2 + Number(valence >= 0.5);

/**
 * The clearest moment of each quadrant: the second that is not uncertain and has this quadrant, with
 * the highest mean over the seconds around it. Quadrants without such a second have none.
 * @param {Rows} rows
 */
export function clearestMoments(rows) {
  const around = 2; // seconds before and after
  /** @type {{second: number, quadrant: number, mean: number}[]} */
  const best = [];
  for (let k = 0; k < rows.length; k += 1) {
    if (rows.silent[k] || rows.uncertain[k]) continue;
    const c = rows.winner(k);
    const near = range(Math.max(0, k - around), Math.min(rows.length, k + around + 1));
    const mean = rows.means(near).quadrant[c];
    if (!best[c] || mean > best[c].mean) best[c] = { second: k, quadrant: c, mean };
  }
  return best.filter(Boolean).sort((a, b) => a.second - b.second);
}

/** @param {number[]} row */
export const largest = (row) => row.indexOf(Math.max(...row));

/**
 * @param {number} from
 * @param {number} to
 */
const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, k) => from + k);
