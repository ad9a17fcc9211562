// The state of the page: songs, what the server offers, and what the user has chosen.

/** @import { Model, Head, Limits, Offer } from "../actions/api.js" */

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
};

/** A message for the user; `act` is what a button of it does. */
/** @typedef {{text: string, error: boolean, label?: string, act?: () => void}} Message */

/** @typedef {{from: number, to: number}} Range */

export class State extends EventTarget {
  /** @type {Song[]} */ songs = [];
  /** @type {Song|null} */ shown = null;
  /** @type {Model[]} */ models = [];
  /** @type {Head[]} */ heads = [];
  /** @type {Limits} */ limits = { bytes: Infinity, seconds: Infinity, files: 0 };
  settings = { ...DEFAULTS };
  /** Whether the server answers, or asks for its token. @type {"ok"|"lost"|"sign-in"} */
  connection = "ok";
  /** @type {Message|null} */ message = null;
  viewport = new Viewport();
  /** @type {Range|null} */ selection = null;
  loop = false;
  #due = false;

  /** Tell the views, once per frame for however many changes. */
  changed() {
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
   * What a model predicts for a song. Without a prediction of the present model file, that of an
   * older file of the same name; without any, an empty one.
   * @param {Song} song
   * @param {Model} model
   */
  prediction(song, model) {
    const exact = song.predictions.get(modelKey(model));
    const older = [...song.predictions.values()].find(
      (each) => each.model.name === model.name && each.result,
    );
    return exact ?? older ?? new Prediction(model);
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
