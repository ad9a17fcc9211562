// The song that is shown: its name, verdict, progress, plane, downloads and corrections.

/** @import { Songs } from "../actions/songs.js" */
/** @import { Prediction, Song } from "../state/song.js" */
/** @import { State } from "../state/state.js" */

import { button, el, make, rebuild, write } from "../dom.js";
import { FORMATS, save, saveLabels, saveOne } from "../exports/files.js";
import { quadrantAt } from "../state/rows.js";
import { ADJUSTED, clock, modelTitle, percent, QUADRANTS, quadrantName, SIGNS } from "../words.js";
import { term } from "./explain.js";
import { Path } from "./plane.js";
import { lengthText, rowAt, share, soundMissing, statusText, summaryText } from "./status.js";

const MODEL = "The page shows the values of the model.";
const SLACK = 0.5; // seconds
/** @type {Record<import("../actions/api.js").Difference, string>} */
const DIFFERENCES = {
  tracks: "The file has several audio tracks. The browser may play another one than was predicted.",
  late: "The audio of this file starts late. The time that is shown may not be that of what you hear.",
  header:
    "The header of this mp3 states another length. After a jump, the browser may play another second.",
  variable:
    "This browser may play an mp3 of variable bit rate some seconds too early or late after a jump.",
};
const CHOOSE_AGAIN = "Choose the file again to predict it.";
const OUTDATED = "This prediction was made with an earlier version of the model.";

export class SongView {
  /** @type {Side[]} */ #sides = [];

  /** @param {State} state @param {Songs} songs */
  constructor(state, songs) {
    this.state = state;
    this.songs = songs;
    el("remove").addEventListener("click", () => {
      if (!state.shown) return;
      songs.remove([state.shown]);
      el(state.shown ? "song-name" : "choose").focus();
    });
    el("retry").addEventListener("click", () => state.shown && songs.retry([state.shown]));
    el("attach").addEventListener("click", () => el("attach-file").click());
    el("attach-file").addEventListener("change", () => {
      const [file] = el("attach-file").files;
      el("attach-file").value = "";
      if (file && state.shown) songs.attach(state.shown, file);
    });
    el("export-labels").addEventListener("click", async () => {
      const warning = await saveLabels(state.songs);
      if (warning) songs.tell(warning);
    });
    const choices = QUADRANTS.map((_, c) => {
      const made = button(quadrantName(c), `choice q${c + 1}`, () => this.#correct(c));
      made.prepend(make("span", { className: `swatch q${c + 1}` }));
      return made;
    });
    el("correct-choices").append(...choices);
    el("adjusted").addEventListener("change", () =>
      songs.choose({ adjusted: el("adjusted").checked }),
    );
  }

  /** Give a label, or take it back if it was given before. @param {number} quadrant */
  #correct(quadrant) {
    const { shown, selection } = this.state;
    if (!shown) return;
    const label = this.#label(shown) === quadrant ? null : quadrant;
    this.songs.correct(shown, selection, label);
  }

  /** The label of the selection, or of the whole song. @param {Song} song */
  #label(song) {
    const { selection } = this.state;
    if (!selection) return song.corrected;
    const [from, to] = [Math.floor(selection.from), Math.ceil(selection.to)];
    return song.corrections.find((each) => each.from === from && each.to === to)?.quadrant ?? null;
  }

  draw() {
    const { shown: song, predictions } = this.state;
    el("desk").hidden = !this.state.songs.length;
    if (!song) return;
    write(el("song-name"), song.name);
    const length = lengthText(song);
    const about = predictions.length > 1 ? [length] : [length, modelTitle(predictions[0].model)];
    write(el("song-about"), about.filter(Boolean).join(" · "));
    el("remove").hidden = song.live;
    const works = predictions.map((each) => this.state.work(song, each));
    this.#drawWork(song, works);
    this.#drawNotes(song, predictions, works);
    this.#drawDownloads(song, predictions);
    this.#build(predictions);
    for (const [i, prediction] of predictions.entries()) {
      this.#sides[i].draw(prediction, song, this.state);
    }
    this.#drawCorrection(song, predictions);
  }

  /** Mark the second that is played on the planes. @param {number} second */
  drawTime(second) {
    this.state.predictions.forEach((prediction, i) => {
      this.#sides[i]?.path.at(prediction.rows, rowAt(prediction, second) ?? -1);
    });
  }

  /** @param {Song} song @param {Prediction[]} works */
  #drawWork(song, works) {
    const open = works.find((each) => each.open && each.status !== "live");
    const failed = works.find(({ status }) => status === "failed");
    const work = open ?? failed;
    el("work").hidden = !work;
    el("work").classList.toggle("failed", work === failed);
    el("work-bar").hidden = !open;
    el("retry").hidden = work !== failed || !song.file;
    if (!work) return;
    const done = share(work);
    if (done === null) el("work-bar").removeAttribute("value");
    else el("work-bar").value = done;
    const text = statusText(work);
    const which = works.length > 1 ? `${modelTitle(work.model)}: ` : "";
    write(el("work-text"), which + text);
  }

  /** @param {Song} song @param {Prediction[]} predictions @param {Prediction[]} works */
  #drawNotes(song, predictions, works) {
    const notes = predictions.flatMap((each) => [
      each.damage && `The file is damaged: ${each.damage}.`,
      this.state.outdated(each) && OUTDATED,
    ]);
    const missing = works.filter(({ status }) => status === "missing");
    for (const each of missing) {
      notes.push(`${modelTitle(each.model)}: ${statusText(each)}.`);
      if (!each.note && soundMissing(song)) notes.push(CHOOSE_AGAIN);
    }
    notes.push(mismatch(this.songs.player.length, song.length), ...differences(song));
    const text = [...new Set(notes.filter(Boolean))].join(" ").replaceAll("..", ".");
    write(el("notes"), text);
    el("notes").hidden = !text;
    el("sound-missing").hidden = !soundMissing(song);
  }

  /** @param {Song} song @param {Prediction[]} predictions */
  #drawDownloads(song, predictions) {
    const finished = predictions.filter(({ result }) => result);
    const compared = predictions.length > 1;
    el("downloads").hidden = !finished.length && !song.recorded;
    const adjusted = finished.some(({ original }) => original);
    const models = finished.map((each) => `${each.model.name} ${predictions.indexOf(each)}`);
    const key = [song.id, song.recorded, ...models, compared, adjusted];
    rebuild(el("download-list"), key.join(), () => {
      const recording = button("WAV", "", () => song.file && save(song.name, song.file));
      const buttons = finished.flatMap((prediction) =>
        FORMATS.map((format) => {
          const which = compared ? ` ${"AB"[predictions.indexOf(prediction)]}` : "";
          return button(format.title + which, "", () => {
            const now = this.state.predictions[predictions.indexOf(prediction)];
            saveOne(song, now, format, compared);
          });
        }),
      );
      const note = make("p", { className: "hint" }, `Values ${ADJUSTED}`);
      return [...(song.recorded ? [recording] : []), ...(adjusted ? [note] : []), ...buttons];
    });
  }

  /** @param {Prediction[]} predictions */
  #build(predictions) {
    const compared = predictions.length > 1;
    const titles = predictions.map(({ model }, i) =>
      compared ? `${"AB"[i]} · ${modelTitle(model)}` : "",
    );
    el("song").classList.toggle("compared", compared);
    rebuild(el("sides"), titles.join(), () => {
      this.#sides = titles.map((title) => new Side(title));
      el("verdicts").replaceChildren(...this.#sides.map(({ verdict }) => verdict));
      return this.#sides.map(({ side }) => side);
    });
  }

  /** @param {Song} song @param {Prediction[]} predictions */
  #drawCorrection(song, predictions) {
    const { selection } = this.state;
    el("correct").hidden = song.live || predictions.every(({ rows }) => !rows.length);
    const what = selection
      ? `${clock(selection.from)} to ${clock(selection.to)}`
      : "the whole song";
    write(el("correct-legend"), `Is this wrong? Choose what you perceive in ${what}`);
    const label = this.#label(song);
    [...el("correct-choices").children].forEach((choice, c) => {
      choice.setAttribute("aria-pressed", String(label === c));
    });
    const text =
      label === null
        ? "Your label stays in this browser."
        : "Corrected by you. Press the label again to take it back.";
    const labelled = this.state.songs.filter((each) => each.corrections.length).length;
    el("export-labels").hidden = !labelled;
    const count = labelled > 1 ? ` (${labelled} songs)` : "";
    write(el("export-labels"), `Download labels${count}`);
    write(el("correct-about"), text);
    el("adjust").hidden = !labelled;
    el("adjusted").checked = this.state.settings.adjusted;
    write(el("adjust-about"), this.state.settings.adjusted ? adjustedSeconds(predictions) : MODEL);
  }
}

/** How much of a song the labels have changed. @param {Prediction[]} predictions */
function adjustedSeconds(predictions) {
  const finished = predictions.filter(({ result }) => result);
  const counts = finished.map(({ rows }) => rows.adjusted.filter(Boolean).length);
  if (!counts.length) return "A prediction is adjusted when it is done.";
  if (finished.every(({ original, embeddings }) => !original && !embeddings.length)) {
    return "This prediction has no embeddings and stays as it is. Predict the song again.";
  }
  if (!counts.some(Boolean)) return "No second of this song sounds enough like what you labelled.";
  return `Adjusted in this song: ${counts.join(" and ")} seconds.`;
}

/** One model's verdict, plane and bars. */
class Side {
  path = new Path();
  #swatch = make("span", { className: "swatch" });
  #name = make("strong");
  #confidence = term("probable", "", "confidence");
  #uncertain = term("uncertain", "uncertain", "badge");
  #silent = term("silent", "why?");
  #experimental = term("experimental", "experimental model", "badge");
  #corrected = term("corrected", "", "badge corrected");
  #adjusted = term("adjusted", ADJUSTED, "badge");
  #model = make("p", { className: "soft" });
  #meaning = make("span");
  #disagree = term("disagree", "Means in another quadrant");
  #meters;

  /** @param {string} title */
  constructor(title) {
    const bars = make("dl", { className: "bars" });
    /** @param {string|Node} name @param {string} className */
    const bar = (name, className) => {
      const fill = make("span", { className: `fill ${className}` });
      const number = make("span", { className: "number" });
      const track = make("span", { className: "bar" }, fill);
      bars.append(make("dt", {}, name), make("dd", {}, track, number));
      return { fill, number };
    };
    this.#meters = [
      ...QUADRANTS.map((_, c) => bar(quadrantName(c), `q${c + 1}`)),
      bar(term("arousal", "Arousal"), "arousal"),
      bar(term("valence", "Valence"), "valence"),
    ];
    const line = make("div", { className: "verdict" });
    line.append(this.#swatch, this.#name, this.#confidence, this.#silent, this.#uncertain);
    line.append(this.#experimental, this.#corrected, this.#adjusted);
    const about = make("p", { className: "soft" }, this.#meaning, " ", this.#disagree);
    this.verdict = make("section", { className: "verdict-box" });
    this.side = make("section", { className: "side" });
    if (title) {
      this.verdict.append(make("h3", {}, title));
      this.side.append(make("h3", {}, title));
    }
    this.verdict.append(line, about, this.#model);
    this.side.append(this.path.element, bars);
  }

  /** @param {Prediction} prediction @param {Song} song @param {State} state */
  draw(prediction, song, state) {
    const { summary, original } = prediction;
    const winner = summary?.winner ?? null;
    const known = winner !== null;
    this.path.draw(prediction.rows, summary, placeOf(prediction));
    this.#adjusted.hidden = !original;
    this.#model.hidden = !original;
    write(this.#model, original ? `The model alone: ${summaryText(original)}` : "");
    this.#swatch.hidden = this.#confidence.hidden = !known;
    this.#uncertain.hidden = !known || !summary?.uncertain;
    this.#experimental.hidden = !prediction.model.experimental;
    this.#silent.hidden = !summary || known;
    this.#disagree.hidden = !known || !summary || quadrantAt(summary) === winner;
    const { corrected } = song;
    this.#corrected.hidden = corrected === null;
    if (corrected !== null) write(this.#corrected, `${quadrantName(corrected)}, corrected by you`);
    if (known && summary) {
      this.#swatch.className = `swatch q${winner + 1}${summary.uncertain ? " uncertain" : ""}`;
      write(this.#name, quadrantName(winner));
      const sofar = prediction.result ? "probable" : "so far";
      write(this.#confidence, `${percent(summary.confidence)} ${sofar}`);
      write(this.#meaning, SIGNS[winner]);
    } else {
      const silent = prediction.result ? "Silent: no emotion" : "Silent so far";
      write(this.#name, summary ? silent : unknown(prediction, state));
      write(this.#confidence, "");
      write(this.#meaning, "");
    }
    const values = known && summary ? [...summary.quadrant, summary.arousal, summary.valence] : [];
    this.#meters.forEach(({ fill, number }, i) => {
      fill.style.setProperty("--share", String(values[i] ?? 0));
      write(number, i in values ? percent(values[i]) : "?");
    });
  }
}

/**
 * A note where the browser does not place the sound as quadpred does: the sound of a video starts
 * late, or part of a file is lost.
 * @param {number|null} played seconds that the browser plays
 * @param {number|null} decoded seconds that quadpred decoded
 */
function mismatch(played, decoded) {
  if (played === null || decoded === null || Math.abs(played - decoded) <= SLACK) return "";
  const [browser, sound] = [played, decoded].map((seconds) => `${seconds.toFixed(1)} s`);
  return `The browser plays ${browser}, but quadpred decoded ${sound}. Audio and values may not match.`;
}

/**
 * Notes where the browser plays other audio than quadpred has predicted, by what the server found.
 * Chromium jumps in an mp3 by a table of 100 entries, rounded to 1/256 of the file.
 * @param {Song} song
 */
function differences(song) {
  const coarse = navigator.userAgent.includes("Chrome/") && (song.length ?? 0) > 256;
  const all = [...song.predictions.values()].flatMap(({ playback }) => playback);
  const found = all.filter((each) => each !== "variable" || coarse);
  return found.map((each) => DIFFERENCES[each] ?? "");
}

/** @param {Prediction} prediction @param {State} state */
function unknown(prediction, state) {
  if (prediction.status === "failed") return "Not predicted";
  if (prediction.open) return state.connection === "ok" ? "Not known yet" : "Not known";
  return "Not known";
}

/** @param {Prediction} prediction */
function placeOf({ summary, original }) {
  if (!summary || summary.winner === null) return "Russell's plane, with nothing on it yet";
  const [arousal, valence] = [summary.arousal, summary.valence].map(percent);
  const quadrant = quadrantName(summary.winner);
  const adjusted = original ? `, ${ADJUSTED}` : "";
  return `The song's path on Russell's plane. Mean arousal ${arousal}, valence ${valence}, ${quadrant}${adjusted}`;
}
