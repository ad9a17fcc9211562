// The page: what is shown of the songs, and what a person does with it.

import * as api from "./api.js";
import { clock, el, make, percent, write } from "./dom.js";
import { Chart, Path } from "./plane.js";
import { Player } from "./player.js";
import { summary } from "./rows.js";
import { Songs } from "./songs.js";
import * as taggram from "./taggram.js";
import { EXAMPLES, QUADRANTS, language, modelTitle, quadrantName } from "./words.js";

const STEP = 1; // seconds of an arrow key
const LEAP = 10; // seconds of a page key
const LIVE_SPAN = 30; // seconds shown of a microphone, at least

const player = new Player();
const chart = new Chart(show);
const samples = {}; // of the legend
const items = new Map(); // of the list: song -> elements
let known; // what the server has on board
let songs;
let shown = null;
let model = null;
let other = null; // to compare with
let tracks = [];
let sides = [];
let loaded = null; // address in the player
let drawing = false;
let lastSaid = "";

// --- What a person does ---

function add(files) {
  const added = [...files].map((file) => songs.add(file, model));
  if (added.length) show(shown?.live ? shown : added[0]);
}

function show(song) {
  shown = song;
  player.load((loaded = song?.address ?? null));
  changed();
}

/** Predict with another model: every song, so that list and map compare like with like. */
function choose() {
  const [speech, music] = [el("speech").value, el("music").value];
  model = known.models.find((each) => each.speech === speech && each.music === music);
  if (other === model) other = null;
  const experimental = "This model is experimental: hardly better than chance.";
  write(el("model-note"), model.experimental ? experimental : "");
  for (const song of songs.list) if (song.file) songs.predict(song, model);
  offerOthers();
  changed();
}

function compare() {
  other = known.models.find((each) => each.name === el("other").value) ?? null;
  changed();
}

function remove() {
  const place = songs.list.indexOf(shown);
  const gone = shown;
  shown = null;
  items.get(gone)?.item.remove();
  items.delete(gone);
  songs.remove(gone);
  show(songs.list[Math.min(place, songs.list.length - 1)] ?? null);
  (shown ? el("song-name") : el("choose")).focus();
}

async function listen() {
  closeAlert();
  el("listen").disabled = true;
  try {
    show(await songs.listen(model));
    draw(); // what is hidden takes no focus
    el("play").focus();
  } catch (error) {
    alert(error.message);
    el("listen").disabled = false;
  }
}

function retry() {
  for (const { name } of wanted()) {
    if (shown.predictions.get(name)?.status === "failed") shown.predictions.delete(name);
  }
  changed();
}

function playOrStop() {
  if (shown.live) shown.recording.stop();
  else player.toggle();
}

function seekByKey(event) {
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
  if (event.key in moves && !shown.live) player.seek(player.time + moves[event.key]);
  else if (event.key === " " || event.key === "Enter") playOrStop();
  else return;
  event.preventDefault();
}

function seekByPointer(event) {
  if (shown.live || (event.type === "pointermove" && !event.buttons)) return;
  const box = el("seek").getBoundingClientRect();
  if (event.type === "pointerdown") el("seek").setPointerCapture(event.pointerId);
  player.seek(((event.clientX - box.left) / box.width) * span());
}

// --- What is shown ---

/** The models whose predictions are shown. */
function wanted() {
  const first = shown && !shown.file ? [...shown.predictions.values()][0].model : model;
  return other && other !== first && shown?.file ? [first, other] : [first];
}

function predictions() {
  return wanted()
    .map((each) => shown.predictions.get(each.name))
    .filter(Boolean);
}

const span = () => Math.max(shown.live ? LIVE_SPAN : 1, shown.seconds);

/** Draw at the next frame, once for however many changes. */
function changed() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  const some = songs.list.length > 0;
  el("desk").hidden = !some;
  document.body.classList.toggle("busy", some);
  el("listen").disabled = songs.list.some((song) => song.live);
  el("library").hidden = songs.list.length < 2;
  if (songs.list.length > 1) drawLibrary();
  if (shown) drawSong();
}

function drawLibrary() {
  const entries = songs.list.map((song) => {
    const first = song.predictions.get(model.name) ?? [...song.predictions.values()][0];
    return { song, prediction: first, clip: summary(first) };
  });
  // The unfinished come last, in the order in which they came.
  const rank = ({ prediction, clip }) => (prediction.status === "done" ? clip.winner : 4);
  const sure = ({ prediction, clip }) => (prediction.status === "done" ? clip.confidence : 0);
  entries.sort((a, b) => rank(a) - rank(b) || sure(b) - sure(a));
  const focused = document.activeElement;
  entries.forEach((entry, place) => {
    const item = itemOf(entry.song);
    drawItem(item, entry, place + 1);
    const list = el("songs");
    if (list.children[place] !== item.item) list.insertBefore(item.item, list.children[place]);
  });
  if (document.activeElement !== focused) focused.focus();
  const placed = entries.flatMap(({ song, clip }, place) =>
    clip ? [{ song, number: place + 1, name: song.name, shown: song === shown, ...clip }] : [],
  );
  chart.draw(placed);
}

function itemOf(song) {
  if (!items.has(song)) {
    const parts = Object.fromEntries(
      ["number", "swatch", "name", "state", "bar"].map((part) => [
        part,
        make("span", { className: part }),
      ]),
    );
    const button = make("button", { type: "button", className: "item" }, ...Object.values(parts));
    button.addEventListener("click", () => show(song));
    items.set(song, { item: make("li", {}, button), button, ...parts });
  }
  return items.get(song);
}

function drawItem(item, { song, prediction, clip }, number) {
  write(item.number, String(number));
  write(item.name, song.name);
  const done = prediction.status === "done";
  item.swatch.className = `swatch ${clip ? `q${clip.winner + 1}` : ""} ${clip?.unsure ? "uncertain" : ""}`;
  const verdict = () => {
    const sure = clip.unsure ? " · unsure" : "";
    return `${quadrantName(clip.winner)} · ${percent(clip.confidence)}${sure}`;
  };
  write(item.state, done ? verdict() : state(prediction, song));
  item.state.classList.toggle("error", prediction.status === "failed");
  item.bar.hidden = prediction.ended;
  item.bar.style.setProperty("--share", share(prediction, song) ?? 0);
  item.button.setAttribute("aria-current", String(song === shown));
}

function drawSong() {
  if (shown.file) wanted().forEach((each) => songs.predict(shown, each));
  const all = predictions();
  if (shown.address !== loaded) player.load((loaded = shown.address));
  player.limit = span();
  write(el("song-name"), shown.name);
  const about = [shown.seconds ? clock(shown.seconds) : "", modelTitle(wanted()[0])];
  if (shown.live) about.unshift("Listening");
  write(el("song-about"), about.filter(Boolean).join(" · "));
  el("remove").hidden = shown.live;
  drawWork(all);
  const compared = all.length > 1;
  const nothing = all.every((each) => !each.rows.length) && !shown.live && !shown.outline;
  el("stage").hidden = nothing;
  el("stage").classList.toggle("compared", compared);
  drawDownloads(all);
  el("other").parentElement.hidden = nothing || !shown.file;
  el("other").value = compared ? other.name : "";
  if (!nothing) {
    build(all);
    drawTracks(all);
    all.forEach((prediction, i) => drawSide(sides[i], prediction));
  }
  drawTime();
}

/** How far the work is, or why there is none. */
function drawWork(all) {
  const open = all.find((each) => each.status !== "done" && each.status !== "live");
  const note = all.find((each) => each.note);
  el("work").hidden = !open && !note;
  const failed = open?.status === "failed";
  el("work").classList.toggle("failed", failed);
  el("work-bar").hidden = !open || failed;
  el("retry").hidden = !failed || !shown.file;
  if (open) {
    const done = share(open, shown);
    if (done === null) el("work-bar").removeAttribute("value");
    else el("work-bar").value = done;
    write(el("work-text"), failed ? `${shown.name}: ${open.error}` : state(open, shown));
  } else if (note) write(el("work-text"), note.note);
  tell(all, open);
}

/** Say what a listener to the page should hear: each quarter of the work, and what came of it. */
function tell(all, open) {
  let text;
  if (open?.status === "failed") text = `${shown.name}: ${open.error}`;
  else if (open) {
    const quarter = Math.floor(4 * (share(open, shown) ?? 0)) * 25;
    text = `${shown.name}: ${open.note || open.status} ${quarter ? `${quarter} %` : ""}`;
  } else {
    text = all
      .map((each) => {
        const clip = summary(each);
        if (each.status === "live") return "Listening";
        const sure = clip.unsure ? ", unsure" : "";
        return `${shown.name}: ${quadrantName(clip.winner)}, ${percent(clip.confidence)}${sure}`;
      })
      .join(". ");
  }
  if (text !== lastSaid) write(el("said"), (lastSaid = text));
}

function state(prediction, song) {
  const { status, note, sent, error, rows, progress } = prediction;
  const length = progress.duration ?? song.outline?.seconds;
  if (status === "failed") return error;
  if (note) return note;
  if (status === "waiting") return "Waiting for its turn";
  if (status === "sending") return `Uploading ${percent(sent)}`;
  if (status === "live") return `Listening ${clock(song.outline.seconds)}`;
  if (!rows.length) return "Waiting for the first second";
  return `Predicting ${clock(rows.length)}${length ? ` of ${clock(length)}` : ""}`;
}

/** The share of the work that is done, or null where nobody knows. */
function share({ status, sent, rows, progress }, song) {
  const length = progress.duration ?? song.outline?.seconds;
  if (status === "sending") return 0.2 * sent;
  if (status === "running") return length ? Math.min(1, 0.2 + (0.8 * rows.length) / length) : null;
  return status === "waiting" ? 0 : null;
}

function drawDownloads(all) {
  const links = shown.sound ? [shown.sound] : [];
  const predicted = all.flatMap((each, i) =>
    each.downloads.map(({ title, address, name }) => {
      const which = all.length > 1 ? ` ${"AB"[i]}` : "";
      return { title: title + which, address, name };
    }),
  );
  links.push(...predicted);
  const key = links.map(({ address, title }) => title + address).join();
  if (el("downloads").dataset.key === key) return;
  el("downloads").dataset.key = key;
  el("downloads").replaceChildren(
    ...links.map(({ title, address, name }) =>
      make("a", { href: address, download: name, className: "button", title: `Download as ${title}` }, title),
    ),
  );
}

/** Make elements for as many predictions as are shown, if there are not as many already. */
function build(all) {
  const titles = all.length > 1 ? all.map((each, i) => `${"AB"[i]} · ${modelTitle(each.model)}`) : [""];
  const key = titles.join();
  if (sides.length === all.length && el("tracks").dataset.key === key) return;
  el("tracks").dataset.key = key;
  const canvas = (className) => make("canvas", { className, "aria-hidden": "true" });
  const label = (...lines) =>
    make("div", { className: "label" }, ...lines.map((line) => make("span", {}, line)));
  const signed = (name) =>
    make("div", { className: "label signed" }, make("span", {}, name), make("span", {}, "+"), make("span", {}, "−"));
  const outline = canvas("outline");
  const time = canvas("time");
  const rows = [label("Sound"), outline];
  tracks = titles.map((title) => {
    const drawn = { quadrant: canvas("quadrant"), arousal: canvas("axis"), valence: canvas("axis") };
    if (title) rows.push(make("h3", { className: "track-title" }, title));
    const lanes = label(...QUADRANTS.map((_, c) => quadrantName(c)));
    lanes.classList.add("lanes");
    rows.push(lanes, drawn.quadrant, signed("Arousal"), drawn.arousal, signed("Valence"), drawn.valence);
    return drawn;
  });
  tracks.outline = outline;
  tracks.time = time;
  if (all.length > 1) {
    tracks.agreement = canvas("agreement");
    tracks.agreed = make("h3", { className: "track-title" });
    rows.push(tracks.agreed, label("A = B"), tracks.agreement);
  }
  rows.push(label(""), time);
  el("tracks").replaceChildren(...rows, el("seek"));
  sides = titles.map(buildSide);
  el("sides").replaceChildren(...sides.map(({ side }) => side));
}

function buildSide(title) {
  const path = new Path();
  const swatch = make("span", { className: "swatch" });
  const name = make("strong");
  const confidence = make("span", { className: "confidence" });
  const unsure = make("span", { className: "unsure" }, "unsure");
  const meaning = make("p", { className: "soft" });
  const bars = make("dl", { className: "bars" });
  const bar = (text, className) => {
    const fill = make("span", { className: `fill ${className}` });
    const number = make("span", { className: "number" });
    bars.append(
      make("dt", {}, text),
      make("dd", {}, make("span", { className: "bar" }, fill), number),
    );
    return { fill, number };
  };
  const meters = QUADRANTS.map((_, c) => bar(quadrantName(c), `q${c + 1}`));
  meters.push(bar("Arousal", "arousal"), bar("Valence", "valence"));
  const verdict = make("div", { className: "verdict" }, swatch, name, confidence, unsure);
  const side = make("section", { className: "side" });
  if (title) side.append(make("h3", {}, title));
  side.append(verdict, meaning, path.element, bars);
  return { side, path, swatch, name, confidence, unsure, meaning, meters };
}

function drawSide(side, prediction) {
  const clip = summary(prediction);
  const { path, swatch, name, confidence, unsure, meaning, meters } = side;
  path.draw(prediction.rows, clip, clip ? placeOf(clip) : "Russell's plane, with no song yet");
  side.side.classList.toggle("empty", !clip);
  unsure.hidden = !clip?.unsure;
  if (!clip) {
    write(name, "Not known yet");
    return;
  }
  swatch.className = `swatch q${clip.winner + 1} ${clip.unsure ? "uncertain" : ""}`;
  write(name, quadrantName(clip.winner));
  write(confidence, `${percent(clip.confidence)} ${clip.final ? "probable" : "so far"}`);
  const title = known.heads[0].titles[clip.winner]; // Quadrant 1 (positive arousal, …)
  write(meaning, title.replace(/^.*\((.*)\)$/, "$1"));
  [...clip.quadrant, clip.arousal, clip.valence].forEach((value, i) => {
    meters[i].fill.style.setProperty("--share", value);
    write(meters[i].number, percent(value));
  });
}

const placeOf = (clip) =>
  `The song's path on Russell's plane; on average arousal ${percent(clip.arousal)}, ` +
  `valence ${percent(clip.valence)}, ${quadrantName(clip.winner)}`;

function drawTracks(all) {
  const colours = taggram.palette();
  const seconds = span();
  taggram.drawOutline(tracks.outline, shown.outline, all[0].rows, seconds, colours);
  taggram.drawTime(tracks.time, seconds, colours);
  for (const kind in samples) taggram.drawSample(samples[kind], kind, colours);
  all.forEach(({ rows }, i) => {
    const columns = taggram.columnsFor(rows, seconds, tracks[i].quadrant.clientWidth);
    taggram.drawQuadrants(tracks[i].quadrant, columns, seconds, colours);
    for (const axis of ["arousal", "valence"]) {
      taggram.drawAxis(tracks[i][axis], columns, axis, seconds, colours);
    }
  });
  if (all.length > 1) {
    const [one, two] = all.map(({ rows }) => rows);
    const same = taggram.drawAgreement(tracks.agreement, one, two, seconds, colours);
    write(
      tracks.agreed,
      same === null ? "" : `Both name the same quadrant in ${percent(same)} of the seconds`,
    );
  }
}

/** The playhead, the present second, and the button, at whatever position the player is. */
function drawTime() {
  if (!shown) return;
  const all = predictions();
  const seconds = span();
  const time = shown.live ? all[0].rows.length : Math.min(player.time, seconds);
  el("playhead").style.setProperty("--place", time / seconds);
  write(el("clock"), clock(shown.live ? shown.outline.seconds : time));
  write(el("length"), shown.live ? "" : ` / ${clock(shown.seconds)}`);
  const second = (rows) => Math.min(Math.floor(shown.live ? time - 1 : time), rows.length - 1);
  const said = all.map(({ rows }) => sayRow(rows, second(rows)));
  const compared = all.length > 1;
  write(el("now"), said.map((text, i) => (compared ? `${"AB"[i]}: ${text}` : text)).join("   "));
  all.forEach(({ rows }, i) => rows.length && sides[i]?.path.at(rows, second(rows)));
  const slider = el("seek");
  slider.setAttribute("aria-valuemax", String(Math.floor(seconds)));
  slider.setAttribute("aria-valuenow", String(Math.floor(time)));
  slider.setAttribute("aria-valuetext", `${clock(time)}: ${said.join("; ")}`);
  slider.setAttribute("aria-disabled", String(shown.live));
  const action = shown.live ? "Stop" : player.playing ? "Pause" : "Play";
  el("play").setAttribute("aria-label", action);
  el("play").dataset.action = action.toLowerCase();
  el("play").disabled = !shown.live && !player.able;
  el("no-sound").hidden = shown.live || !shown.file || player.able;
}

function sayRow(rows, k) {
  if (k < 0) return "";
  if (rows.silent[k]) return "silent";
  const winner = rows.winner(k);
  const sure = rows.uncertain[k] ? ", uncertain" : "";
  return `${quadrantName(winner)} ${percent(rows.quadrant[k][winner])}${sure}`;
}

// --- Messages ---

function alert(text) {
  write(el("alert-text"), text);
  el("alert").hidden = false;
}

function closeAlert() {
  el("alert").hidden = true;
}

// --- The start ---

function offer(select, names) {
  select.replaceChildren(
    ...names.map((name) => make("option", { value: name }, language(name))),
  );
}

function offerOthers() {
  el("other").replaceChildren(
    make("option", { value: "" }, "no other model"),
    ...known.models
      .filter((each) => each !== model)
      .map((each) => make("option", { value: each.name }, modelTitle(each))),
  );
}

function explain() {
  const root = document.documentElement.style;
  const [quadrants, ...axes] = known.heads;
  quadrants.colours.forEach((colour, c) => root.setProperty(`--q${c + 1}`, colour));
  for (const { name, colours } of axes) {
    colours.forEach((colour, c) => root.setProperty(`--${name}-${c}`, colour));
  }
  el("quadrants").replaceChildren(
    ...QUADRANTS.map((_, c) =>
      make(
        "div",
        { className: `q${c + 1}` },
        make("dt", {}, make("span", { className: `swatch q${c + 1}` }), quadrantName(c)),
        make("dd", {}, EXAMPLES[c]),
      ),
    ),
  );
  const { bytes, seconds } = known.limits;
  write(
    el("limits"),
    `wav, mp3, flac, ogg, opus, m4a and more, up to ${Math.round(bytes / 1e6)} MB and ` +
      `${Math.round(seconds / 60)} minutes each. They are deleted when the prediction is made.`,
  );
}

function buildLegend() {
  const item = (sample, text) => el("legend").append(make("li", {}, sample, text));
  item(make("span", { className: "ramp" }), "the fuller, the more probable");
  for (const kind of ["uncertain", "silent"]) {
    samples[kind] = make("canvas", { "aria-hidden": "true" });
    item(samples[kind], kind);
  }
  item(make("span", { className: "diamond" }), "the whole song, on the plane");
}

function listenForPeople() {
  el("choose").addEventListener("click", () => el("files").click());
  el("files").addEventListener("change", () => {
    add(el("files").files);
    el("files").value = "";
  });
  el("listen").addEventListener("click", listen);
  el("speech").addEventListener("change", choose);
  el("music").addEventListener("change", choose);
  el("other").addEventListener("change", compare);
  el("remove").addEventListener("click", remove);
  el("retry").addEventListener("click", retry);
  el("play").addEventListener("click", playOrStop);
  el("alert-close").addEventListener("click", closeAlert);
  el("seek").addEventListener("keydown", seekByKey);
  el("seek").addEventListener("pointerdown", seekByPointer);
  el("seek").addEventListener("pointermove", seekByPointer);
  player.addEventListener("time", drawTime);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    add(event.dataTransfer.files);
  });
  new ResizeObserver(changed).observe(el("desk"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

async function begin() {
  if (location.search) history.replaceState(null, "", "/"); // a token is no longer needed
  try {
    known = await api.models();
  } catch (error) {
    alert(error.message);
    el("choose").disabled = el("listen").disabled = true;
    return;
  }
  songs = new Songs(changed, known.limits.bytes);
  const names = (key) => [...new Set(known.models.map((each) => each[key]))];
  offer(el("speech"), names("speech"));
  offer(el("music"), names("music"));
  explain();
  buildLegend();
  el("map").append(chart.element);
  choose();
  listenForPeople();
  document.body.classList.add("ready");
}

begin();
