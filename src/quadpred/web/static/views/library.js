// All songs: the list, which can be searched and sorted, and the map.

/** @import { Songs } from "../actions/songs.js" */
/** @import { Prediction, Song } from "../state/song.js" */
/** @import { State } from "../state/state.js" */

import { button, el, make, write } from "../dom.js";
import { saveAll } from "../exports/files.js";
import { quadrantName } from "../words.js";
import { Chart } from "./plane.js";
import { share, statusText } from "./status.js";

/** A song, what is shown of it, and the prediction that is made. */
/** @typedef {{song: Song, prediction: Prediction, work: Prediction}} Entry */
/** @typedef {ReturnType<Library["_make"]>} Item */

export class Library {
  /** @type {Map<Song, Item>} */ #items = new Map();
  /** Those that match. @type {Entry[]} */ #entries = [];
  #chart;

  /** @param {State} state @param {Songs} songs */
  constructor(state, songs) {
    this.state = state;
    this.songs = songs;
    this.#chart = new Chart((song) => songs.show(song));
    el("map").append(this.#chart.element);
    for (const name of /** @type {const} */ (["search", "filter", "sort"])) {
      el(name).value = state.settings[name];
      el(name).addEventListener("input", () => songs.choose({ [name]: el(name).value }));
    }
    /** @param {string} id @param {() => void} act */
    const on = (id, act) =>
      el(id).addEventListener("click", () => {
        el("all").open = false;
        act();
      });
    on("export-all", () => this.#saveAll());
    on("retry-all", () => songs.retry(state.songs));
    on("remove-all", () => songs.remove(this.#entries.map(({ song }) => song)));
  }

  async #saveAll() {
    /** @param {string} text */
    const tell = (text) => this.songs.tell(text, false);
    try {
      const progress = (/** @type {number} */ done, /** @type {number} */ all) =>
        tell(`Preparing the download: ${done} of ${all}.`);
      const warning = await saveAll(this.state, progress);
      this.songs.tell(`Downloaded quadpred.zip. ${warning}`.trim(), Boolean(warning));
    } catch (error) {
      this.songs.tell(`The download failed: ${error instanceof Error ? error.message : error}`);
    }
  }

  draw() {
    const { songs } = this.state;
    el("library").hidden = songs.length < 2;
    if (songs.length < 2) return;
    const all = songs.map((song) => {
      const prediction = this.state.first(song);
      return { song, prediction, work: this.state.work(song, prediction) };
    });
    write(el("songs-title"), `Songs (${songs.length})`);
    el("export-all").disabled = !all.some(({ prediction }) => prediction.result);
    el("retry-all").disabled = !all.some(({ work }) => work.status === "failed");
    const entries = all.filter((entry) => this.#matches(entry)).sort(this.#order());
    this.#entries = entries;
    el("none-found").hidden = entries.length > 0;
    el("remove-all").disabled = !entries.length;
    const some = entries.length < songs.length ? `the ${entries.length} shown` : "all";
    write(el("remove-all"), `Remove ${some}`);
    this.#drawList(entries);
    this.#drawMap(entries);
  }

  /** @param {Entry} entry */
  #matches({ song, prediction, work }) {
    const { search, filter } = this.state.settings;
    const [path, words] = [song.path, search.trim()].map((each) => each.normalize().toLowerCase());
    if (!path.includes(words)) return false;
    const summary = prediction.result ? prediction.summary : null;
    if (filter === "all") return true;
    if (filter === "uncertain") return summary?.uncertain ?? false;
    if (filter === "corrected") return song.corrections.length > 0;
    if (filter === "failed") return work.status === "failed";
    if (filter === "open") return work.status !== "done" && work.status !== "failed";
    return (song.corrected ?? summary?.winner) === Number(filter);
  }

  /** What is not known comes last, in the order in which it was added. */
  #order() {
    const { sort } = this.state.settings;
    /** @param {Entry} entry @returns {number[]} */
    const key = ({ song, prediction }) => {
      const summary = prediction.result && prediction.summary;
      if (sort === "added") return [song.added];
      if (!summary) return [Infinity];
      if (summary.winner === null && ["arousal", "valence", "probability"].includes(sort))
        return [Infinity];
      if (sort === "mood") return [song.corrected ?? summary.winner ?? 4, -summary.confidence];
      if (sort === "length") return [-(prediction.duration ?? 0)];
      if (sort === "arousal") return [-summary.arousal];
      if (sort === "valence") return [-summary.valence];
      return [-summary.confidence];
    };
    /** @param {Entry} a @param {Entry} b */
    const byName = (a, b) => a.song.name.localeCompare(b.song.name, undefined, { numeric: true });
    /** @param {Entry} a @param {Entry} b */
    const byKey = (a, b) => {
      const [one, two] = [key(a), key(b)];
      const place = one.findIndex((value, i) => value !== two[i]);
      return place < 0 ? a.song.added - b.song.added : one[place] < two[place] ? -1 : 1;
    };
    return sort === "name" ? byName : byKey;
  }

  /** @param {Entry[]} entries */
  #drawList(entries) {
    const focused = document.activeElement;
    const list = el("songs");
    const shown = new Set(entries.map(({ song }) => song));
    for (const [song, { item }] of this.#items) {
      if (shown.has(song)) continue;
      item.remove();
      this.#items.delete(song);
    }
    entries.forEach((entry, place) => {
      const item = this.#items.get(entry.song) ?? this._make(entry.song);
      this.#items.set(entry.song, item);
      this.#drawItem(item, entry, place + 1);
      if (list.children[place] !== item.item) list.insertBefore(item.item, list.children[place]);
    });
    // What moves loses the focus.
    if (focused instanceof HTMLElement && document.activeElement !== focused) focused.focus();
  }

  /** @param {Song} song */
  _make(song) {
    const part = (/** @type {string} */ className) => make("span", { className });
    const parts = {
      number: part("number"),
      swatch: part("swatch"),
      name: part("name"),
      state: part("state"),
      bar: part("bar"),
    };
    const item = button("", "item", () => this.songs.show(song));
    item.append(...Object.values(parts));
    return { item: make("li", {}, item), button: item, ...parts };
  }

  /** @param {Item} item @param {Entry} entry @param {number} number */
  #drawItem(item, { song, prediction, work }, number) {
    const summary = prediction.result ? prediction.summary : null;
    const { corrected } = song;
    write(item.number, String(number));
    write(item.name, song.name);
    item.button.title = song.path;
    const quadrant = corrected ?? summary?.winner ?? null;
    const doubt = corrected === null && summary?.uncertain ? " uncertain" : "";
    item.swatch.className = `swatch${quadrant === null ? "" : ` q${quadrant + 1}`}${doubt}`;
    const label = corrected === null ? "" : `${quadrantName(corrected)}, corrected by you`;
    const texts = [label || statusText(prediction)];
    if (this.state.outdated(prediction)) texts.push("earlier model");
    if (work !== prediction || (label && work.status === "failed")) texts.push(statusText(work));
    write(item.state, texts.join(" · "));
    item.state.classList.toggle("error", work.status === "failed");
    const done = work.open ? share(work) : null;
    item.bar.hidden = done === null;
    item.bar.style.setProperty("--share", String(done ?? 0));
    item.button.setAttribute("aria-current", String(song === this.state.shown));
  }

  /** @param {Entry[]} entries */
  #drawMap(entries) {
    const placed = entries.flatMap(({ song, prediction }, place) => {
      const summary = prediction.result ? prediction.summary : null;
      if (!summary || summary.winner === null) return [];
      return [
        {
          song,
          number: place + 1,
          label: song.name,
          shown: song === this.state.shown,
          adjusted: prediction.original !== null,
          summary: { ...summary, winner: summary.winner },
        },
      ];
    });
    this.#chart.draw(placed);
  }
}
