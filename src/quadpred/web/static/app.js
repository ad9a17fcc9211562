// The page: one state, the actions that change it, and the views that draw it.

import * as api from "./actions/api.js";
import { randomName } from "./actions/files.js";
import { Player } from "./actions/player.js";
import { Queue } from "./actions/queue.js";
import { Songs } from "./actions/songs.js";
import { Storage } from "./actions/storage.js";
import { el } from "./dom.js";
import { Database } from "./state/database.js";
import { State } from "./state/state.js";
import { listenForExplanations } from "./views/explain.js";
import { drawGuide } from "./views/guide.js";
import { Library } from "./views/library.js";
import { Messages } from "./views/messages.js";
import { SongView } from "./views/song.js";
import { listenForFiles, Start } from "./views/start.js";
import { Timeline } from "./views/timeline.js";

const PAUSE = 2000; // milliseconds before the server is asked again
const KEEP = 5000; // milliseconds between two saves of the position, while it moves
const SETTLED = 300; // milliseconds from a seek to its save

async function begin() {
  if (location.search) history.replaceState(null, "", location.pathname); // may hold a token
  /** @type {(songs: Songs) => void} */ let take = () => {};
  listenForFiles(
    new Promise((resolve) => {
      take = resolve;
    }),
  );
  const state = new State();
  const messages = new Messages(state);
  state.addEventListener("change", () => messages.draw());
  const database = await Database.open().catch(() => null);
  const storage = new Storage(state, database);
  Object.assign(state.settings, await database?.setting("settings"));
  state.take(await offer(state, database));
  drawGuide(state);

  const client = await clientName(database, storage);
  state.songs = (await database?.load()) ?? [];
  const player = new Player(state);
  const queue = new Queue(state, storage, client);
  const songs = new Songs(state, storage, queue, player);
  const [start, library] = [new Start(state, songs), new Library(state, songs)];
  const [song, timeline] = [new SongView(state, songs), new Timeline(state, songs, player)];
  state.addEventListener("change", () => {
    for (const view of [start, library, song, timeline]) view.draw();
    song.drawTime(player.time);
  });
  let settling = 0;
  player.addEventListener("time", () => {
    clearTimeout(settling);
    if (!player.playing) settling = setTimeout(() => songs.keepPosition(), SETTLED);
    else {
      const { from } = state.viewport;
      state.viewport.follow(player.time);
      if (from !== state.viewport.from) state.changed();
    }
    timeline.drawTime();
    song.drawTime(player.time);
  });

  songs.show(state.song(state.settings.shown) ?? state.songs[0] ?? null);
  for (const each of state.songs) songs.predict(each);
  database?.watch((id) => songs.refresh(id, database));
  queue.events.open();
  listenForTheRest(state, storage, songs, queue);
  state.changed();
  take(songs); // all known songs are listed now, so that a file is recognised
  document.body.classList.add("ready");
}

/**
 * What the server offers; what it offered last, while it does not answer.
 * @param {State} state
 * @param {Database|null} database
 */
async function offer(state, database) {
  for (;;) {
    try {
      const found = await api.offer();
      state.connection = "ok";
      await database?.set("offer", found).catch(() => {});
      return found;
    } catch (error) {
      const refused = error instanceof api.Problem && error.status === 401;
      state.connection = refused ? "sign-in" : "lost";
      state.changed();
      const before = await database?.setting("offer");
      if (before) return before;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/** The name by which this browser follows its jobs. @param {Database|null} database @param {Storage} storage */
async function clientName(database, storage) {
  const known = await database?.setting("client");
  if (known) return known;
  const name = randomName();
  await storage.saveClient(name);
  return name;
}

/** @param {State} state @param {Storage} storage @param {Songs} songs @param {Queue} queue */
function listenForTheRest(state, storage, songs, queue) {
  listenForExplanations();
  const redraw = () => state.changed();
  new ResizeObserver(redraw).observe(el("desk"));
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
    matchMedia(query).addEventListener("change", redraw);
  }
  setInterval(() => songs.keepPosition(), KEEP);
  addEventListener("pagehide", () => songs.keepPosition());
  document.addEventListener("visibilitychange", () => queue.follow(!document.hidden));
  addEventListener("beforeunload", (event) => {
    const lost = state.songs.some((song) =>
      [...song.predictions.values()].some(
        ({ status }) => status === "waiting" || status === "sending" || status === "live",
      ),
    );
    const unsaved = songs.unsaved || storage.pending || (!state.kept && state.songs.length);
    if (lost || unsaved) event.preventDefault();
  });
  addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu")) {
      if (event.target instanceof Node && !menu.contains(event.target))
        menu.removeAttribute("open");
    }
  });
  addEventListener("keydown", (event) => {
    const menu = document.querySelector("details.menu[open]");
    if (event.key !== "Escape" || !menu) return;
    menu.removeAttribute("open");
    menu.querySelector("summary")?.focus();
  });
}

begin();
