// The labels of the user shift what the model predicts for music that sounds alike: a regularised
// logistic regression on the embeddings, with the log-probabilities of the model as its start.

/** @import { Result } from "../actions/api.js" */
/** @import { Embeddings } from "./embeddings.js" */

import { norm } from "./embeddings.js";
import { largest } from "./rows.js";

const STRENGTH = 6; // of a label, in log-probabilities
const POWER = 4; // of the cosine similarity: music has to be much alike
const LEAST = 0.01; // a smaller change of a probability is none
const MOST = 200; // labels that count, those given last, so that the page stays quick
const SMALLEST = 1e-6; // probability
const EXACT = 1e-6;
const SWEEPS = 200;

/**
 * A label: the mean direction of its seconds, its quadrant from 0 to 3, the time when it was given,
 * and the mean probabilities that the model gives to the quadrants there.
 * @typedef {{direction: Float64Array, quadrant: number, given: number, model: number[]}} Label
 */

export class Adjustment {
  #labels;
  #width;
  /** What each label adds to the log-probabilities where the music is the same. */
  #shifts;

  /** @param {Label[]} labels of embeddings of the same width */
  constructor(labels) {
    this.#labels = [...labels].sort((a, b) => a.given - b.given).slice(-MOST);
    this.#width = labels[0]?.direction.length ?? 0;
    this.#shifts = fit(this.#labels);
  }

  get count() {
    return this.#labels.length;
  }

  /**
   * What is added to the log-probabilities of a second.
   * @param {Embeddings} embeddings
   * @param {number} second
   */
  shift(embeddings, second) {
    const sum = [0, 0, 0, 0];
    const values = embeddings.at(second);
    const length = norm(values);
    if (!length || values.length !== this.#width) return sum;
    /** @type {number[]} */
    const present = []; // most values are 0
    for (let i = 0; i < values.length; i += 1) if (values[i]) present.push(i);
    this.#labels.forEach(({ direction }, label) => {
      let product = 0;
      for (const i of present) product += values[i] * direction[i];
      const share = likeness(product / length);
      for (let c = 0; c < 4; c += 1) sum[c] += share * this.#shifts[label][c];
    });
    return sum;
  }

  /**
   * A result with shifted rows and the means that follow from them; null where nothing changes.
   * Silent seconds, and those that hardly change, keep the values of the model.
   * @param {Result} result
   * @param {Embeddings} embeddings
   * @returns {Result|null}
   */
  apply(result, embeddings) {
    const seconds = result.quadrant.rows.map((row, k) => {
      if (result.silent[k] || k >= embeddings.length) return null;
      const shifted = shiftedBy(row, this.shift(embeddings, k));
      return shifted.some((value, c) => Math.abs(value - row[c]) >= LEAST) ? shifted : null;
    });
    return seconds.some(Boolean) ? replaced(result, seconds, this.count) : null;
  }
}

/** How much of a shift reaches other music: from 0 to 1. @param {number} cosine */
const likeness = (cosine) => Math.max(0, cosine) ** POWER;

/**
 * The shifts of all labels together, so that labels of the same music share their effect. Each is
 * STRENGTH times the difference between the label and what is predicted there after all shifts.
 * @param {Label[]} labels
 */
function fit(labels) {
  const alike = labels.map(({ direction: one }) =>
    labels.map(({ direction: other }) =>
      likeness(one.reduce((sum, value, i) => sum + value * other[i], 0)),
    ),
  );
  const shifts = labels.map(() => [0, 0, 0, 0]);
  const shifted = labels.map(({ model }) => model.map(log)); // with the shifts so far
  for (let sweep = 0, change = 1; change > EXACT && sweep < SWEEPS; sweep += 1) {
    change = 0;
    for (let i = 0; i < labels.length; i += 1) {
      const others = shifted[i].map((value, c) => value - shifts[i][c]);
      const found = alone(others, labels[i].quadrant, shifts[i]);
      for (let c = 0; c < 4; c += 1) {
        const more = found[c] - shifts[i][c];
        change = Math.max(change, Math.abs(more));
        for (let j = 0; j < labels.length; j += 1) shifted[j][c] += alike[i][j] * more;
      }
      shifts[i] = found;
    }
  }
  return shifts;
}

/**
 * The shift of one label, where `start` are the log-probabilities without it.
 * @param {number[]} start
 * @param {number} quadrant
 * @param {number[]} guess
 */
function alone(start, quadrant, guess) {
  let shift = guess;
  for (let step = 0, change = 1; change > EXACT && step < SWEEPS; step += 1) {
    const predicted = softmax(start.map((value, c) => value + shift[c]));
    // Half a step of the strength at most, with which it converges.
    const next = shift.map((value, c) => {
      const due = STRENGTH * (Number(c === quadrant) - predicted[c]);
      return value + (due - value) / (1 + STRENGTH / 2);
    });
    change = Math.max(...next.map((value, c) => Math.abs(value - shift[c])));
    shift = next;
  }
  return shift;
}

/**
 * @param {Result} result
 * @param {(number[]|null)[]} seconds new probabilities of the quadrants, null for those of before
 * @param {number} labels
 * @returns {Result}
 */
function replaced(result, seconds, labels) {
  const { min_margin_second, min_margin_clip } = result.model;
  const quadrant = result.quadrant.rows.map((row, k) => seconds[k] ?? row);
  /** The odds of an axis change as those of its two quadrants do. */
  /** @param {"arousal"|"valence"} name @param {[number, number]} positive quadrants */
  const axis = (name, [one, other]) =>
    result[name].rows.map((row, k) => {
      const now = seconds[k];
      if (!now) return row;
      const before = result.quadrant.rows[k];
      const odds = logit(now[one] + now[other]) - logit(before[one] + before[other]);
      const value = round(1 / (1 + Math.exp(-logit(row[1]) - odds)));
      return [round(1 - value), value];
    });
  const arousal = axis("arousal", [0, 1]);
  const valence = axis("valence", [0, 3]);
  const sounding = [...result.silent.keys()].filter((k) => !result.silent[k]);
  /** @param {number[][]} rows @param {string[]} names */
  const means = (rows, names) =>
    Object.fromEntries(
      names.map((name, c) => [
        name,
        round(sounding.reduce((sum, k) => sum + rows[k][c], 0) / sounding.length),
      ]),
    );
  const { classes } = result.quadrant;
  const mean = means(quadrant, classes);
  const values = classes.map((name) => mean[name]);
  return {
    ...result,
    winner: classes[largest(values)],
    confidence: Math.max(...values),
    uncertain: margin(values) < min_margin_clip,
    means: {
      quadrant: mean,
      arousal: means(arousal, result.arousal.classes),
      valence: means(valence, result.valence.classes),
    },
    uncertain_seconds: quadrant.map((row, k) =>
      seconds[k] ? margin(row) < min_margin_second : result.uncertain_seconds[k],
    ),
    quadrant: { classes, rows: quadrant },
    arousal: { ...result.arousal, rows: arousal },
    valence: { ...result.valence, rows: valence },
    adjusted: { labels, seconds: seconds.map(Boolean) },
  };
}

/** @param {number[]} row @param {number[]} shift */
const shiftedBy = (row, shift) => softmax(row.map((value, c) => log(value) + shift[c])).map(round);

/** @param {number[]} values */
function softmax(values) {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** @param {number} probability */
const log = (probability) => Math.log(Math.max(probability, SMALLEST));

/** @param {number} probability */
const logit = (probability) => log(probability) - log(1 - probability);

/** The most probable minus the next. @param {number[]} row */
function margin(row) {
  const [first, second] = [...row].sort((a, b) => b - a);
  return first - second;
}

/** As in the documents of the server. @param {number} value */
const round = (value) => Math.round(1e6 * value) / 1e6;
