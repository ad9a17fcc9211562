// What the user does with songs.

/** @import { Correction, Edit, Song } from "../state/song.js" */
/** @import { Removal, Settings, State } from "../state/state.js" */
/** @import { Database } from "../state/database.js" */
/** @import { Found } from "./files.js" */
/** @import { Player } from "./player.js" */
/** @import { Queue } from "./queue.js" */
/** @import { Storage } from "./storage.js" */

import { edited, Song as NewSong } from "../state/song.js";
import { listed } from "../words.js";
import { fingerprint, randomName } from "./files.js";
import { record } from "./live.js";
import { EMPTY, UNREADABLE, unchanged } from "./queue.js";

const EXAMPLE = "static/example.ogg";
const EXAMPLE_NAME = "Ode to Joy (example).ogg";
const ALL_UNREADABLE =
  "cannot be read: they are empty, or were changed, moved or deleted after you chose them.";

export class Songs {
  /** What would be lost now: files that are still read, recordings that are not saved. */ unsaved = 0;
  #starting = false; // a recording
  #edits = 0; // what the user has changed in this tab
  /**
   * Songs that another tab has removed, and may bring back: as they were when this tab learned of it.
   * @type {Map<string, Song>}
   */
  #removed = new Map();

  /**
   * @param {State} state
   * @param {Storage} storage
   * @param {Queue} queue
   * @param {Player} player
   */
  constructor(state, storage, queue, player) {
    this.state = state;
    this.storage = storage;
    this.queue = queue;
    this.player = player;
    for (const event of ["play", "unplayable"]) {
      player.addEventListener(event, () => this.#checkFile());
    }
  }

  /**
   * Let go of the shown song's file if it is gone or has changed. Chromium finds such a file
   * unplayable; Firefox plays what it holds now.
   */
  async #checkFile() {
    const { state, player } = this;
    const song = state.shown;
    if (!song?.file || song.recorded || (await unchanged(song))) return;
    song.release();
    song.file = null;
    if (song === state.shown) player.load(song);
    state.changed();
  }

  /**
   * Add files and predict them. A file that is in the list already is played from now on, and
   * predicted where it was not. One that *Undo* can bring back is brought back.
   * @param {Found[]} found
   */
  async add(found) {
    if (!found.length) return this.tell("There is no audio file in what you chose.");
    await this.#guard(this.#add(found));
  }

  /** Have the browser ask before it leaves the page until this is done. @param {Promise<void>} work */
  async #guard(work) {
    this.unsaved += 1;
    await work.finally(() => {
      this.unsaved -= 1;
    });
  }

  /** @param {Found[]} found */
  async #add(found) {
    const { state } = this;
    /** @type {File[]} */ const unreadable = [];
    /** @type {Song|null} */
    let first = null;
    /** @type {Set<Song>} */ const taken = new Set(); // copies in several folders are songs of their own
    for (const { file, path } of found) {
      let print;
      try {
        print = await fingerprint(file);
      } catch {
        unreadable.push(file);
        continue;
      }
      /** @param {Song} song */
      const same = (song) =>
        song.fingerprint === print && samePlace(song.path, path) && !taken.has(song);
      let song = state.songs.find(same);
      if (!song) {
        song = this.#takeRemoved(same);
        song ??= new NewSong(randomName(), file.name, path, print, this.#now());
        this.#list([song]);
      }
      taken.add(song);
      if (path.length > song.path.length) {
        song.path = path; // below a folder that was chosen now
        this.storage.update(song, ["path"]);
      }
      await this.#give(song, file);
      if (!state.songs.includes(song)) continue; // removed in the meantime
      if (!state.shown || (!first && !state.recording)) this.show(song);
      first ??= song;
      state.changed();
    }
    if (unreadable.length) this.#tellUnreadable(unreadable);
  }

  /** @param {File[]} files at least one */
  #tellUnreadable(files) {
    const names = listed(files.map(({ name }) => name));
    if (files.length > 1) this.tell(`${names} ${ALL_UNREADABLE}`);
    else this.tell(`${names}: ${files[0].size ? UNREADABLE : EMPTY}`);
  }

  /** Milliseconds, later than those of all songs, so that their order is kept. */
  #now() {
    return Math.max(Date.now(), ...this.state.songs.map(({ added }) => added + 1));
  }

  /** Add the example that comes with the page. */
  async addExample() {
    const response = await fetch(EXAMPLE).catch(() => null);
    if (!response?.ok)
      return this.tell("The example could not be loaded. Is quadpred serve running?");
    const file = new File([await response.blob()], EXAMPLE_NAME, { type: "audio/ogg" });
    await this.add([{ file, path: EXAMPLE_NAME }]);
  }

  /**
   * Take the file of a song that was restored without it, if it is the same. A changed file is
   * another song. It takes the place of this one where nothing is known of that.
   * @param {Song} song
   * @param {File} file
   */
  async attach(song, file) {
    const print = await fingerprint(file).catch(() => "");
    if (!this.state.songs.includes(song)) return; // removed in the meantime
    if (!print) return this.#tellUnreadable([file]);
    if (print !== song.fingerprint) {
      const predicted = [...song.predictions.values()].some(
        ({ status, job, result }) => status === "sending" || job || result,
      );
      const labelled = song.marks.length || song.corrections.length;
      if (predicted || labelled || file.name !== song.name) {
        const before = predicted ? "predicted" : "chosen";
        return this.tell(`${file.name} is not the file that was ${before} as ${song.name}.`);
      }
    }
    if (this.state.message?.error) this.state.message = null;
    const same = print === song.fingerprint;
    await this.#give(same ? song : this.#replace(song, print), file);
    this.state.changed();
  }

  /** Put a song in the place of one whose file has changed. @param {Song} song @param {string} print */
  #replace(song, print) {
    const { state } = this;
    this.#edits += 1;
    const made = new NewSong(randomName(), song.name, song.path, print, song.added);
    this.queue.drop(song);
    this.storage.remove(song);
    this.storage.save(made);
    state.songs = state.songs.map((each) => (each === song ? made : each));
    if (state.shown === song) this.show(made);
    return made;
  }

  /** @param {Song} song @param {File} file */
  async #give(song, file) {
    const same = song.file && (await unchanged(song));
    if (!this.state.songs.includes(song)) return; // removed in the meantime
    if (!same) {
      song.release();
      song.file = file;
      if (song === this.state.shown) this.player.load(song);
    }
    this.predict(song);
    this.retry([song]);
  }

  /** Predict a song with the chosen models. @param {Song} song */
  predict(song) {
    this.queue.predict(song, this.state.model);
    if (this.state.other) this.queue.predict(song, this.state.other);
  }

  /** @param {Song|null} song */
  show(song) {
    const { state, player } = this;
    if (song === state.shown) return;
    this.keepPosition();
    state.shown = song;
    state.settings.shown = song?.id ?? "";
    this.storage.saveSettings({ shown: state.settings.shown });
    state.selection = null;
    state.loop = false;
    state.viewport.fit();
    player.load(song);
    this.#checkFile();
    state.changed();
  }

  /** Remember where the song that is shown was played last. */
  keepPosition() {
    const { shown } = this.state;
    if (!shown || shown.live || shown.position === this.player.time) return;
    shown.position = this.player.time;
    this.storage.savePosition(shown);
  }

  /** @param {Song} song @param {Edit} edit */
  #edit(song, edit) {
    this.#edits += 1;
    this.keepPosition();
    this.storage.edit(song, edit);
    this.state.changed();
  }

  /** @param {Partial<Settings>} settings */
  choose(settings) {
    const { state } = this;
    Object.assign(state.settings, settings);
    this.storage.saveSettings(settings);
    if ("model" in settings || "other" in settings) {
      for (const song of state.songs) this.predict(song);
    }
    state.changed();
  }

  /** Remove songs, until the user takes that back. @param {Song[]} songs */
  remove(songs) {
    const { state } = this;
    const gone = songs.filter((song) => !song.live);
    if (!gone.length) return;
    this.#edits += 1;
    this.keepPosition();
    const place = state.songs.indexOf(gone[0]);
    for (const song of gone) {
      this.queue.drop(song);
      this.storage.remove(song);
    }
    state.songs = state.songs.filter((song) => !gone.includes(song));
    if (state.shown && gone.includes(state.shown)) {
      this.show(state.songs[Math.min(place, state.songs.length - 1)] ?? null);
    }
    /** @type {Removal} */
    const removal = { songs: gone, undo: () => this.#restore(removal.songs) };
    state.removals.push(removal);
    state.changed();
  }

  /** @param {Song[]} songs */
  #restore(songs) {
    this.#list(songs);
    for (const song of songs) this.predict(song);
    this.show(songs[0]);
    this.state.changed();
  }

  /** Put new or removed songs into the list, in the order in which songs were added. @param {Song[]} songs */
  #list(songs) {
    const { state } = this;
    this.#edits += 1;
    state.songs = [...state.songs, ...songs].sort((one, other) => one.added - other.added);
    for (const song of songs) this.storage.save(song);
  }

  /**
   * The song that was removed last of those that *Undo* can bring back, if there is one. From now on,
   * *Undo* does not bring it back a second time.
   * @param {(song: Song) => boolean} is
   */
  #takeRemoved(is) {
    const { state } = this;
    const removed = state.removals.toReversed().flatMap(({ songs }) => songs);
    const found = removed.find(is);
    for (const removal of state.removals) {
      removal.songs = removal.songs.filter((song) => song !== found);
    }
    state.removals = state.removals.filter(({ songs }) => songs.length);
    return found;
  }

  /**
   * Take over what another tab has saved of a song, except where this tab works on it, or could not
   * save what it has.
   * @param {string} id
   * @param {Database} database
   * @returns {Promise<void>}
   */
  async refresh(id, database) {
    const { state } = this;
    const edits = this.#edits;
    const saved = await database.find(id);
    if (edits !== this.#edits) return this.refresh(id, database); // what was read may be older
    if (this.storage.owes(id)) return;
    let here = state.song(id);
    if (saved && !here) {
      const mine = this.#takeRemoved((song) => song.id === id);
      here = mine ?? this.#removed.get(id) ?? saved;
      this.#removed.delete(id);
      state.songs.push(here);
      this.storage.resume(here);
      if (!state.shown) this.show(here);
    }
    if (!saved && here && !here.live) {
      this.queue.drop(here);
      this.#removed.set(id, here);
      state.songs = state.songs.filter((song) => song !== here);
      if (state.shown === here) this.show(state.songs[0] ?? null);
    } else if (saved && here) {
      here.path = saved.path;
      Object.assign(here, edited(saved, here.edits));
      if (saved.peaks.seconds > here.peaks.seconds) here.peaks = saved.peaks;
      for (const [key, prediction] of saved.predictions) {
        const mine = here.predictions.get(key);
        const better = prediction.result || !(mine?.open || mine?.result);
        if (better) here.predictions.set(key, prediction);
      }
      this.predict(here);
    }
    state.changed();
  }

  /** Try what has failed again. @param {Song[]} songs */
  retry(songs) {
    for (const song of songs) {
      for (const prediction of song.predictions.values()) {
        if (prediction.status === "failed") this.queue.retry(song, prediction);
      }
    }
  }

  /** Start the microphone. */
  async record() {
    const { state } = this;
    if (this.#starting) return;
    this.#starting = true;
    this.keepPosition();
    const time = new Date().toLocaleTimeString();
    const name = `Microphone ${time}`.replaceAll(":", ".");
    const song = new NewSong(randomName(), `${name}.wav`, `${name}.wav`, "", this.#now());
    try {
      await record(song, state, () => this.#guard(this.#recorded(song)));
    } catch (error) {
      return this.tell(error instanceof Error ? error.message : String(error));
    } finally {
      this.#starting = false;
    }
    state.songs.push(song);
    this.show(song);
  }

  /** Save a recording that has ended. @param {Song} song */
  async #recorded(song) {
    const { state, storage } = this;
    if (song === state.shown) this.player.load(song);
    if (song.file) song.fingerprint = await fingerprint(song.file);
    await storage.save(song);
    this.predict(song); // with the models that did not listen
  }

  /**
   * Store or take back (with null) what the user says of the song or of the selection.
   * @param {Song} song
   * @param {{from: number, to: number}|null} range
   * @param {number|null} quadrant
   */
  correct(song, range, quadrant) {
    const [from, to] = range ? [Math.floor(range.from), Math.ceil(range.to)] : [null, null];
    const known = song.corrections.find((each) => each.from === from && each.to === to);
    const given = Math.max(Date.now(), (known?.given ?? 0) + 1); // a clock may be set back
    /** @type {Correction[]} */
    const made = quadrant === null ? [] : [{ from, to, quadrant, given }];
    this.#edit(song, ({ marks, corrections }) => {
      const before = corrections.find((each) => each.from === from && each.to === to);
      if ((before?.given ?? 0) > given) return { marks, corrections }; // of another tab
      return { marks, corrections: [...corrections.filter((each) => each !== before), ...made] };
    });
  }

  /** Mark a moment, or take the mark away. @param {Song} song @param {number} second */
  mark(song, second) {
    const at = Math.floor(second);
    const made = song.marks.includes(at) ? [] : [at];
    this.#edit(song, ({ marks, corrections }) => {
      const others = marks.filter((each) => each !== at);
      return { marks: [...others, ...made].sort((a, b) => a - b), corrections };
    });
  }

  /** Show a message. @param {string} text */
  tell(text, error = true) {
    this.state.message = { text, error };
    this.state.changed();
  }
}

/**
 * Whether two paths may be of one file, where different folders above it were chosen.
 * @param {string} one
 * @param {string} other
 */
const samePlace = (one, other) =>
  one === other || one.endsWith(`/${other}`) || other.endsWith(`/${one}`);
