// Messages, the state of the connection, and what a screen reader speaks of the work.

/** @import { Song } from "../state/song.js" */
/** @import { State } from "../state/state.js" */

import { el, write } from "../dom.js";
import { quadrantName } from "../words.js";
import { share, statusText, summaryText } from "./status.js";

const CONNECTIONS = {
  ok: "",
  lost: "The server does not answer. Your songs and results are safe; the page goes on as soon as it is back.",
  "sign-in": "The server asks for its token. Sign in, then come back to this page.",
};

export class Messages {
  /** @param {State} state */
  constructor(state) {
    this.state = state;
    el("message-close").addEventListener("click", () => {
      state.message = null;
      state.changed();
    });
    el("undo").addEventListener("click", () => state.removals.pop()?.undo());
    el("removed-close").addEventListener("click", () => {
      state.removals.pop();
      state.changed();
    });
  }

  draw() {
    const { connection, kept, message, removals } = this.state;
    el("not-kept").hidden = kept;
    el("connection").hidden = connection === "ok";
    write(el("connection-text"), CONNECTIONS[connection]);
    el("sign-in").hidden = connection !== "sign-in";
    el("message").hidden = !message;
    el("message").classList.toggle("error", message?.error ?? false);
    write(el("message-text"), message?.text ?? "");
    const removal = removals.at(-1);
    el("removed").hidden = !removal;
    write(el("removed-text"), removal ? removedText(removal.songs) : "");
    write(el("spoken"), this.#spoken());
  }

  /** Each quarter of the work on the song that is shown, and what came of it. */
  #spoken() {
    const { shown, predictions } = this.state;
    if (!shown) return "";
    const works = predictions.map((each) => this.state.work(shown, each));
    const texts = works.map((each) => {
      const { status, note, error } = each;
      if (status === "done") return summaryText(each).replaceAll(" · ", ", ");
      if (status === "live") return "Recording";
      if (status === "failed") return error;
      if (!each.open || note) return statusText(each);
      const quarter = Math.floor(4 * (share(each) ?? 0)) * 25;
      return `${status}${quarter ? ` ${quarter} %` : ""}`;
    });
    const { corrected } = shown;
    if (corrected !== null) texts.push(`${quadrantName(corrected)}, corrected by you`);
    return `${shown.name}: ${texts.join(". ")}`;
  }
}

/** @param {Song[]} songs */
const removedText = (songs) =>
  songs.length === 1 ? `Removed ${songs[0].name}.` : `Removed ${songs.length} songs.`;
