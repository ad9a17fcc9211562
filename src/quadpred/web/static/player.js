// Sound, its position, and its outline. Where the browser cannot play, the position still moves.

const DECODED_RATE = 8000; // Hz: enough for an outline, and little memory for a long song
const PEAKS_A_SECOND = 20;

/** Plays one file at a time; tells `time` whenever its position or state changes. */
export class Player extends EventTarget {
  #audio = new Audio();
  #time = 0;
  #limit = 0;

  constructor() {
    super();
    const tell = () => this.dispatchEvent(new Event("time"));
    for (const name of ["play", "pause", "ended", "seeked", "error"]) {
      this.#audio.addEventListener(name, tell);
    }
    this.#audio.addEventListener("play", () => {
      const frame = () => {
        tell();
        if (this.playing) requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
  }

  /** Take another file, given by its address, of `seconds`. */
  load(address) {
    this.#audio.pause();
    this.#time = 0;
    if (address) this.#audio.src = address;
    else this.#audio.removeAttribute("src");
  }

  set limit(seconds) {
    this.#limit = seconds;
  }

  get able() {
    return !this.#audio.error && this.#audio.hasAttribute("src");
  }

  get playing() {
    return !this.#audio.paused && !this.#audio.ended;
  }

  get time() {
    return this.able && this.#audio.readyState ? this.#audio.currentTime : this.#time;
  }

  seek(seconds) {
    this.#time = Math.max(0, Math.min(seconds, this.#limit));
    if (this.able) this.#audio.currentTime = this.#time;
    this.dispatchEvent(new Event("time"));
  }

  toggle() {
    if (this.playing) this.#audio.pause();
    else if (this.able) this.#audio.play().catch(() => this.dispatchEvent(new Event("time")));
  }

  pause() {
    this.#audio.pause();
  }
}

/** An outline of a sound: the loudest sample in each part of a second. */
export class Outline {
  peaks = [];
  #part = 0;
  #count = 0;

  /** Take samples at `rate` Hz. */
  add(samples, rate) {
    const long = rate / PEAKS_A_SECOND;
    for (const sample of samples) {
      this.#part = Math.max(this.#part, Math.abs(sample));
      this.#count += 1;
      if (this.#count >= long) {
        this.peaks.push(this.#part);
        this.#part = 0;
        this.#count -= long;
      }
    }
  }

  get seconds() {
    return this.peaks.length / PEAKS_A_SECOND;
  }

  /** The loudest between two times in seconds, 0 where there is nothing. */
  between(from, to) {
    const first = Math.floor(from * PEAKS_A_SECOND);
    const part = this.peaks.slice(first, Math.max(first + 1, Math.ceil(to * PEAKS_A_SECOND)));
    return Math.max(0, ...part);
  }

  get loudest() {
    return this.peaks.reduce((most, peak) => Math.max(most, peak), 0);
  }
}

/** The outline of a file, or null if the browser cannot decode it. */
export async function outline(file) {
  try {
    const context = new OfflineAudioContext(1, 1, DECODED_RATE);
    const sound = await context.decodeAudioData(await file.arrayBuffer());
    const made = new Outline();
    made.add(sound.getChannelData(0), sound.sampleRate);
    return made;
  } catch {
    return null;
  }
}
