// The song over time: playback, overview, tag-gram, selection and marks.

/** @import { Player } from "../actions/player.js" */
/** @import { Songs } from "../actions/songs.js" */
/** @import { Prediction, Song } from "../state/song.js" */
/** @import { State } from "../state/state.js" */

import { button, el, make, rebuild, write } from "../dom.js";
import { clearestMoments } from "../state/rows.js";
import { clock, modelTitle, percent, QUADRANTS, quadrantName } from "../words.js";
import { term } from "./explain.js";
import { lengthText, rowAt, secondDetails, secondText } from "./status.js";
import * as taggram from "./taggram.js";

const STEP = 1; // seconds of an arrow key
const LEAP = 10; // seconds of a page key
const ZOOM = 1.5; // factor of a key or button
const DRAG = 4; // pixels, from which a click is a drag
const LONG = 90; // seconds, from which there is an overview
const LIVE_SPAN = 30; // seconds shown of a microphone, at least

/** @typedef {{quadrant: HTMLCanvasElement, arousal: HTMLCanvasElement, valence: HTMLCanvasElement, adjusted: HTMLCanvasElement, adjustedLabel: HTMLElement}} Track */

export class Timeline {
  /** @type {Track[]} */ #tracks = [];
  #waveform = canvas("waveform");
  #corrections = canvas("corrections");
  #correctionsLabel = label("You");
  #changes = make("span"); // in the legend
  #time = canvas("time");
  #agreement = canvas("agreement");
  #agreed = make("h3", { className: "track-title" });
  /** @type {{second: number, x: number}|null} */ #pressed = null;
  #dragged = false;
  /** Where the pointer rests on the timeline. @type {MouseEvent|null} */ #pointer = null;

  /** @param {State} state @param {Songs} songs @param {Player} player */
  constructor(state, songs, player) {
    this.state = state;
    this.songs = songs;
    this.player = player;
    this.#listen();
    this.#buildLegend();
  }

  // --- What the user does ---

  #listen() {
    const { state, player } = this;
    /** @param {string} id @param {() => void} act */
    const on = (id, act) => el(id).addEventListener("click", act);
    on("play", () => this.playOrStop());
    on("zoom-in", () => this.#zoom(1 / ZOOM));
    on("zoom-out", () => this.#zoom(ZOOM));
    on("zoom-all", () => this.#zoomAll());
    on("select-from", () => this.#select(this.#now, this.#now + LEAP));
    on("select-to", () => state.selection && this.#select(state.selection.from, this.#now));
    on("select-none", () => this.#clearSelection());
    on("loop", () => this.#loop());
    on("zoom-selection", () => {
      if (state.selection) state.viewport.show(state.selection.from, state.selection.to);
      state.changed();
    });
    on("mark", () => state.shown && this.songs.mark(state.shown, this.#now));
    el("volume").value = state.settings.volume;
    el("speed").value = state.settings.speed;
    for (const name of ["volume", "speed"]) {
      el(name).addEventListener("input", () => {
        this.songs.choose({ [name]: Number(el(name).value) });
        player.set(state.settings.volume, state.settings.speed);
      });
    }
    el("timeline").addEventListener("keydown", this.#key);
    addEventListener("keydown", this.#space);
    const seek = el("seek");
    seek.addEventListener("pointerdown", this.#press);
    seek.addEventListener("pointermove", this.#drag);
    seek.addEventListener("pointerup", this.#release);
    seek.addEventListener("pointercancel", () => {
      this.#pressed = null;
    });
    seek.addEventListener("pointerleave", () => this.#hover(null));
    seek.addEventListener("wheel", this.#wheel, { passive: false });
    const overview = el("overview");
    overview.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      overview.setPointerCapture(event.pointerId);
      this.#centre(event);
    });
    overview.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (event.buttons) this.#centre(event);
    });
  }

  /** Where the player is in the song; it may go on after the end of what was decoded. */
  get #now() {
    return Math.min(this.player.time, this.state.shown?.duration ?? Infinity);
  }

  playOrStop() {
    const { shown } = this.state;
    if (shown?.live) shown.stop?.();
    else this.player.toggle();
  }

  /** Space plays, except where it does something else. */
  #space = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== " " || event.defaultPrevented || !this.state.shown) return;
    const other = "input, select, textarea, button, summary, a[href], [role=button]";
    if (event.target instanceof Element && event.target.closest(other)) return;
    event.preventDefault();
    this.playOrStop();
  };

  /** Keys, while the focus is in the timeline. */
  #key = (/** @type {KeyboardEvent} */ event) => {
    const { state, player } = this;
    const song = state.shown;
    if (!song || song.live || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.closest("input, select")) return;
    /** @type {Record<string, () => void>} */
    const letters = {
      "+": () => this.#zoom(1 / ZOOM),
      "-": () => this.#zoom(ZOOM),
      0: () => this.#zoomAll(),
      m: () => this.songs.mark(song, this.#now),
      l: () => this.#loop(),
    };
    /** @type {Record<string, number>} */
    const moves = {
      ArrowLeft: -STEP,
      ArrowDown: -STEP,
      ArrowRight: STEP,
      ArrowUp: STEP,
      PageDown: -LEAP,
      PageUp: LEAP,
      Home: -Infinity,
      End: Infinity,
    };
    const letter = letters[event.key.toLowerCase()];
    if (letter) letter();
    else if (event.target === el("window") && event.key in moves) {
      state.viewport.scroll((moves[event.key] / LEAP) * state.viewport.span);
      state.changed();
    } else if (event.target === el("seek") && event.key in moves) {
      const before = player.time;
      player.seek(before + moves[event.key]);
      if (event.shiftKey) this.#extend(before, player.time);
      state.viewport.follow(player.time);
      state.changed();
    } else if (event.target === el("seek") && event.key === "Enter") this.playOrStop();
    else return;
    event.preventDefault();
  };

  #zoom(/** @type {number} */ factor) {
    const { viewport } = this.state;
    const { time } = this.player;
    const inside = time >= viewport.from && time <= viewport.to;
    viewport.zoom(factor, inside ? time : (viewport.from + viewport.to) / 2);
    this.state.changed();
  }

  #zoomAll() {
    this.state.viewport.fit();
    this.state.changed();
  }

  #loop() {
    const { state, player } = this;
    if (!state.selection) return;
    state.loop = !state.loop;
    if (state.loop) {
      player.seek(state.selection.from);
      if (!player.playing) player.toggle();
    }
    state.changed();
  }

  /** Select whole seconds between two times. @param {number} one @param {number} other */
  #select(one, other) {
    const { state } = this;
    const seconds = state.shown?.seconds ?? 0;
    const from = Math.max(0, Math.min(Math.floor(Math.min(one, other)), seconds - 1));
    const to = Math.min(seconds, Math.max(from + 1, Math.ceil(Math.max(one, other))));
    state.selection = from < to ? { from, to } : null;
    state.changed();
  }

  /** Move that end of the selection at which a key has moved. */
  /** @param {number} before @param {number} now */
  #extend(before, now) {
    const { selection } = this.state;
    if (!selection) return this.#select(before, now);
    const atEnd = Math.abs(before - selection.to) <= Math.abs(before - selection.from);
    this.#select(atEnd ? selection.from : selection.to, now);
  }

  #clearSelection() {
    this.state.selection = null;
    this.state.loop = false;
    this.state.changed();
    el("select-from").focus();
  }

  /** The second under the pointer. @param {MouseEvent} event */
  #second(event) {
    const { viewport } = this.state;
    const box = el("seek").getBoundingClientRect();
    const share = Math.max(0, Math.min((event.clientX - box.left) / box.width, 1));
    return viewport.from + share * viewport.span;
  }

  #press = (/** @type {PointerEvent} */ event) => {
    if (this.state.shown?.live || event.button) return;
    el("seek").setPointerCapture(event.pointerId);
    this.#pressed = { second: this.#second(event), x: event.clientX };
    this.#dragged = false;
  };

  #drag = (/** @type {PointerEvent} */ event) => {
    this.#hover(event.pointerType === "touch" ? null : event);
    if (!this.#pressed || !event.buttons) return;
    if (Math.abs(event.clientX - this.#pressed.x) > DRAG) this.#dragged = true;
    if (!this.#dragged) return;
    const { viewport } = this.state;
    if (event.pointerType !== "touch") this.#select(this.#pressed.second, this.#second(event));
    else if (viewport.whole) this.player.seek(this.#second(event));
    else {
      viewport.scroll(this.#pressed.second - this.#second(event));
      this.state.changed();
    }
  };

  #release = (/** @type {PointerEvent} */ event) => {
    if (this.#pressed && !this.#dragged) this.player.seek(this.#second(event));
    this.#pressed = null;
  };

  #wheel = (/** @type {WheelEvent} */ event) => {
    const { viewport } = this.state;
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      viewport.zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, this.#second(event));
    } else if (Math.abs(sideways) > 0 && !viewport.whole) {
      viewport.scroll((sideways / el("seek").clientWidth) * viewport.span);
    } else return;
    event.preventDefault();
    this.state.changed();
  };

  /** Show the part of the song around the pointer. @param {PointerEvent} event */
  #centre(event) {
    const { viewport } = this.state;
    const box = el("overview").getBoundingClientRect();
    const second = ((event.clientX - box.left) / box.width) * viewport.total;
    viewport.scroll(second - viewport.span / 2 - viewport.from);
    this.state.changed();
  }

  /** @param {PointerEvent|null} event null where the pointer has left */
  #hover(event) {
    this.#pointer = event;
    this.#drawHover();
  }

  /** Say what is predicted under the pointer. */
  #drawHover() {
    const pointer = this.#pointer;
    el("hover").hidden = el("readout").hidden = !pointer || !this.state.shown;
    if (!pointer || !this.state.shown) return;
    const second = this.#second(pointer);
    const lines = this.state.predictions.map((each, i, { length }) => {
      const which = length > 1 ? `${"AB"[i]}: ` : "";
      return make("span", {}, which + secondDetails(each, second));
    });
    const { viewport } = this.state;
    const share = (second - viewport.from) / viewport.span;
    el("hover").style.setProperty("--place", String(share));
    el("readout").replaceChildren(make("strong", {}, clock(second)), ...lines);
    el("readout").style.setProperty("--place", String(share));
    el("readout").classList.toggle("before", share > 0.5);
  }

  // --- What is shown ---

  draw() {
    const { shown: song, predictions, viewport } = this.state;
    if (!song) return;
    const empty =
      predictions.every(({ rows }) => !rows.length) && !song.peaks.seconds && !song.live;
    el("stage").hidden = empty;
    if (empty) return;
    viewport.resize(Math.max(song.live ? LIVE_SPAN : 1, song.extent));
    this.#build(predictions);
    const colours = taggram.palette();
    this.#drawCanvases(song, predictions, colours);
    this.#drawOverview(song, predictions, colours);
    this.#drawTools(song);
    this.#drawMoments(song, predictions);
    this.drawTime();
    this.#drawHover();
  }

  /** Make canvases for as many predictions as are shown. @param {Prediction[]} predictions */
  #build(predictions) {
    const compared = predictions.length > 1;
    const titles = predictions.map(({ model }, i) =>
      compared ? `${"AB"[i]} · ${modelTitle(model)}` : "",
    );
    const tracks = el("tracks");
    const key = titles.join();
    if (tracks.dataset.key === key) return;
    tracks.dataset.key = key;
    this.#tracks = titles.map(() => ({
      quadrant: canvas("quadrant"),
      arousal: canvas("axis"),
      valence: canvas("axis"),
      adjusted: canvas("adjusted"),
      adjustedLabel: label("Adjusted"),
    }));
    const lanes = () => {
      const made = label(...QUADRANTS.map((_, c) => quadrantName(c)));
      made.classList.add("lanes");
      return made;
    };
    const rows = this.#tracks.flatMap((track, i) => [
      ...(titles[i] ? [make("h3", { className: "track-title" }, titles[i])] : []),
      ...[lanes(), track.quadrant],
      ...[axisLabel("arousal", "Arousal"), track.arousal],
      ...[axisLabel("valence", "Valence"), track.valence],
      ...[track.adjustedLabel, track.adjusted],
    ]);
    const agreement = compared ? [this.#agreed, label("A = B"), this.#agreement] : [];
    tracks.replaceChildren(
      ...[label("Sound"), this.#waveform, this.#correctionsLabel, this.#corrections],
      ...rows,
      ...agreement,
      ...[label(""), this.#time, el("seek")],
    );
  }

  /** @param {Song} song @param {Prediction[]} predictions @param {taggram.Palette} colours */
  #drawCanvases(song, predictions, colours) {
    const { viewport } = this.state;
    /** @param {HTMLCanvasElement} on */
    const sheet = (on) => taggram.Sheet.on(on, viewport, colours);
    const none = !song.corrections.length;
    this.#corrections.hidden = this.#correctionsLabel.hidden = none;
    taggram.drawWaveform(sheet(this.#waveform), song.peaks, predictions[0].rows);
    if (!none) taggram.drawCorrections(sheet(this.#corrections), song);
    predictions.forEach(({ rows, original }, i) => {
      const track = this.#tracks[i];
      track.adjusted.hidden = track.adjustedLabel.hidden = !original;
      if (original) taggram.drawAdjusted(sheet(track.adjusted), rows);
      taggram.drawQuadrants(sheet(track.quadrant), rows);
      taggram.drawAxis(sheet(track.arousal), rows, "arousal");
      taggram.drawAxis(sheet(track.valence), rows, "valence");
    });
    if (predictions.length > 1) {
      const [one, other] = predictions.map(({ rows }) => rows);
      taggram.drawAgreement(sheet(this.#agreement), one, other);
      const same = taggram.agreement(one, other);
      const sofar = predictions.every(({ result }) => result) ? "" : " so far";
      const text = `Both models name the same quadrant in ${percent(same ?? 0)} of the seconds${sofar}`;
      write(this.#agreed, same === null ? "" : text);
    }
    taggram.drawTime(sheet(this.#time));
    for (const sample of el("legend").querySelectorAll("canvas")) {
      taggram.drawSample(
        taggram.Sheet.on(sample, { from: 0, to: 1 }, colours),
        sample.dataset.kind,
      );
    }
  }

  /** @param {Song} song @param {Prediction[]} predictions @param {taggram.Palette} colours */
  #drawOverview(song, predictions, colours) {
    const { viewport } = this.state;
    el("overview").hidden = song.live || (viewport.whole && viewport.total < LONG);
    el("zoom-out").disabled = el("zoom-all").disabled = viewport.whole;
    if (el("overview").hidden) return;
    const range = { from: 0, to: viewport.total };
    const sheet = taggram.Sheet.on(el("overview-canvas"), range, colours);
    taggram.drawOverview(sheet, song.peaks, predictions[0].rows);
    const frame = el("window");
    frame.style.setProperty("--from", String(viewport.from / viewport.total));
    frame.style.setProperty("--share", String(viewport.span / viewport.total));
    frame.setAttribute("aria-valuemax", String(Math.floor(viewport.total - viewport.span)));
    frame.setAttribute("aria-valuenow", String(Math.floor(viewport.from)));
    const text = `${clock(viewport.from)} to ${clock(viewport.to)}`;
    frame.setAttribute("aria-valuetext", text);
  }

  /** @param {Song} song */
  #drawTools(song) {
    const { selection, loop, viewport } = this.state;
    const frame = el("selection");
    frame.hidden = !selection;
    for (const id of ["select-to", "loop", "zoom-selection", "select-none"]) {
      el(id).hidden = !selection;
    }
    el("loop").setAttribute("aria-pressed", String(loop));
    el("loop").disabled = !this.player.able;
    el("select-from").disabled = el("mark").disabled = song.live;
    const text = selection ? `Selected ${clock(selection.from)} to ${clock(selection.to)}` : "";
    write(el("selection-text"), text);
    if (!selection) return;
    const [left, right] = [selection.from, selection.to].map((second) =>
      Math.max(0, Math.min((second - viewport.from) / viewport.span, 1)),
    );
    frame.style.setProperty("--from", String(left));
    frame.style.setProperty("--share", String(right - left));
  }

  /** The user's marks, the clearest moment of each quadrant, and the parts that stand out. */
  /** @param {Song} song @param {Prediction[]} predictions */
  #drawMoments(song, predictions) {
    const { viewport } = this.state;
    const [{ result, rows, moments }] = predictions;
    const whose = predictions.length > 1 ? "A · " : ""; // of two models
    const clearest = result ? clearestMoments(rows) : [];
    const highlights = moments.filter(
      ({ kind, start, end }) =>
        kind !== "segment" && (start > 0 || end < Math.min(rows.length, song.extent)),
    );
    const changes = moments.filter(({ kind, start }) => kind === "segment" && start > 0);
    write(this.#changes, `${whose}the mood changes`);
    const key = JSON.stringify([song.id, song.marks, clearest, highlights, whose]);
    /** @param {string} text @param {string} className @param {number} second */
    const jump = (text, className, second) =>
      button(text, `moment ${className}`, () => {
        this.player.seek(second);
        viewport.follow(second);
        this.state.changed();
      });
    rebuild(el("moments"), key, () => [
      ...song.marks.flatMap((second) => {
        const remove = button("✕", "plain unmark", () => this.songs.mark(song, second));
        remove.setAttribute("aria-label", `Remove the mark at ${clock(second)}`);
        return [
          make("span", { className: "marked" }, jump(`⚑ ${clock(second)}`, "", second), remove),
        ];
      }),
      ...clearest.map(({ second, quadrant }) => {
        const made = jump(
          `${whose}Clearest ${QUADRANTS[quadrant]} ${clock(second)}`,
          `q${quadrant + 1}`,
          second,
        );
        made.prepend(make("span", { className: `swatch q${quadrant + 1}` }));
        return made;
      }),
      ...highlights.map(({ kind, start, end }) =>
        button(
          `${whose}${capital(kind)} in this song: ${clock(start)} to ${clock(end)}`,
          "moment",
          () => {
            this.player.seek(start);
            this.#select(start, end);
            viewport.follow(start);
            this.state.changed();
          },
        ),
      ),
    ]);
    /** @param {string} className @param {number} second */
    const line = (className, second) => {
      const made = make("span", { className });
      made.style.setProperty("--place", String((second - viewport.from) / viewport.span));
      return made;
    };
    /** @param {number} second */
    const inside = (second) => second >= viewport.from && second <= viewport.to;
    el("marks").replaceChildren(
      ...changes.filter(({ start }) => inside(start)).map(({ start }) => line("change", start)),
      ...song.marks.filter(inside).map((second) => line("flag", second)),
    );
  }

  /** The playhead, the present second and the button, wherever the player is. */
  drawTime() {
    const { shown: song, predictions, viewport } = this.state;
    if (!song) return;
    const seconds = viewport.total;
    const [first] = predictions;
    const live = song.live ? first.progress.seconds : 0;
    const time = song.live ? first.rows.length : Math.min(this.player.time, seconds);
    const place = (time - viewport.from) / viewport.span;
    el("playhead").hidden = place < 0 || place > 1;
    el("playhead").style.setProperty("--place", String(place));
    write(el("clock"), clock(song.live ? live : time));
    const length = lengthText(song) || "length not known yet";
    write(el("length"), song.live ? "" : ` / ${length}`);
    const at = song.live ? Math.max(0, time - 1) : time;
    const texts = predictions.map((each) => secondText(each, at));
    const compared = predictions.length > 1;
    write(el("now"), texts.map((text, i) => (compared ? `${"AB"[i]}: ${text}` : text)).join("   "));
    const corrected = song.correctedAt(at);
    if (corrected !== null && !song.live) {
      el("now").append(` · ${quadrantName(corrected)}, corrected by you`);
    }
    const slider = el("seek");
    slider.setAttribute("aria-valuemax", String(Math.floor(seconds)));
    slider.setAttribute("aria-valuenow", String(Math.floor(time)));
    slider.setAttribute("aria-valuetext", `${clock(time)}: ${texts.join("; ")}`);
    slider.setAttribute("aria-disabled", String(song.live));
    const action = song.live ? "Stop" : this.player.playing ? "Pause" : "Play";
    el("play").setAttribute("aria-label", action);
    el("play").dataset.action = action.toLowerCase();
    el("play").disabled = !song.live && !this.player.able;
    el("no-sound").hidden = song.live || !song.file || this.player.able;
    el("song").dataset.second = String(rowAt(first, at));
  }

  #buildLegend() {
    /** @param {HTMLElement} sample @param {...(Node|string)} text */
    const item = (sample, ...text) => el("legend").append(make("li", {}, sample, ...text));
    /** @param {string} kind */
    const sample = (kind) => make("canvas", { "aria-hidden": "true", "data-kind": kind });
    item(make("span", { className: "ramp" }), "more colour: more probable");
    item(sample("uncertain"), term("uncertain", "uncertain"));
    item(sample("silent"), term("silent", "silent"));
    item(make("span", { className: "diamond" }), "the whole song, on the plane");
    item(make("span", { className: "change-sample" }), this.#changes);
  }
}

/** @param {string} text */
const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** @param {string} className */
const canvas = (className) => make("canvas", { className, "aria-hidden": "true" });

/** @param {...string} lines */
const label = (...lines) =>
  make("div", { className: "label" }, ...lines.map((line) => make("span", {}, line)));

/** @param {"arousal"|"valence"} name @param {string} title */
const axisLabel = (name, title) =>
  make(
    "div",
    { className: "label signed" },
    term(name, title),
    make("span", {}, "+"),
    make("span", {}, "−"),
  );
