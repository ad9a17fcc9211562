// Songs and what models say of them. Each prediction runs by itself and tells when it changes.

import * as api from "./api.js";
import { listen, wave } from "./live.js";
import { Outline, outline } from "./player.js";
import { Rows, rowsOf, toCsv } from "./rows.js";
import { saved } from "./dom.js";

const AT_ONCE = 3; // uploads and predictions
const RETRY = 5; // seconds, where a busy server does not say
const SAVED_AS = [
  ["JSON", "prediction.json"],
  ["CSV", "rows.csv"],
  ["PNG", "taggram.png"],
];

/** What one model says of one song: waiting, sending, running, live, done or failed. */
class Prediction {
  status = "waiting";
  rows = new Rows();
  sent = 0;
  progress = { seconds: 0, duration: null };
  note = "";
  error = "";
  result = null;
  id = null;
  downloads = [];

  constructor(model) {
    this.model = model;
  }

  get ended() {
    return this.status === "done" || this.status === "failed";
  }
}

export class Song {
  predictions = new Map();
  outline = null;
  recording = null; // of the microphone, while it goes on
  sound = null; // the recording to save, afterwards

  constructor(name, file) {
    this.name = name;
    this.file = file;
    this.address = file && URL.createObjectURL(file);
  }

  get live() {
    return this.recording !== null;
  }

  /** Seconds that are known of, of any source. */
  get seconds() {
    const all = [...this.predictions.values()].map(
      ({ result, rows, progress }) => result?.duration ?? progress.duration ?? rows.length,
    );
    return Math.max(0, this.outline?.seconds ?? 0, ...all);
  }
}

/** All songs; calls `changed` whenever anything of one has. */
export class Songs {
  list = [];
  #free = AT_ONCE;
  #waiting = [];
  #cancels = new Map();

  constructor(changed, largest) {
    this.changed = changed;
    this.largest = largest;
  }

  /** Add a file, and predict it. */
  add(file, model) {
    const song = new Song(file.name, file);
    this.list.push(song);
    this.predict(song, model);
    outline(file).then((made) => {
      song.outline = made;
      this.changed();
    });
    return song;
  }

  remove(song) {
    this.list.splice(this.list.indexOf(song), 1);
    song.recording?.stop();
    for (const prediction of song.predictions.values()) {
      prediction.status = "failed"; // so that nothing is begun for it
      this.#cancels.get(prediction)?.();
      if (prediction.id) api.forget(prediction.id);
    }
    if (song.address) URL.revokeObjectURL(song.address);
    this.changed();
  }

  /** Have a model predict a song, unless it was asked before. */
  predict(song, model) {
    if (song.predictions.has(model.name)) return;
    const prediction = new Prediction(model);
    song.predictions.set(model.name, prediction);
    this.#waiting.push(() => this.#run(song.file, prediction));
    this.#next();
  }

  #next() {
    while (this.#free && this.#waiting.length) {
      this.#free -= 1;
      this.#waiting.shift()().finally(() => {
        this.#free += 1;
        this.#next();
      });
    }
  }

  async #run(file, prediction) {
    if (prediction.ended) return; // the song was removed
    try {
      if (file.size > this.largest) {
        const [has, takes] = [file.size, this.largest].map((b) => `${Math.round(b / 1e5) / 10} MB`);
        throw new api.Problem(413, `The file has ${has}; this server takes ${takes} at most.`);
      }
      const job = await this.#sent(file, prediction);
      if (prediction.ended) return api.forget(job.id);
      prediction.id = job.id;
      prediction.status = "running";
      const following = api.follow(job.id, {
        rows: (block) => this.#update(prediction, () => prediction.rows.put(block)),
        progress: (said) => this.#update(prediction, () => (prediction.progress = said)),
      });
      this.#cancels.set(prediction, following.cancel);
      const { result, warning } = await following.answer;
      this.#finish(prediction, result);
      prediction.note = warning ?? "";
      prediction.downloads = SAVED_AS.map(([title, name]) => ({
        title,
        address: api.downloadAddress(job.id, name),
        name: "",
      }));
    } catch (error) {
      this.#fail(prediction, error);
    }
    this.changed();
  }

  /** Upload, and try again for as long as the server has no place. */
  async #sent(file, prediction) {
    for (;;) {
      prediction.status = "sending";
      const sending = api.upload(file, prediction.model, (share) =>
        this.#update(prediction, () => (prediction.sent = share)),
      );
      this.#cancels.set(prediction, sending.cancel);
      try {
        return await sending.answer;
      } catch (error) {
        if (error.status !== 429 || prediction.ended) throw error;
        prediction.status = "waiting";
        for (let left = error.retry ?? RETRY; left > 0; left -= 1) {
          prediction.note = `The server is busy; trying again in ${left} s.`;
          this.changed();
          await new Promise((resolve) => setTimeout(resolve, 1000));
          if (prediction.ended) throw error;
        }
        prediction.note = "";
      }
    }
  }

  /** Listen to the microphone; resolves to the new song. */
  async listen(model) {
    const blocks = [];
    let rate = 0;
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const song = new Song(`Microphone ${time}`, null);
    song.outline = new Outline();
    const prediction = new Prediction(model);
    prediction.status = "live";
    song.predictions.set(model.name, prediction);
    song.recording = await listen(model, {
      samples: (block, hertz) => {
        rate = hertz;
        blocks.push(block);
        song.outline.add(block, hertz);
        this.changed();
      },
      rows: (block) => this.#update(prediction, () => prediction.rows.put(block)),
    });
    this.list.push(song);
    song.recording.end
      .then((result) => this.#finish(prediction, result))
      .catch((error) => this.#fail(prediction, error))
      .then(() => {
        song.recording = null;
        if (!blocks.length) return this.changed();
        song.file = wave(blocks, rate, `${song.name.replace(":", ".")}.wav`);
        song.address = URL.createObjectURL(song.file);
        song.sound = { title: "WAV", address: song.address, name: song.file.name };
        prediction.downloads = prediction.result ? keep(song.file.name, prediction.result) : [];
        this.changed();
      });
    return song;
  }

  #update(prediction, change) {
    change();
    if (!prediction.ended) this.changed();
  }

  #finish(prediction, result) {
    prediction.result = result;
    prediction.rows = rowsOf(result);
    prediction.status = "done";
  }

  #fail(prediction, error) {
    if (!(error instanceof api.Problem)) console.error(error);
    prediction.error = error.message;
    prediction.status = "failed";
  }
}

/** A prediction to save, without the server. */
function keep(sound, result) {
  const name = (ending) => sound.replace(/wav$/, ending);
  const json = `${JSON.stringify(result)}\n`;
  return [
    { title: "JSON", address: saved(json, "application/json"), name: name("json") },
    { title: "CSV", address: saved(toCsv(result), "text/csv"), name: name("csv") },
  ];
}
