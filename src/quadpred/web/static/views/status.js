// What the page says of a prediction.

/** @import { Prediction, Song } from "../state/song.js" */

import { clock, percent, quadrantName } from "../words.js";

const UPLOAD = 0.2; // of the progress bar

/** How far a prediction is. @param {Prediction} prediction @returns {string} */
export function statusText(prediction) {
  const { status, note, sent, error, rows, progress, duration } = prediction;
  if (status === "done") return summaryText(prediction);
  if (status === "failed") return error;
  if (status === "missing") return note || "Not predicted with this model";
  if (note) return note;
  if (status === "waiting") return "Waiting to be uploaded";
  if (status === "sending") return `Uploading ${percent(sent)}`;
  if (status === "live") return `Recording ${clock(progress.seconds)}`;
  if (!rows.length) return "Waiting for the first second";
  return `Predicting ${clock(rows.length)}${duration ? ` of about ${clock(duration)}` : ""}`;
}

/** How long a song is, or seems to be; empty where that is unknown. @param {Song} song */
export function lengthText({ length, duration }) {
  if (length !== null) return clock(length);
  return duration === null ? "" : `about ${clock(duration)}`;
}

/** The most probable quadrant in words. @param {Prediction} prediction */
export function summaryText({ summary, original }) {
  if (!summary) return "Not known";
  if (summary.winner === null) return "Silent";
  const doubt = summary.uncertain ? " · uncertain" : "";
  const adjusted = original ? " · adjusted" : "";
  return `${quadrantName(summary.winner)} · ${percent(summary.confidence)}${doubt}${adjusted}`;
}

/** The share of the work that is done, or null where it is not known. */
/** @param {Prediction} prediction @returns {number|null} */
export function share({ status, sent, rows, duration }) {
  if (status === "waiting") return 0;
  if (status === "sending") return UPLOAD * sent;
  if (status !== "running" || !duration) return null;
  return Math.min(1, UPLOAD + ((1 - UPLOAD) * rows.length) / duration);
}

/**
 * What is predicted for a second.
 * @param {Prediction} prediction
 * @param {number} second
 */
export function secondText(prediction, second) {
  const { rows } = prediction;
  const k = rowAt(prediction, second);
  if (k === null) {
    if (prediction.result) return "too short to predict";
    return prediction.open ? "not predicted yet" : "not predicted";
  }
  if (rows.silent[k]) return "silent";
  const winner = rows.winner(k);
  const doubt = rows.uncertain[k] ? ", uncertain" : "";
  const adjusted = rows.adjusted[k] ? ", adjusted" : "";
  return `${quadrantName(winner)} ${percent(rows.quadrant[k][winner])}${doubt}${adjusted}`;
}

/**
 * Everything that is predicted for a second.
 * @param {Prediction} prediction
 * @param {number} second
 */
export function secondDetails(prediction, second) {
  const { rows } = prediction;
  const k = rowAt(prediction, second);
  const text = secondText(prediction, second);
  if (k === null || rows.silent[k]) return text;
  const others = rows.quadrant[k]
    .map((probability, c) => `Q${c + 1} ${percent(probability)}`)
    .filter((_, c) => c !== rows.winner(k));
  const [arousal, valence] = [rows.arousal[k][1], rows.valence[k][1]].map(percent);
  return `${text} (${others.join(", ")}) · arousal ${arousal}, valence ${valence}`;
}

/**
 * The row of a second, or null where it is not predicted. A rest of less than half a second has no
 * row. The end of a song without such a rest belongs to its last row.
 * @param {Prediction} prediction
 * @param {number} second
 */
export function rowAt({ rows, result }, second) {
  const k = Math.floor(second);
  const last = rows.length - 1;
  if (k < 0 || last < 0) return null;
  if (k <= last) return k;
  return result && result.duration <= rows.length && second <= rows.length + 1 ? last : null;
}

/**
 * Where the page can take a song's sound from.
 * @param {Song} song
 */
export const soundMissing = (song) => !song.file && !song.live;
