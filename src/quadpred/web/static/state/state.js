// The state of the page: songs, what the server offers, and what the user has chosen.

/** @import { Model, Head, Limits, Offer } from "../actions/api.js" */

import { Adjustment } from "./adjustment.js";
import { modelKey, Prediction, Song } from "./song.js";
import { Viewport } from "./viewport.js";

/**
 * What the user has chosen, kept between visits. Models by name; `other` may be empty.
 * @typedef {object} Settings
 * @property {string} model
 * @property {string} other
 * @property {"mood"|"name"|"added"|"arousal"|"valence"|"probability"|"length"} sort
 * @property {string} search
 * @property {"all"|"0"|"1"|"2"|"3"|"uncertain"|"corrected"|"open"|"failed"} filter
 * @property {number} volume
 * @property {number} speed
 * @property {boolean} adjusted whether the user's labels change what is shown
 * @property {string} shown id of the song that is shown, or empty
 */

/** @type {Settings} */
const DEFAULTS = {
  model: "",
  other: "",
  sort: "mood",
  search: "",
  filter: "all",
  volume: 1,
  speed: 1,
  adjusted: true,
  shown: "",
};

/** @typedef {{text: string, error: boolean}} Message */

/** Songs that the user removed; `undo` brings them back. @typedef {{songs: Song[], undo: () => void}} Removal */

/** @typedef {{from: number, to: number}} Range */

/** The labels that `adjustment` was made of, and whether they may be others now. */
/** @typedef {{labels: string, adjustment: Adjustment, stale: boolean}} Labelled */

export class State extends EventTarget {
  /** @type {Song[]} */ songs = [];
  /** @type {Song|null} */ shown = null;
  /** @type {Model[]} */ models = [];
  /** @type {Head[]} */ heads = [];
  /** @type {Limits} */ limits = { bytes: Infinity, seconds: Infinity };
  settings = { ...DEFAULTS };
  /** Whether the server answers, or asks for its token. @type {"ok"|"lost"|"sign-in"} */
  connection = "ok";
  /** Whether the browser has kept all that it was given. */ kept = true;
  /** @type {Message|null} */ message = null;
  /** What can be undone. It is no message, which the next one would replace. @type {Removal[]} */
  removals = [];
  viewport = new Viewport();
  /** @type {Range|null} */ selection = null;
  loop = false;
  #due = false;
  /** Of each model file, until something changes. @type {Map<string, Labelled>} */
  #labelled = new Map();
  /** @type {WeakMap<Prediction, {by: Adjustment, made: Prediction|null}>} */
  #adjusted = new WeakMap();

  /** Tell the views, once per frame for however many changes. */
  changed() {
    for (const each of this.#labelled.values()) each.stale = true;
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.dispatchEvent(new Event("change"));
    });
  }

  /** @param {Offer} offer */
  take({ models, heads, limits }) {
    this.models = models;
    this.heads = heads;
    this.limits = limits;
    if (!this.#named(this.settings.model)) this.settings.model = models[0].name;
    if (!this.#named(this.settings.other)) this.settings.other = "";
  }

  /** The model that predicts. */
  get model() {
    return /** @type {Model} */ (this.#named(this.settings.model));
  }

  /** The model to compare with. @returns {Model|null} */
  get other() {
    const { model, other } = this.settings;
    return other === model ? null : (this.#named(other) ?? null);
  }

  /** @param {string} name */
  #named(name) {
    return this.models.find((model) => model.name === name);
  }

  /**
   * What a model predicts for a song. Until the present model file has a result, the last of an older
   * file of the same name; without any, what is there of it. The user's labels may have changed it.
   * @param {Song} song
   * @param {Model} model
   */
  prediction(song, model) {
    const exact = song.predictions.get(modelKey(model));
    const older = [...song.predictions.values()]
      .filter((each) => each.model.name === model.name && each.result)
      .sort((a, b) => a.made - b.made)
      .at(-1);
    const known = exact?.result ? exact : (older ?? exact);
    return this.#adjust(known ?? new Prediction(model));
  }

  /**
   * The prediction whose work or failure the page tells. It is another one than that which is shown
   * while the result of an older model file stands in for it.
   * @param {Song} song
   * @param {Prediction} shown
   */
  work(song, shown) {
    const present = this.#named(shown.model.name);
    const exact = present && song.predictions.get(modelKey(present));
    const tells = exact && !exact.result && (exact.status !== "missing" || exact.note);
    return tells ? exact : shown;
  }

  /** Whether the user has labelled anything. */
  get labelled() {
    return this.songs.some(({ corrections }) => corrections.length);
  }

  /**
   * The prediction as the labels of the user change it; itself where they do not.
   * @param {Prediction} prediction
   */
  #adjust(prediction) {
    const { result, embeddings, model } = prediction;
    if (!this.settings.adjusted || !result || !embeddings.length) return prediction;
    const by = this.#adjustment(modelKey(model));
    if (!by.count) return prediction;
    const known = this.#adjusted.get(prediction);
    if (known?.by === by) return known.made ?? prediction;
    const changed = by.apply(result, embeddings);
    const made = changed && prediction.adjustedTo(changed);
    this.#adjusted.set(prediction, { by, made });
    return made ?? prediction;
  }

  /** What the labels of all songs say to the predictions of a model file. @param {string} key */
  #adjustment(key) {
    const known = this.#labelled.get(key);
    if (known && !known.stale) return known.adjustment;
    const songs = this.songs.filter(
      (song) => song.corrections.length && song.predictions.get(key)?.result,
    );
    const labels = JSON.stringify(
      songs.map(({ id, corrections, predictions }) => [
        id,
        corrections,
        predictions.get(key)?.embeddings.length,
      ]),
    );
    if (known?.labels === labels) {
      known.stale = false;
      return known.adjustment;
    }
    const adjustment = new Adjustment(songs.flatMap((song) => song.labels(key)));
    this.#labelled.set(key, { labels, adjustment, stale: false });
    return adjustment;
  }

  /**
   * The prediction that list and map show.
   * @param {Song} song
   */
  first(song) {
    const live = [...song.predictions.values()].find(({ status }) => status === "live");
    return live ?? this.prediction(song, this.model);
  }

  /** The predictions of the song that is shown: one, or two where models are compared. */
  get predictions() {
    if (!this.shown) return [];
    const first = this.first(this.shown);
    const compared = this.other && first.status !== "live";
    return compared ? [first, this.prediction(this.shown, this.other)] : [first];
  }

  /** Whether a prediction is of an older file of its model. @param {Prediction} prediction */
  outdated({ model }) {
    const present = this.#named(model.name);
    return present !== undefined && modelKey(present) !== modelKey(model);
  }

  get recording() {
    return this.songs.some((song) => song.live);
  }

  /** @param {string} id */
  song(id) {
    return this.songs.find((song) => song.id === id) ?? null;
  }
}
