// Songs, predictions and settings in the browser's own database, where they survive a reload, a
// closed tab, and a server that has ended.

/** @import { Model, Moment, Result } from "../actions/api.js" */
/** @import { Correction, Edit, Status } from "./song.js" */

import { Embeddings } from "./embeddings.js";
import { Peaks } from "./peaks.js";
import { edited, modelKey, Prediction, Song } from "./song.js";

const NAME = "quadpred";
const VERSION = 1;

/**
 * @typedef {object} SongRecord
 * @property {string} id
 * @property {string} name
 * @property {string} path
 * @property {string} fingerprint
 * @property {number} added
 * @property {number[]} marks
 * @property {Correction[]} corrections
 * @property {number} perSecond
 * @property {Int8Array<ArrayBuffer>} pairs
 * @property {File|null} sound of the microphone
 */

/**
 * @typedef {object} PredictionRecord
 * @property {string} song
 * @property {string} key
 * @property {Model} model
 * @property {Status} status
 * @property {string|null} job
 * @property {Result|null} result
 * @property {Moment[]} [moments] not in records of earlier versions
 * @property {string} damage
 * @property {import("../actions/api.js").Difference[]} [playback]
 * @property {string} error
 * @property {number} [made] when it was finished; not in records of earlier versions
 * @property {number} [width] of the embeddings; not in records of earlier versions
 * @property {Int8Array<ArrayBuffer>} [embeddings]
 */

/** Where a song was played last; `settings` holds it under `positionKey`. */
/** @typedef {{song: string, position: number}} PositionRecord */

/** @param {string} id */
const positionKey = (id) => ["position", id];

/** The song was removed, perhaps by another tab, which may bring it back. */
export class Removed extends Error {}

export class Database {
  /** @type {IDBDatabase} */ #base;
  #channel = new BroadcastChannel(NAME);

  /** @param {IDBDatabase} base */
  constructor(base) {
    this.#base = base;
  }

  /** Open the database. Rejects where the browser keeps none. */
  static async open() {
    const opening = indexedDB.open(NAME, VERSION);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore("songs", { keyPath: "id" });
      opening.result.createObjectStore("predictions", { keyPath: ["song", "key"] });
      opening.result.createObjectStore("settings");
    };
    return new Database(await answer(opening));
  }

  /**
   * Call `act` when the browser has closed the database, as where the user clears its data.
   * @param {() => void} act
   */
  onClose(act) {
    this.#base.onclose = act;
  }

  /**
   * Call `act` with the id of a song that another tab has saved or removed.
   * @param {(id: string) => void} act
   */
  watch(act) {
    this.#channel.onmessage = ({ data }) => act(data);
  }

  /** Save a song that is not there, with its predictions. @param {Song} song */
  async save(song) {
    await this.#write(["songs", "predictions", "settings"], (store) => {
      store("songs").put(recordOf(song));
      putPosition(store("settings"), song);
      for (const prediction of song.predictions.values()) {
        store("predictions").put(predictionRecord(song, prediction, prediction.job));
      }
    });
    this.#channel.postMessage(song.id);
  }

  /**
   * Save what has changed of a song. Another tab may have changed the rest.
   * @param {Song} song
   * @param {(keyof SongRecord)[]} what
   */
  update(song, what) {
    const now = recordOf(song);
    const changes = Object.fromEntries(what.map((name) => [name, now[name]]));
    return this.#change(song, () => changes);
  }

  /**
   * Save where a song was played last. No other tab needs to know.
   * @param {Song} song
   */
  async savePosition(song) {
    let kept = 0;
    await this.#write(["songs", "settings"], (store) =>
      read(store("songs").count(song.id), (count) => {
        kept = count;
        if (kept) putPosition(store("settings"), song);
      }),
    );
    if (!kept) throw new Removed();
  }

  /** Edit what is saved, which another tab may have edited too. @param {Song} song @param {Edit[]} edits */
  edit(song, edits) {
    return this.#change(song, (before) => edited(before, edits));
  }

  /** @param {Song} song @param {(before: SongRecord) => Partial<SongRecord>} changes */
  async #change(song, changes) {
    let kept = false;
    await this.#write(["songs"], (store) =>
      read(store("songs").get(song.id), (before) => {
        kept = Boolean(before);
        if (before) store("songs").put({ ...before, ...changes(before) });
      }),
    );
    if (!kept) throw new Removed();
    this.#channel.postMessage(song.id);
  }

  /**
   * Save a prediction, unless another tab has saved the result.
   * @param {Song} song
   * @param {Prediction} prediction
   * @param {string|null} job of the server
   * @returns {Promise<boolean>} false if another tab has saved this job
   */
  async savePrediction(song, prediction, job) {
    let [kept, first] = [0, false];
    const record = predictionRecord(song, prediction, job);
    await this.#write(["songs", "predictions"], (store) =>
      read(store("songs").count(song.id), (count) => {
        kept = count;
        if (!kept) return;
        read(store("predictions").get([record.song, record.key]), (before) => {
          first = !before?.result || before.job !== job;
          if (record.result || !before?.result) store("predictions").put(record);
        });
      }),
    );
    if (!kept) throw new Removed();
    this.#channel.postMessage(song.id);
    return first;
  }

  /** @param {string} id */
  async remove(id) {
    await this.#write(["songs", "predictions", "settings"], (store) => {
      store("songs").delete(id);
      store("settings").delete(positionKey(id));
      store("predictions").delete(IDBKeyRange.bound([id], [id, []]));
    });
    this.#channel.postMessage(id);
  }

  /** All songs with their predictions, in the order in which they were added. */
  async load() {
    /** @type {SongRecord[]} */
    const songs = await this.#read("songs", (store) => store.getAll());
    /** @type {PredictionRecord[]} */
    const predictions = await this.#read("predictions", (store) => store.getAll());
    /** @type {PositionRecord[]} */
    const positions = await this.#read("settings", (store) =>
      store.getAll(IDBKeyRange.bound(["position"], ["position", []])),
    );
    const bySong = Map.groupBy(predictions, ({ song }) => song);
    const at = new Map(positions.map(({ song, position }) => [song, position]));
    return songs
      .sort((a, b) => a.added - b.added)
      .map((record) => revive(record, bySong.get(record.id) ?? [], at.get(record.id)));
  }

  /**
   * One song; null if there is none.
   * @param {string} id
   */
  async find(id) {
    /** @type {SongRecord|undefined} */
    const song = await this.#read("songs", (store) => store.get(id));
    /** @type {PredictionRecord[]} */
    const predictions = await this.#read("predictions", (store) =>
      store.getAll(IDBKeyRange.bound([id], [id, []])),
    );
    /** @type {PositionRecord|undefined} */
    const at = await this.setting(positionKey(id));
    return song ? revive(song, predictions, at?.position) : null;
  }

  /**
   * A value of `settings`, undefined if it was never saved.
   * @param {IDBValidKey} name
   */
  setting(name) {
    return this.#read("settings", (store) => store.get(name));
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  async set(name, value) {
    await this.#write(["settings"], (store) => store("settings").put(value, name));
  }

  /**
   * Change some fields of a value of `settings`.
   * @param {string} name
   * @param {object} changes
   */
  async merge(name, changes) {
    await this.#write(["settings"], (store) =>
      read(store("settings").get(name), (before) => {
        store("settings").put({ ...before, ...changes }, name);
      }),
    );
  }

  /**
   * @param {string} name
   * @param {(store: IDBObjectStore) => IDBRequest} ask
   */
  #read(name, ask) {
    return answer(ask(this.#base.transaction(name).objectStore(name)));
  }

  /**
   * Write in one transaction, in which no other tab writes to these stores.
   * @param {string[]} names
   * @param {(store: (name: string) => IDBObjectStore) => void} ask
   */
  async #write(names, ask) {
    const transaction = this.#base.transaction(names, "readwrite");
    ask((name) => transaction.objectStore(name));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

/** @param {Song} song @returns {SongRecord} */
function recordOf(song) {
  return {
    id: song.id,
    name: song.name,
    path: song.path,
    fingerprint: song.fingerprint,
    added: song.added,
    marks: song.marks,
    corrections: song.corrections,
    perSecond: song.peaks.perSecond,
    pairs: song.peaks.pairs.slice(),
    sound: song.recorded ? song.file : null,
  };
}

/** @param {IDBObjectStore} settings @param {Song} song */
const putPosition = (settings, { id, position }) =>
  settings.put({ song: id, position }, positionKey(id));

/**
 * @param {Song} song
 * @param {Prediction} prediction
 * @param {string|null} job
 * @returns {PredictionRecord}
 */
const predictionRecord = (song, prediction, job) => ({
  song: song.id,
  key: modelKey(prediction.model),
  model: prediction.model,
  status: prediction.status,
  job,
  result: prediction.result,
  moments: prediction.moments,
  damage: prediction.damage,
  playback: prediction.playback,
  error: prediction.error,
  made: prediction.made,
  width: prediction.embeddings.width,
  embeddings: prediction.embeddings.bytes,
});

/**
 * Go on in the same transaction with what was read.
 * @template T
 * @param {IDBRequest<T>} request
 * @param {(value: T) => void} act
 */
function read(request, act) {
  request.onsuccess = () => act(request.result);
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {SongRecord} record
 * @param {PredictionRecord[]} predictions
 * @param {number} position
 */
function revive(record, predictions, position = 0) {
  const song = new Song(record.id, record.name, record.path, record.fingerprint, record.added);
  song.position = position;
  song.marks = record.marks;
  song.corrections = record.corrections;
  song.peaks = new Peaks(record.perSecond, record.pairs);
  song.file = record.sound;
  song.recorded = record.sound !== null;
  for (const record of predictions) {
    const { key, model, status, job, result, moments, error, width, embeddings } = record;
    const prediction = new Prediction(model);
    prediction.damage = record.damage;
    prediction.playback = record.playback ?? [];
    prediction.made = record.made ?? 0;
    if (status === "done" && result) {
      prediction.embeddings = new Embeddings(width, embeddings);
      prediction.finish(result, moments);
    } else if (status === "failed") prediction.fail(error);
    else if (job) {
      prediction.status = "running";
      prediction.job = job;
    }
    song.predictions.set(key, prediction);
  }
  return song;
}
