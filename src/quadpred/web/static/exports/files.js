// The files that the user can save, made from what the page holds, without the server.

/** @import { Prediction, Song } from "../state/song.js" */
/** @import { State } from "../state/state.js" */

import { make } from "../dom.js";
import { audacity, jams } from "./annotations.js";
import { picture } from "./picture.js";
import { labelsTable, partsTable, repeated, rowsTable, summaryTable } from "./tables.js";
import { zip } from "./zip.js";

/** @typedef {import("../actions/api.js").Result} Result */

/**
 * The forms of a prediction: a title, the end of the file's name, and what makes it.
 * @type {{title: string, ending: string, write: (song: Song, prediction: Prediction, result: Result) => Blob|Promise<Blob>}[]}
 */
export const FORMATS = [
  {
    title: "JSON",
    ending: ".json",
    write: (_song, _prediction, result) => text(`${JSON.stringify(result)}\n`, "application/json"),
  },
  {
    title: "CSV",
    ending: ".csv",
    write: (_song, _prediction, result) => text(rowsTable(result), "text/csv"),
  },
  { title: "PNG", ending: ".png", write: (song, prediction) => picture(song, prediction) },
  {
    title: "JAMS",
    ending: ".jams",
    write: (_song, _prediction, result) => text(jams(result), "application/json"),
  },
  {
    title: "Audacity labels",
    ending: ".labels.txt",
    write: (_song, _prediction, result) => text(audacity(result), "text/plain"),
  },
];

/**
 * Save a prediction in one form. Where models are compared, the name says which one it is of; it
 * also says where values are adjusted.
 * @param {Song} song
 * @param {Prediction} prediction
 * @param {typeof FORMATS[number]} format
 * @param {boolean} compared
 */
export async function saveOne(song, prediction, { ending, write }, compared) {
  if (!prediction.result) return;
  const name = stem(song.name) + which(prediction, compared);
  save(name + ending, await write(song, prediction, prediction.result));
}

/**
 * Save everything: each finished prediction of the chosen models in all forms, a summary, and the
 * labels of the user.
 * @param {State} state
 * @param {(done: number, all: number) => void} progress is called before each prediction
 * @returns {Promise<string>} a warning, or nothing
 */
export async function saveAll(state, progress) {
  const models = [state.model, ...(state.other ? [state.other] : [])];
  const all = state.songs.flatMap((song) =>
    models.map((model) => ({ song, prediction: state.prediction(song, model) })),
  );
  const finished = all.flatMap(({ song, prediction }) => {
    const { result } = prediction;
    return result ? [{ song, prediction, result, outdated: state.outdated(prediction) }] : [];
  });
  // All is of this moment, though the user may give labels before the last file is made.
  const tables = [
    { name: "summary.csv", content: text(summaryTable(finished), "text/csv") },
    ...labels(state.songs),
  ];
  const warning = repeated(state.songs);
  /** @type {{name: string, content: Blob}[]} */ const files = [];
  const taken = new Set(["summary", "labels", "parts"]);
  for (const [done, { song, prediction, result }] of finished.entries()) {
    progress(done, finished.length);
    const base = free(stem(song.path) + which(prediction, models.length > 1), taken);
    for (const { ending, write } of FORMATS) {
      files.push({ name: base + ending, content: await write(song, prediction, result) });
    }
  }
  save("quadpred.zip", await zip([...files, ...tables]));
  return warning;
}

/**
 * Save the labels of the user: of songs as labels.csv, and those of parts, if there are any, beside
 * it in a zip file.
 * @param {Song[]} songs
 * @returns {Promise<string>} a warning, or nothing
 */
export async function saveLabels(songs) {
  const files = labels(songs);
  if (files.length === 1) save(files[0].name, files[0].content);
  else if (files.length) save("labels.zip", await zip(files));
  return repeated(songs.filter((song) => song.corrections.length));
}

/** @param {Song[]} songs */
function labels(songs) {
  const corrected = songs.filter((song) => song.corrections.length);
  const parts = corrected.some((song) => song.corrections.some(({ from }) => from !== null));
  const whole = corrected.some((song) => song.corrected !== null);
  return [
    ...(whole ? [{ name: "labels.csv", content: text(labelsTable(songs), "text/csv") }] : []),
    ...(parts ? [{ name: "parts.csv", content: text(partsTable(songs), "text/csv") }] : []),
  ];
}

/** @param {string} name @param {Blob} content */
export function save(name, content) {
  const href = URL.createObjectURL(content);
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000); // the browser reads it after the click
}

/** @param {Prediction} prediction @param {boolean} compared */
const which = ({ model, original }, compared) =>
  (compared ? `.${model.name}` : "") + (original ? ".adjusted" : "");

/** @param {string} content @param {string} type */
const text = (content, type) => new Blob([content], { type: `${type};charset=utf-8` });

/** @param {string} name */
const stem = (name) => name.replace(/\.[^./]*$/, "");

/** A name that no other file has, in upper or lower case. */
/** @param {string} name @param {Set<string>} taken */
function free(name, taken) {
  let [found, number] = [name, 1];
  while (taken.has(found.toLowerCase())) {
    number += 1;
    found = `${name} (${number})`;
  }
  taken.add(found.toLowerCase());
  return found;
}
