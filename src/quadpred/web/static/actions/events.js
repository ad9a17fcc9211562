// One stream of server-sent events for all jobs of this browser.

/** @import { Job, RowsMessage } from "./api.js" */

const PAUSE = 2000; // milliseconds before a closed stream is opened again

/**
 * What the stream calls.
 * @typedef {object} Listener
 * @property {(known: Job[], asked: number) => void} jobs all jobs that the server knows, at every
 *   connection, and when it was asked for at the earliest
 * @property {(data: {job: string, seconds: number, duration: number|null}) => void} progress
 * @property {(data: RowsMessage & {job: string}) => void} rows
 * @property {(data: Job & {job: string}) => void} done
 * @property {(data: Job & {job: string}) => void} failed
 * @property {() => void} opened
 * @property {() => void} lost
 */

export class Events {
  /** @type {EventSource|null} */ #source = null;
  #asked = 0; // when the last connection was begun, in milliseconds

  /**
   * @param {string} client
   * @param {Listener} listener
   */
  constructor(client, listener) {
    this.client = client;
    this.listener = listener;
  }

  /** Whether the stream is open, or being opened again. */
  get active() {
    return this.#source !== null;
  }

  close() {
    this.#source?.close();
    this.#source = null;
  }

  /** Open the stream; the server sends everything that it still knows. */
  open() {
    this.#source?.close();
    this.#asked = performance.now();
    const source = new EventSource(`v1/events?client=${this.client}`);
    this.#source = source;
    /** @param {string} name @param {(data: any) => void} act */
    const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
    on("jobs", ({ jobs }) => this.listener.jobs(jobs, this.#asked));
    on("progress", this.listener.progress);
    on("rows", this.listener.rows);
    on("done", this.listener.done);
    on("failed", this.listener.failed);
    source.onopen = this.listener.opened;
    source.onerror = () => {
      this.#asked = performance.now(); // the browser asks again
      this.listener.lost();
      if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
      setTimeout(() => source === this.#source && this.open(), PAUSE);
    };
  }
}
