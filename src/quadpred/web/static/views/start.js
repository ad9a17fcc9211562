// Where songs are added, and the model is chosen.

/** @import { Songs } from "../actions/songs.js" */
/** @import { State } from "../state/state.js" */

import { chosen, dropped } from "../actions/files.js";
import { el, make, rebuild, write } from "../dom.js";
import { megabytes, modelTitle, percent } from "../words.js";

/**
 * Take the files that the user chooses or drops. Those that come early wait.
 * @param {Promise<Songs>} taking
 */
export function listenForFiles(taking) {
  for (const [button, input] of [
    ["choose", "files"],
    ["choose-folder", "folder"],
  ]) {
    el(button).addEventListener("click", () => el(input).click());
    el(input).addEventListener("change", async () => {
      const found = chosen(el(input).files);
      el(input).value = "";
      (await taking).add(found);
    });
  }
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("over");
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    if (!event.dataTransfer) return;
    const found = dropped(event.dataTransfer); // which is empty after this event
    (await taking).add(await found);
  });
}

export class Start {
  /** @param {State} state @param {Songs} songs */
  constructor(state, songs) {
    this.state = state;
    el("record").addEventListener("click", () => songs.record());
    el("example").addEventListener("click", () => songs.addExample());
    el("model").addEventListener("change", () => songs.choose({ model: el("model").value }));
    el("other").addEventListener("change", () => songs.choose({ other: el("other").value }));
  }

  draw() {
    const { state } = this;
    const { model, other, models, limits, recording } = state;
    document.body.classList.toggle("busy", state.songs.length > 0);
    const names = models.map(({ name }) => name).join();
    rebuild(el("model"), names, () => models.map(option));
    rebuild(el("other"), `${names} ${model.name}`, () => [
      make("option", { value: "" }, "no other model"),
      ...models.filter((each) => each !== model).map(option),
    ]);
    el("model").value = model.name;
    el("other").value = other?.name ?? "";
    // A recording is predicted by the model that it was begun with.
    el("model").disabled = el("other").disabled = el("record").disabled = recording;
    write(el("model-about"), about(model));
    const { scores = [] } = model;
    el("scores").hidden = scores.length < 2;
    rebuild(el("score-rows"), `${model.name} ${model.sha256}`, () => scores.map(scoreRow));
    el("card").href = `v1/models/${model.name}/card`;
    write(
      el("limits"),
      `WAV, MP3, FLAC, Ogg, Opus, M4A and more. Up to ${megabytes(limits.bytes)} and ` +
        `${Math.round(limits.seconds / 6) / 10} minutes each. The server deletes a file when its ` +
        "prediction is done. Results stay in this browser.",
    );
  }
}

/** @param {import("../actions/api.js").Model} model */
function option(model) {
  const doubt = model.experimental ? " (experimental)" : "";
  return make("option", { value: model.name }, modelTitle(model) + doubt);
}

/** How far the model can be relied on. @param {import("../actions/api.js").Model} model */
function about({ experimental, scores = [] }) {
  const warning = experimental ? "Experimental: this model is no better than chance. " : "";
  if (!scores.length) return warning;
  const [{ music, clips, accuracy }] = scores;
  return (
    `${warning}Right quadrant for ${percent(accuracy)} of ${clips} clips: ${music}. They were tested ` +
    "with networks like this model that were not trained on them."
  );
}

/** @param {import("../actions/api.js").Score} score */
function scoreRow({ music, clips, accuracy, f1, f1_low, f1_high }) {
  const interval = `[${f1_low.toFixed(3)}, ${f1_high.toFixed(3)}]`;
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, music),
    make("td", {}, String(clips)),
    make("td", {}, percent(accuracy)),
    make("td", {}, `${f1.toFixed(3)} ${interval}`),
  );
}
