// Tables: the rows of a song, the summary of all songs, and the labels that the user gave.

/** @import { Result } from "../actions/api.js" */
/** @import { Song } from "../state/song.js" */

import { listed } from "../words.js";

const QUADRANTS = ["Q1", "Q2", "Q3", "Q4"];
// What spreadsheets would run as a formula; summaries have an apostrophe before it.
const FORMULA = /^'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]/;

/**
 * The rows of a prediction as CSV, one per second, as the server writes them. Where the labels of
 * the user have changed seconds, `adjusted` says which.
 * @param {Result} result
 */
export function rowsTable(result) {
  const { adjusted } = result;
  const head = ["second", ...QUADRANTS, "arousal", "valence", "uncertain", "silent"];
  if (adjusted) head.push("adjusted");
  const rows = result.quadrant.rows.map((quadrant, k) => [
    k,
    ...quadrant,
    result.arousal.rows[k][1],
    result.valence.rows[k][1],
    result.uncertain_seconds[k],
    result.silent[k],
    ...(adjusted ? [adjusted.seconds[k]] : []),
  ]);
  return table([head, ...rows]);
}

/**
 * One row per song, with the columns of the summary of `quadpred predict FOLDER`, and the label of
 * the user in `corrected`. `adjusted` says whether labels have changed the values, and
 * `earlier_model` whether the server now has another file of the model. The browser does not know
 * the folder, nor the checksum of the coded audio: `file` and `sha256` are empty.
 * @param {{song: Song, result: Result, outdated: boolean}[]} songs
 */
export function summaryTable(songs) {
  const head = ["path", "duration", "quadrant", ...QUADRANTS, "arousal", "valence", "confidence"];
  head.push("uncertain", "damage", "model", "version", "sha256", "file");
  head.push("corrected", "adjusted", "earlier_model");
  const rows = songs.map(({ song, result, outdated }) => [
    FORMULA.test(song.path) ? `'${song.path}` : song.path,
    result.duration,
    result.winner,
    ...QUADRANTS.map((name) => result.means.quadrant[name]),
    result.means.arousal.positive,
    result.means.valence.positive,
    result.confidence,
    result.uncertain,
    result.damage ?? "",
    result.model.name,
    result.quadpred,
    "",
    "",
    label(song.corrected),
    result.adjusted !== undefined,
    outdated,
  ]);
  return table([head, ...rows]);
}

/**
 * The songs that the user labelled, as `quadpred adapt` reads them. Put it into the folder that
 * the paths start from.
 * @param {Song[]} songs
 */
export function labelsTable(songs) {
  const labelled = songs.filter((song) => song.corrected !== null);
  return table([
    ["file", "quadrant"],
    ...labelled.map((song) => [song.path, label(song.corrected)]),
  ]);
}

/**
 * The parts of songs that the user labelled.
 * @param {Song[]} songs
 */
export function partsTable(songs) {
  const rows = songs.flatMap((song) =>
    song.corrections
      .filter(({ from }) => from !== null)
      .map(({ from, to, quadrant }) => [song.path, from, to, label(quadrant)]),
  );
  return table([["file", "start", "end", "quadrant"], ...rows]);
}

/**
 * A warning of songs that these tables do not tell apart; empty where there are none.
 * @param {Song[]} songs
 */
export function repeated(songs) {
  const paths = songs.map(({ path }) => path);
  const twice = new Set(paths.filter((path, i) => paths.indexOf(path) !== i));
  if (!twice.size) return "";
  return (
    `Several songs have the same path: ${listed([...twice])}. Before you use the tables, add the ` +
    "folders of these songs to their paths. quadpred adapt refuses a path that is listed twice."
  );
}

/** @param {number|null} quadrant */
const label = (quadrant) => (quadrant === null ? "" : QUADRANTS[quadrant]);

/** @param {unknown[][]} rows */
const table = (rows) => rows.map((row) => `${row.map(cell).join(",")}\n`).join("");

/** @param {unknown} value */
function cell(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
