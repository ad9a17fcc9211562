// Songs, and what each model predicts for them. Everything on the page is drawn from these.

/** @import { Difference, Model, Moment, Result, RowsMessage } from "../actions/api.js" */
/** @import { Label } from "./adjustment.js" */
/** @import { Summary } from "./rows.js" */

import { Embeddings } from "./embeddings.js";
import { Peaks } from "./peaks.js";
import { Rows, rowsOf, summaryOfResult } from "./rows.js";

/**
 * What a prediction waits for or has become. `missing`: it was not made, and needs the file.
 * @typedef {"missing"|"waiting"|"sending"|"running"|"live"|"done"|"failed"} Status
 */

/**
 * A quadrant that the user gave; from and to are null for the whole song. `given` is the time, in
 * milliseconds; not in records of earlier versions.
 * @typedef {{from: number|null, to: number|null, quadrant: number, given?: number}} Correction
 */

/** What the user edits of a song. @typedef {{marks: number[], corrections: Correction[]}} Edited */

/**
 * A change of these by the user. It can be repeated: on what another tab has saved, and twice.
 * @typedef {(now: Edited) => Edited} Edit
 */

/** What one model predicts for one song. */
export class Prediction {
  /** @type {Status} */ status = "missing";
  rows = new Rows();
  embeddings = new Embeddings();
  sent = 0; // share of the upload
  /** @type {{seconds: number, duration: number|null}} */ progress = { seconds: 0, duration: null };
  note = ""; // why it waits
  error = "";
  /** What of the file could not be decoded. @type {string} */ damage = "";
  /** @type {Result|null} */ result = null;
  /** Segments and highlights; none of live audio. @type {Moment[]} */ moments = [];
  /** Why the browser may play other seconds than these. @type {Difference[]} */ playback = [];
  made = 0; // when it was finished, in milliseconds
  /** The job of the server. @type {string|null} */ job = null;
  answered = 0; // when the server took the upload, in milliseconds of this page
  /** Ends the upload. @type {(() => void)|null} */ cancel = null;
  /** The prediction of the model, where the labels of the user have changed this one. */
  /** @type {Prediction|null} */ original = null;

  /** @param {Model} model */
  constructor(model) {
    this.model = model;
  }

  /** Whether work goes on or is due. */
  get open() {
    return ["waiting", "sending", "running", "live"].includes(this.status);
  }

  /**
   * The song as a whole, or as far as it is predicted; null where nothing is known.
   * @returns {Summary|null}
   */
  get summary() {
    return this.result ? summaryOfResult(this.result) : this.rows.summary();
  }

  /**
   * Seconds; null where the length is unknown. Before the end it is what the header of the file
   * states or its size suggests, unless there are more rows than that.
   */
  get duration() {
    const { duration } = this.progress;
    const expected = duration !== null && duration > this.rows.length - 1 ? duration : null;
    return this.result?.duration ?? expected;
  }

  /**
   * Take rows and embeddings.
   * @param {RowsMessage} message
   * @returns {boolean} false if rows before them are missing
   */
  take(message) {
    if (!this.rows.put(message)) return false;
    if (message.embeddings) this.embeddings.put(message.from, message.embeddings);
    return true;
  }

  /**
   * This prediction with another result. Its moments are gone: they are of the values before.
   * @param {Result} result
   */
  adjustedTo(result) {
    const made = new Prediction(this.model);
    made.finish(result);
    made.damage = this.damage;
    made.playback = this.playback;
    made.original = this;
    return made;
  }

  /** @param {Result} result @param {Moment[]} moments */
  finish(result, moments = []) {
    this.result = result;
    this.moments = moments;
    this.rows = rowsOf(result);
    this.status = "done";
    this.note = this.error = "";
  }

  /** @param {string} error */
  fail(error) {
    this.error = error;
    this.note = "";
    this.status = "failed";
  }
}

export class Song {
  /** By `modelKey`. @type {Map<string, Prediction>} */ predictions = new Map();
  peaks = new Peaks();
  /** The sound, while the page has it. @type {File|null} */ file = null;
  /** Bytes of the microphone, which are nowhere else. @type {boolean} */ recorded = false;
  /** Ends the microphone. @type {(() => void)|null} */ stop = null;
  position = 0; // seconds
  /** Times in seconds that the user marked. @type {number[]} */ marks = [];
  /** @type {Correction[]} */ corrections = [];
  /** Changes that are not saved yet. @type {Edit[]} */ edits = [];
  #address = "";

  /**
   * @param {string} id
   * @param {string} name
   * @param {string} path below the folder that was chosen
   * @param {string} fingerprint of the content, or empty
   * @param {number} added time in milliseconds
   */
  constructor(id, name, path, fingerprint, added) {
    this.id = id;
    this.name = name;
    this.path = path;
    this.fingerprint = fingerprint;
    this.added = added;
  }

  get live() {
    return this.stop !== null;
  }

  /**
   * Take the result of a prediction, which may be of another file of its model than the page knew.
   * Its `source` is the song: the file may have another name now, and uploads change quotation marks.
   * @param {Prediction} prediction @param {Result} result @param {Moment[]} moments
   */
  finish(prediction, result, moments = []) {
    const { sha256 } = result.model;
    if (sha256 !== prediction.model.sha256) {
      this.predictions.delete(modelKey(prediction.model));
      prediction.model = { ...prediction.model, sha256 };
      this.predictions.set(modelKey(prediction.model), prediction);
    }
    prediction.finish({ ...result, source: this.name }, moments);
    prediction.made = Date.now();
  }

  /** An address at which the browser can play the sound, or empty. */
  get address() {
    if (!this.#address && this.file) this.#address = URL.createObjectURL(this.file);
    return this.#address;
  }

  release() {
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = "";
  }

  /** The whole-song correction, 0 to 3, or null. */
  get corrected() {
    return this.corrections.find(({ from }) => from === null)?.quadrant ?? null;
  }

  /**
   * The label of a second: that of a part that contains it, or else that of the whole song.
   * @param {number} second
   */
  correctionAt(second) {
    const part = this.corrections.findLast(
      ({ from, to }) => from !== null && to !== null && from <= second && second < to,
    );
    return part ?? this.corrections.find(({ from }) => from === null);
  }

  /** The quadrant that the user gave for a second, 0 to 3, or null. @param {number} second */
  correctedAt(second) {
    return this.correctionAt(second)?.quadrant ?? null;
  }

  /**
   * The labels of the user, with the embeddings of a model file for the seconds where they hold.
   * @param {string} key of the model file
   * @returns {Label[]}
   */
  labels(key) {
    const { result, embeddings } = this.predictions.get(key) ?? {};
    if (!result || !embeddings) return [];
    /** @type {Map<Correction, number[]>} */
    const seconds = new Map(this.corrections.map((correction) => [correction, []]));
    for (let k = 0; k < Math.min(embeddings.length, result.silent.length); k += 1) {
      const correction = this.correctionAt(k);
      if (correction && !result.silent[k]) seconds.get(correction)?.push(k);
    }
    return [...seconds]
      .filter(([, covered]) => covered.length)
      .map(([{ quadrant, given = 0 }, covered]) => ({
        quadrant,
        given,
        direction: embeddings.direction(covered),
        model: rowsOf(result).means(covered).quadrant,
      }));
  }

  /** Seconds of the song, once it was read to its end. @returns {number|null} */
  get length() {
    return [...this.predictions.values()].find(({ result }) => result)?.duration ?? null;
  }

  /** Seconds of the song, if a prediction knows or expects them. @returns {number|null} */
  get duration() {
    const all = [...this.predictions.values()];
    return this.length ?? all.find(({ duration }) => duration !== null)?.duration ?? null;
  }

  /** Whole seconds that can be selected: those with a row, once it is known which have one. */
  get seconds() {
    const done = [...this.predictions.values()].find(({ result }) => result);
    return done?.rows.length ?? Math.ceil(this.extent);
  }

  /** Seconds to draw: the duration, or else as far as anything is known. */
  get extent() {
    const rows = [...this.predictions.values()].map((each) => each.rows.length);
    return this.duration ?? Math.max(1, this.peaks.seconds, ...rows);
  }
}

/**
 * Marks and labels after some changes.
 * @param {Edited} before
 * @param {Edit[]} edits
 * @returns {Edited}
 */
export const edited = ({ marks, corrections }, edits) =>
  edits.reduce((now, edit) => edit(now), { marks, corrections });

/**
 * What distinguishes one model file from another, and from an older one of the same name.
 * @param {{name: string, sha256: string}} model
 */
export const modelKey = ({ name, sha256 }) => `${name}@${sha256.slice(0, 16)}`;
