// The words of the page for quadrants, languages and models.

/** @import { Model } from "./actions/api.js" */

/** The word for each quadrant, Q1 to Q4. */
export const QUADRANTS = ["happy", "tense", "sad", "calm"];

export const EXAMPLES = [
  "joyful, excited, lively: fast, bright",
  "angry, afraid, agitated: loud, dense, driving",
  "mournful, weary, gloomy: slow, soft, dark",
  "peaceful, tender, content: slow, gentle, warm",
];

export const SIGNS = [
  "positive arousal, positive valence",
  "positive arousal, negative valence",
  "negative arousal, negative valence",
  "negative arousal, positive valence",
];

/** @type {Record<string, string>} */
const LANGUAGES = { english: "English", mandarin: "Mandarin", mixed: "English and Mandarin" };

/** @param {string} name */
export const language = (name) => LANGUAGES[name] ?? name;

/** @param {Model} model */
export const modelTitle = (model) =>
  `${language(model.music)} music, from ${language(model.speech)} speech`;

/** @param {number} index 0 to 3 */
export const quadrantName = (index) => `Q${index + 1} ${QUADRANTS[index]}`;

/**
 * Seconds as m:ss or h:mm:ss.
 * @param {number} seconds
 */
export function clock(seconds) {
  const whole = Math.floor(Math.max(0, seconds));
  const [hours, minutes, rest] = [whole / 3600, (whole / 60) % 60, whole % 60].map(Math.floor);
  const end = String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${end}` : `${minutes}:${end}`;
}

/**
 * Names in one line; a long list is cut.
 * @param {string[]} names at least one
 */
export function listed(names) {
  const first = names.slice(0, names.length > 3 ? 2 : -1);
  const last = names.length > 3 ? `${names.length - first.length} more` : names.at(-1);
  return first.length ? `${first.join(", ")} and ${last}` : `${last}`;
}

export const ADJUSTED = "adjusted by your corrections";

/** @param {number} share 0 to 1 */
export const percent = (share) => `${Math.round(100 * share)} %`;

/** @param {number} bytes */
export const megabytes = (bytes) => `${Math.round(bytes / 1e5) / 10} MB`;
