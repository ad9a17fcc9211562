// Uploads files, and follows the predictions of the server to their end.

/** @import { Model } from "./api.js" */
/** @import { Prediction, Song } from "../state/song.js" */
/** @import { State } from "../state/state.js" */
/** @import { Storage } from "./storage.js" */

import { modelKey, Prediction as NewPrediction } from "../state/song.js";
import { clock, megabytes } from "../words.js";
import * as api from "./api.js";
import { Events } from "./events.js";
import { fingerprint } from "./files.js";

const UPLOADS = 2; // at once
const FIRST_PAUSE = 2; // seconds before the next try where the server does not name them
const LONGEST_PAUSE = 30;
const PAUSE = 2000; // milliseconds before a server that is away is asked again
const LATER = [0, 401, 429, 502, 503, 504]; // answers after which an upload may succeed

export const UNREADABLE =
  "The file cannot be read: it was changed, moved or deleted after you chose it. Choose it again.";
export const EMPTY = "It is empty, cannot be read, or was moved or deleted after you chose it.";
const LOST =
  "The server no longer has this prediction: it was restarted, or the page was closed for too long. Choose the file again.";

/** @typedef {{song: Song, prediction: Prediction}} Task */

export class Queue {
  /** @type {Task[]} */ #waiting = [];
  #uploads = 0;
  #failures = 0; // of the connection, one after the other
  #until = 0; // no upload before this time, in milliseconds of this page
  #reason = ""; // of the pause
  #asking = 0; // timer
  #refreshing = 0; // timer
  /**
   * Events that came before the answer to their upload, by job.
   * @type {Map<string, ((task: Task) => void)[]>}
   */
  #early = new Map();

  /**
   * @param {State} state
   * @param {Storage} storage
   * @param {string} client
   */
  constructor(state, storage, client) {
    this.state = state;
    this.storage = storage;
    this.client = client;
    this.events = new Events(client, {
      jobs: async (known, asked) => {
        await this.#refresh(); // what is repeated is predicted by the models that there are now
        this.#compare(new Set(known.map(({ id }) => id)), asked);
      },
      progress: (data) => {
        this.#with(data.job, ({ prediction }) => {
          prediction.progress = { seconds: data.seconds, duration: data.duration };
        });
      },
      rows: (data) => {
        this.#with(data.job, ({ song, prediction }) => {
          if (prediction.result) return; // sent again
          if (data.peaks) song.peaks.put(data.peaks);
          if (!prediction.take(data)) this.events.open();
        });
      },
      done: (data) => this.#with(data.job, (task) => this.#done(task, data)),
      failed: (data) => {
        this.#with(data.job, (task) => this.#fail(task, data.error?.detail ?? "No reason given."));
      },
      opened: () => this.#connected(),
      lost: () => this.#ask(),
    });
  }

  /**
   * Follow the jobs, or cease to where nothing is open: a browser has six connections to a server,
   * and each tab's stream takes one.
   * @param {boolean} visible whether the user sees the page
   */
  follow(visible) {
    const all = this.state.songs.flatMap(({ predictions }) => [...predictions.values()]);
    if (visible || all.some(({ open }) => open)) {
      if (!this.events.active) this.events.open();
    } else this.events.close();
  }

  /**
   * Have a model predict a song, unless that was asked for or done before.
   * @param {Song} song
   * @param {Model} model
   */
  predict(song, model) {
    if (!song.file || song.live) return;
    const known = song.predictions.get(modelKey(model));
    if (known && (known.open || known.status === "done" || known.status === "failed")) return;
    this.#enqueue(song, known ?? new NewPrediction(model));
  }

  /**
   * Try a failed prediction again.
   * @param {Song} song
   * @param {Prediction} prediction
   */
  retry(song, prediction) {
    if (song.file && !prediction.open) this.#enqueue(song, new NewPrediction(prediction.model));
  }

  /**
   * End all work on a song.
   * @param {Song} song
   */
  drop(song) {
    this.#waiting = this.#waiting.filter((task) => task.song !== song);
    for (const prediction of song.predictions.values()) {
      if (!prediction.open) continue;
      prediction.status = "missing";
      prediction.cancel?.();
      if (prediction.job) api.forget(prediction.job);
      prediction.job = null;
    }
  }

  /** @param {Song} song @param {Prediction} prediction */
  #enqueue(song, prediction) {
    prediction.status = "waiting";
    prediction.note = "";
    song.predictions.set(modelKey(prediction.model), prediction);
    this.#waiting.push({ song, prediction });
    this.follow(true);
    this.#next();
    this.state.changed();
  }

  #next() {
    while (this.#uploads < UPLOADS && this.#waiting.length && performance.now() >= this.#until) {
      const task = /** @type {Task} */ (this.#waiting.shift());
      this.#uploads += 1;
      this.#upload(task).finally(() => {
        this.#uploads -= 1;
        if (!this.#uploads) this.#early.clear(); // what is left is of other tabs
        this.#next();
      });
    }
  }

  /** @param {Task} task */
  async #upload(task) {
    const { song, prediction } = task;
    const { file } = song;
    if (!file) return this.#fail(task, UNREADABLE); // it changed while it waited
    const largest = this.state.limits.bytes;
    if (file.size > largest) {
      const [size, limit] = [file.size, largest].map(megabytes);
      this.#fail(task, `The file has ${size}. This server accepts up to ${limit}.`);
      return;
    }
    prediction.status = "sending";
    prediction.note = "";
    prediction.sent = 0;
    const same = await unchanged(song);
    if (prediction.status !== "sending") return; // removed in the meantime
    if (!same) return this.#unreadable(task);
    const sending = api.upload(file, prediction.model, this.client, (share) => {
      prediction.sent = share;
      this.state.changed();
    });
    prediction.cancel = sending.cancel;
    try {
      const job = await sending.answer;
      const sent = await unchanged(song);
      prediction.cancel = null;
      if (prediction.status !== "sending") return api.forget(job.id); // removed in the meantime
      if (!sent) {
        api.forget(job.id);
        return this.#unreadable(task);
      }
      prediction.job = job.id;
      prediction.answered = performance.now();
      prediction.status = "running";
      prediction.progress = job.progress;
      this.storage.savePrediction(song, prediction);
      this.#connected();
      for (const act of this.#early.get(job.id) ?? []) act(task);
      this.#early.delete(job.id);
    } catch (error) {
      prediction.cancel = null;
      if (prediction.status === "sending") await this.#refused(task, error);
    }
    this.state.changed();
  }

  /**
   * Wait where the server cannot take the upload now; give up where it never will.
   * @param {Task} task
   * @param {unknown} error
   */
  async #refused(task, error) {
    if (!(error instanceof api.Problem)) throw error;
    if (error.status === 0 && !(await unchanged(task.song))) return this.#unreadable(task);
    if (task.prediction.status !== "sending") return; // removed in the meantime
    if (!LATER.includes(error.status)) return this.#fail(task, error.message);
    task.prediction.status = "waiting";
    this.#waiting.unshift(task);
    this.#ask();
    this.#failures += 1;
    const pause = Math.min(FIRST_PAUSE * 2 ** (this.#failures - 1), LONGEST_PAUSE);
    /** @type {Record<number, string>} */
    const reasons = { 401: "The server asks for its token.", 429: "The server is busy." };
    this.#reason = reasons[error.status] ?? error.message;
    this.#until = performance.now() + 1000 * (error.retry ?? pause);
    this.#count();
  }

  /** @param {Task} task */
  #unreadable(task) {
    task.song.release();
    task.song.file = null;
    this.#fail(task, UNREADABLE);
  }

  /** Count the seconds until the next try. */
  #count() {
    const left = Math.ceil((this.#until - performance.now()) / 1000);
    const note = left > 0 ? `${this.#reason} Next try in ${left} s.` : "";
    for (const { prediction } of this.#waiting) prediction.note = note;
    this.state.changed();
    if (left > 0) setTimeout(() => this.#count(), 1000);
    else this.#next();
  }

  #connected() {
    this.#failures = 0;
    if (this.state.connection === "ok") return;
    this.state.connection = "ok";
    this.#until = 0;
    this.state.changed();
  }

  /** Ask whether the server answers, until it does. One request alone may fail for other reasons. */
  async #ask() {
    clearTimeout(this.#asking);
    const status = await api.offer().then(
      () => 200,
      (error) => error.status,
    );
    clearTimeout(this.#asking);
    if (status !== 200) {
      this.state.connection = status === 401 ? "sign-in" : "lost";
      this.state.changed();
      this.#asking = setTimeout(() => this.#ask(), PAUSE);
    } else if (this.state.connection !== "ok") this.#connected();
  }

  /** Take what the server offers now: it may be another one, with other model files. */
  async #refresh() {
    clearTimeout(this.#refreshing);
    const offer = await api.offer().catch(() => null);
    if (!offer) {
      this.#refreshing = setTimeout(() => this.#refresh(), PAUSE);
      return;
    }
    this.state.take(offer);
    for (const song of this.state.songs) {
      for (const model of [this.state.model, this.state.other]) {
        if (!model || this.state.prediction(song, model).result) continue;
        const all = [...song.predictions.values()];
        if (!all.some((each) => each.open && each.model.name === model.name)) {
          this.predict(song, model);
        }
      }
    }
    this.state.changed();
  }

  /**
   * Repeat what the server no longer knows. It could not list jobs that are newer than the request.
   * @param {Set<string>} known ids
   * @param {number} asked when the list was asked for
   */
  #compare(known, asked) {
    for (const song of this.state.songs) {
      for (const prediction of song.predictions.values()) {
        if (prediction.status !== "running" || known.has(prediction.job ?? "")) continue;
        if (prediction.answered > asked) continue;
        prediction.job = null;
        if (song.file && !this.state.outdated(prediction)) {
          this.#enqueue(song, new NewPrediction(prediction.model));
          continue;
        }
        prediction.status = "missing";
        if (!song.file) prediction.note = LOST;
        this.storage.savePrediction(song, prediction);
        for (const model of [this.state.model, this.state.other]) {
          if (model?.name === prediction.model.name) this.predict(song, model);
        }
      }
    }
    this.state.changed();
  }

  /**
   * @param {string} job
   * @param {(task: Task) => void} act
   */
  #with(job, act) {
    for (const song of this.state.songs) {
      for (const prediction of song.predictions.values()) {
        if (prediction.job !== job) continue;
        act({ song, prediction });
        this.state.changed();
        return;
      }
    }
    if (this.#uploads) this.#early.set(job, [...(this.#early.get(job) ?? []), act]);
  }

  /**
   * @param {Task} task
   * @param {import("./api.js").Job & {job: string}} data
   */
  async #done({ song, prediction }, data) {
    if (!data.result) return;
    song.finish(prediction, data.result, data.moments ?? []);
    prediction.damage = data.damage ?? "";
    prediction.playback = data.playback ?? [];
    prediction.job = null;
    this.#end(song);
    const kept = [
      this.storage.update(song, ["perSecond", "pairs"]),
      this.storage.savePrediction(song, prediction, data.job),
    ];
    if ((await Promise.all(kept)).every(Boolean)) api.forget(data.job);
  }

  /** Take back what the user marked behind the end, while only its estimate was known. @param {Song} song */
  #end(song) {
    const { state } = this;
    const { seconds } = song; // with a row; a mark may be in the rest after them
    const length = song.length ?? seconds;
    if (song === state.shown && state.selection && state.selection.to > seconds) {
      state.selection = null;
      state.loop = false;
    }
    const outside = song.corrections.some(({ to }) => to !== null && to > seconds);
    if (!outside && !song.marks.some((second) => second > length)) return;
    this.storage.edit(song, ({ marks, corrections }) => ({
      marks: marks.filter((second) => second <= length),
      corrections: corrections
        .filter(({ from }) => from === null || from < seconds)
        .map((each) => (each.to === null ? each : { ...each, to: Math.min(each.to, seconds) }))
        .filter(
          // Of labels that are of the same part now, the last one holds.
          ({ from, to }, i, all) => i === all.findLastIndex((x) => x.from === from && x.to === to),
        ),
    }));
    const text = `${song.name} ends at ${clock(length)}. Marks and labels behind that were removed.`;
    const before = state.message && !state.message.error ? `${state.message.text} ` : "";
    state.message = { text: before + text, error: false };
  }

  /** @param {Task} task @param {string} reason */
  #fail({ song, prediction }, reason) {
    if (prediction.job) api.forget(prediction.job);
    prediction.job = null;
    prediction.fail(reason);
    this.storage.savePrediction(song, prediction);
    this.state.changed();
  }
}

/**
 * Whether the browser can still read a song's file, and it is the one that was chosen. Firefox also
 * reads and sends a file that was changed in the meantime, and waits for ever to send one that became
 * shorter.
 * @param {Song} song
 */
export async function unchanged({ file, fingerprint: chosen }) {
  try {
    return file !== null && (!chosen || (await fingerprint(file)) === chosen);
  } catch {
    return false;
  }
}
