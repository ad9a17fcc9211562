// Saves to the browser's database. What that refuses is tried again until it is saved.

/** @import { Edit, Prediction, Song } from "../state/song.js" */
/** @import { Settings, State } from "../state/state.js" */
/** @import { Database, SongRecord } from "../state/database.js" */

import { Removed } from "../state/database.js";
import { edited, modelKey } from "../state/song.js";

const PAUSE = 5000; // milliseconds before what was refused is tried again

/** A write; false if another tab did the same. */
/** @typedef {(database: Database) => Promise<boolean|void>} Write */

export class Storage {
  /** What is being saved. */
  pending = 0;
  /** What the database has refused, by what it is of. @type {Map<string, Write>} */
  #refused = new Map();
  /** What is of songs that another tab has removed, and may bring back. @type {Map<string, Write>} */
  #removed = new Map();
  #timer = 0;

  /**
   * @param {State} state
   * @param {Database|null} database null where the browser keeps none
   */
  constructor(state, database) {
    this.state = state;
    this.database = database;
    state.kept = database !== null;
    database?.onClose(() => {
      state.kept = false; // for good: from now on, every write is refused
      state.changed();
    });
  }

  /** A song that is not there, with its predictions. @param {Song} song */
  save = (song) =>
    this.#try(song.id, async (database) => {
      const { edits } = song; // which are in its marks and labels already
      await database.save(song);
      song.edits = song.edits.filter((each) => !edits.includes(each));
      this.resume(song);
    });

  /** Save what there was to save of a song when it was removed. @param {Song} song */
  resume(song) {
    for (const [what, write] of this.#removed) {
      if (!what.startsWith(`${song.id} `)) continue;
      this.#removed.delete(what);
      this.#try(what, write);
    }
  }

  /** What has changed of a song. @param {Song} song @param {(keyof SongRecord)[]} what */
  update = (song, what) =>
    this.#try(`${song.id} ${what}`, (database) => database.update(song, what));

  /** Where a song was played last. @param {Song} song */
  savePosition = (song) =>
    this.#try(`${song.id} position`, (database) => database.savePosition(song));

  /** Change marks or labels of a song, here and in the database. @param {Song} song @param {Edit} edit */
  edit(song, edit) {
    Object.assign(song, edited(song, [edit]));
    song.edits = [...song.edits, edit];
    return this.#try(`${song.id} edits`, async (database) => {
      const { edits } = song;
      await database.edit(song, edits);
      song.edits = song.edits.filter((each) => !edits.includes(each));
    });
  }

  /**
   * @param {Song} song
   * @param {Prediction} prediction
   * @param {string|null} job of the server that it is the result of
   */
  savePrediction = (song, prediction, job = prediction.job) =>
    this.#try(`${song.id} ${modelKey(prediction.model)}`, (database) =>
      database.savePrediction(song, prediction, job),
    );

  /** @param {Song} song */
  remove = (song) => this.#try(song.id, (database) => database.remove(song.id));

  /** Those that have changed. @param {Partial<Settings>} settings */
  saveSettings = (settings) =>
    this.#try(`settings ${Object.keys(settings)}`, (database) =>
      database.merge("settings", settings),
    );

  /** The name by which this browser follows its jobs. @param {string} name */
  saveClient = (name) => this.#try("client", (database) => database.set("client", name));

  /** Whether this tab has still to save or to remove a whole song. @param {string} id */
  owes = (id) => this.#refused.has(id);

  /**
   * @param {string} what
   * @param {Write} write
   * @returns {Promise<boolean>} whether it was saved, and by this tab
   */
  async #try(what, write) {
    if (!this.database) return false;
    this.pending += 1;
    try {
      const first = await write(this.database);
      this.#refused.delete(what);
      return first !== false;
    } catch (error) {
      if (error instanceof Removed) {
        this.#refused.delete(what);
        this.#removed.set(what, write);
      } else {
        console.warn("not saved:", error);
        this.#refused.set(what, write);
      }
      return false;
    } finally {
      this.pending -= 1;
      this.#check();
    }
  }

  #check() {
    const kept = !this.#refused.size;
    if (!kept) this.#timer ||= setTimeout(() => this.#tryAgain(), PAUSE);
    if (this.state.kept === kept) return;
    this.state.kept = kept;
    this.state.changed();
  }

  async #tryAgain() {
    for (const [what, write] of this.#refused) await this.#try(what, write);
    this.#timer = 0;
    this.#check();
  }
}
