// Requests to the server. Whatever goes wrong is a `Problem` with one line for the user.

/** @import { Block } from "../state/rows.js" */
/** @import { EmbeddingBlock } from "../state/embeddings.js" */
/** @import { PeakBlock } from "../state/peaks.js" */

/**
 * How good a model was on clips of music that it was not trained on: the share of clips with the
 * right quadrant, and macro F1 with its 95 % confidence interval.
 * @typedef {object} Score
 * @property {string} music what the clips are
 * @property {number} clips
 * @property {number} accuracy
 * @property {number} f1
 * @property {number} f1_low
 * @property {number} f1_high
 */

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {string} speech language of the speech that the encoder was trained on
 * @property {string} music language of the music that the model was trained on
 * @property {string} sha256
 * @property {boolean} experimental whether it is no better than chance
 * @property {Score[]} [scores]
 */

/** @typedef {{name: string, classes: string[], titles: string[], colours: string[]}} Head */
/** @typedef {{bytes: number, seconds: number}} Limits */
/** @typedef {{models: Model[], heads: Head[], limits: Limits, quadpred: string}} Offer */

/**
 * A finished prediction, as `quadpred predict --json` writes it. The page adds `adjusted` where the
 * labels of the user have changed it: how many labels, and which seconds.
 * @typedef {object} Result
 * @property {number} schema
 * @property {string} quadpred version
 * @property {string} source name of the file
 * @property {number} duration in seconds
 * @property {{name: string, sha256: string, speech: string, music: string, min_margin_second: number, min_margin_clip: number}} model
 * @property {string|null} damage
 * @property {string} winner
 * @property {number} confidence
 * @property {boolean} uncertain
 * @property {Record<string, Record<string, number>>} means
 * @property {number[]} times
 * @property {boolean[]} silent
 * @property {boolean[]} uncertain_seconds
 * @property {{classes: string[], rows: number[][]}} quadrant
 * @property {{classes: string[], rows: number[][]}} arousal
 * @property {{classes: string[], rows: number[][]}} valence
 * @property {{labels: number, seconds: boolean[]}} [adjusted]
 */

/**
 * A part of a song, as `quadpred moments` writes it; `start` and `end` in seconds.
 * @typedef {object} Moment
 * @property {string} kind "segment", or why it stands out
 * @property {number} start
 * @property {number} end
 * @property {string} quadrant
 * @property {boolean} uncertain
 */

/** What makes a browser play another second or track. @typedef {"tracks"|"late"|"header"|"variable"} Difference */

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {"queued"|"running"|"done"|"failed"} status
 * @property {{seconds: number, duration: number|null}} progress
 * @property {string|null} damage
 * @property {{status: number, detail: string}|null} error
 * @property {Moment[]|null} [moments]
 * @property {Difference[]|null} [playback]
 * @property {Result|null} [result]
 */

/** @typedef {Block & {peaks?: PeakBlock, embeddings?: EmbeddingBlock}} RowsMessage */

export const NO_ANSWER = "The server does not answer. Is quadpred serve running?";

export class Problem extends Error {
  /**
   * @param {number} status of HTTP, or 0 if there was no answer
   * @param {string} detail
   * @param {number|null} retry seconds to wait, if the server names them
   */
  constructor(status, detail, retry = null) {
    super(detail);
    this.status = status;
    this.retry = retry;
  }
}

/**
 * The models, heads and limits of the server.
 * @returns {Promise<Offer>}
 */
export const offer = () => get("v1/models");

/**
 * End a job and have the server forget it.
 * @param {string} id
 */
export function forget(id) {
  fetch(`v1/predictions/${id}`, { method: "DELETE", keepalive: true }).catch(() => {}); // it expires
}

/**
 * Upload a file for prediction; `sent` is called with the share that was sent.
 * @param {File} file
 * @param {Model} model
 * @param {string} client
 * @param {(share: number) => void} sent
 * @returns {{answer: Promise<Job>, cancel: () => void}}
 */
export function upload(file, model, client, sent) {
  const { speech, music } = model;
  const query = new URLSearchParams({ speech, music, client, embeddings: "true" });
  const form = new FormData();
  form.append("file", file, file.name);
  const request = new XMLHttpRequest(); // fetch does not tell how much was sent
  /** @type {Promise<Job>} */
  const answer = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => sent(event.loaded / (event.total || 1));
    request.onerror = () => reject(new Problem(0, NO_ANSWER));
    request.onabort = () => reject(new Problem(0, "The upload was cancelled."));
    request.onload = () => {
      if (request.status < 300) {
        try {
          resolve(parsed(request.responseText));
        } catch (error) {
          reject(error);
        }
      } else {
        const retry = Number(request.getResponseHeader("Retry-After")) || null;
        reject(problem(request.status, request.responseText, retry));
      }
    };
  });
  request.open("POST", `v1/predictions?${query}`);
  request.send(form);
  return { answer, cancel: () => request.abort() };
}

/** @param {string} address */
async function get(address) {
  let response;
  let text;
  try {
    response = await fetch(address);
    text = await response.text();
  } catch {
    throw new Problem(0, NO_ANSWER);
  }
  if (!response.ok) throw problem(response.status, text);
  return parsed(text);
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem(0, NO_ANSWER); // another program has answered
  }
}

/**
 * @param {number} status
 * @param {string} text
 * @param {number|null} retry
 */
function problem(status, text, retry = null) {
  try {
    return new Problem(status, JSON.parse(text).detail ?? `Error ${status}`, retry);
  } catch {
    return new Problem(status, `The server answered with error ${status}.`, retry);
  }
}
