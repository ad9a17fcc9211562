// Saves to the browser's database, and warns the user where that fails.

/** @import { Prediction, Song } from "../state/song.js" */
/** @import { Settings, State } from "../state/state.js" */
/** @import { Database, SongRecord } from "../state/database.js" */

const NOT_KEPT =
  "This browser does not let the page save data. Export your results before you close the page.";

export class Storage {
  /** Whether everything was saved that is not being saved. */
  complete = true;
  /** What is being saved. */
  pending = 0;

  /**
   * @param {State} state
   * @param {Database|null} database null where the browser keeps none
   */
  constructor(state, database) {
    this.state = state;
    this.database = database;
    if (!database) this.#warn();
  }

  /** A new song. @param {Song} song */
  save = (song) => this.#try((database) => database.save(song));

  /** What has changed of a song. @param {Song} song @param {(keyof SongRecord)[]} what */
  update = (song, what) => this.#try((database) => database.update(song, what));

  /**
   * @param {Song} song
   * @param {Prediction} prediction
   * @param {string|null} job of the server that it is the result of
   */
  savePrediction = (song, prediction, job = prediction.job) =>
    this.#try((database) => database.savePrediction(song, prediction, job));

  /** A song with all of its predictions. @param {Song} song */
  async saveAll(song) {
    await this.save(song);
    for (const prediction of song.predictions.values()) await this.savePrediction(song, prediction);
  }

  /** @param {Song} song */
  remove = (song) => this.#try((database) => database.remove(song.id));

  /** Those that have changed. @param {Partial<Settings>} settings */
  saveSettings = (settings) => this.#try((database) => database.merge("settings", settings));

  /**
   * @param {(database: Database) => Promise<boolean|void>} act false if another tab did the same
   * @returns {Promise<boolean>} whether it was saved, and by this tab
   */
  async #try(act) {
    if (!this.database) return false;
    this.pending += 1;
    try {
      return (await act(this.database)) !== false;
    } catch (error) {
      console.warn("not saved:", error);
      this.#warn();
      return false;
    } finally {
      this.pending -= 1;
    }
  }

  #warn() {
    this.complete = false;
    this.state.message = { text: NOT_KEPT, error: true };
    this.state.changed();
  }
}
