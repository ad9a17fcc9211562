// Plays the song that is shown. Where the browser cannot play it, the position still moves.

/** @import { Song } from "../state/song.js" */
/** @import { State } from "../state/state.js" */

/** Dispatches `time` whenever its position or state changes, `play`, and `unplayable` at an error. */
export class Player extends EventTarget {
  #audio = new Audio();
  #time = 0;
  /** @type {Song|null} */ #song = null;

  /** @param {State} state */
  constructor(state) {
    super();
    this.state = state;
    this.#audio.preservesPitch = true;
    for (const name of ["play", "pause", "seeked", "error"]) {
      this.#audio.addEventListener(name, () => this.#tell());
    }
    this.#audio.addEventListener("ended", () => {
      if (this.#loop()) this.toggle();
      this.#tell();
    });
    this.#audio.addEventListener("error", () => this.dispatchEvent(new Event("unplayable")));
    this.#audio.addEventListener("loadedmetadata", () => {
      this.#audio.currentTime = this.#time;
    });
    this.#audio.addEventListener("durationchange", () => state.changed());
    this.#audio.addEventListener("play", () => {
      this.dispatchEvent(new Event("play"));
      this.#frame();
    });
  }

  /** Take another song, at the position where it was left. @param {Song|null} song */
  load(song) {
    this.#audio.pause();
    this.#song = song;
    this.#time = song?.position ?? 0;
    const address = song && !song.live ? song.address : "";
    if (address) this.#audio.src = address;
    else {
      this.#audio.removeAttribute("src");
      this.#audio.load(); // forgets the error of the song before
    }
    this.#tell();
  }

  /** Whether the browser can play the song. */
  get able() {
    return this.#audio.hasAttribute("src") && !this.#audio.error;
  }

  get playing() {
    return !this.#audio.paused && !this.#audio.ended;
  }

  /** Seconds that the browser plays of the file, or null where it does not know. */
  get length() {
    const { duration } = this.#audio;
    return this.able && Number.isFinite(duration) ? duration : null;
  }

  /** The position in seconds. */
  get time() {
    return this.able && this.#audio.readyState ? this.#audio.currentTime : this.#time;
  }

  /** @param {number} seconds */
  seek(seconds) {
    const end = this.#song?.extent ?? 0;
    this.#time = Math.max(0, Math.min(seconds, end));
    if (this.able && this.#audio.readyState) this.#audio.currentTime = this.#time;
    this.#tell();
  }

  toggle() {
    if (this.playing) this.#audio.pause();
    else if (this.able) {
      const { volume, speed } = this.state.settings;
      this.set(volume, speed);
      this.#audio.play().catch(() => this.#tell());
    }
  }

  /** @param {number} volume 0 to 1 @param {number} speed */
  set(volume, speed) {
    this.#audio.volume = volume;
    this.#audio.playbackRate = speed;
  }

  /** Go back to the start of the selection, if it is looped and has come to its end. */
  #loop() {
    const { loop, selection } = this.state;
    const due = loop && selection && (this.time >= selection.to || this.#audio.ended);
    if (due) this.seek(selection.from);
    return due;
  }

  #frame() {
    this.#loop();
    this.#tell();
    if (this.playing) requestAnimationFrame(() => this.#frame());
  }

  #tell() {
    this.dispatchEvent(new Event("time"));
  }
}
