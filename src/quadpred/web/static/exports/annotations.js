// A prediction for programs that show annotations: JAMS, and label tracks of Audacity.

/** @import { Result } from "../actions/api.js" */

import { largest } from "../state/rows.js";

const BY_USER = "adjusted by the corrections of the user";

/**
 * JAMS (E. J. Humphrey et al., ISMIR 2014), as `quadpred predict --format jams` writes it: one
 * observation [valence, arousal] of the namespace mood_thayer per second that is not silent.
 * @param {Result} result
 */
export function jams(result) {
  const tool = `quadpred ${result.quadpred}`;
  const adjusted = result.adjusted ? `; ${BY_USER}` : "";
  const annotation = {
    namespace: "mood_thayer",
    annotation_metadata: {
      curator: { name: "", email: "" },
      annotator: { model: result.model.name, sha256: result.model.sha256 },
      version: result.quadpred,
      corpus: "",
      annotation_tools: tool,
      annotation_rules: `valence, arousal: probability of positive, 0 to 1${adjusted}`,
      validation: "",
      data_source: "program",
    },
    data: seconds(result)
      .filter((k) => !result.silent[k])
      .map((k) => ({
        time: k,
        duration: round(end(result, k) - k),
        value: [result.valence.rows[k][1], result.arousal.rows[k][1]],
        confidence: Math.max(...result.quadrant.rows[k]),
      })),
    sandbox: {
      quadrant: result.winner,
      confidence: result.confidence,
      uncertain: result.uncertain,
    },
    time: 0,
    duration: result.duration,
  };
  const content = {
    annotations: [annotation],
    file_metadata: {
      title: result.source,
      artist: "",
      release: "",
      duration: result.duration,
      identifiers: {},
      jams_version: "0.3.4",
    },
    sandbox: {},
  };
  return `${JSON.stringify(content)}\n`;
}

/**
 * A label track of Audacity: one line per run of seconds with the same most probable quadrant,
 * with a question mark where they are uncertain, and none where they are silent. A first label of
 * the whole song says if values are adjusted.
 * @param {Result} result
 */
export function audacity(result) {
  /** @type {{from: number, to: number, label: string}[]} */
  const runs = [];
  if (result.adjusted) runs.push({ from: 0, to: result.duration, label: BY_USER });
  for (const k of seconds(result)) {
    if (result.silent[k]) continue;
    const doubt = result.uncertain_seconds[k] ? "?" : "";
    const label = `Q${largest(result.quadrant.rows[k]) + 1}${doubt}`;
    const last = runs.at(-1);
    if (last && last.label === label && last.to === k) last.to = end(result, k);
    else runs.push({ from: k, to: end(result, k), label });
  }
  return runs
    .map(({ from, to, label }) => `${from.toFixed(6)}\t${to.toFixed(6)}\t${label}\n`)
    .join("");
}

/** @param {Result} result */
const seconds = (result) => result.quadrant.rows.map((_, k) => k);

/**
 * The end of a second; the last one of a song may be shorter.
 * @param {Result} result
 * @param {number} k
 */
const end = (result, k) => Math.min(k + 1, result.duration);

/** @param {number} value */
const round = (value) => Math.round(1e6 * value) / 1e6;
