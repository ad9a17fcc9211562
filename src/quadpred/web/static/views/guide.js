// The guide to the quadrants, with the colours that the server gives them.

/** @import { State } from "../state/state.js" */

import { el, make } from "../dom.js";
import { EXAMPLES, QUADRANTS, quadrantName } from "../words.js";

/** @param {State} state */
export function drawGuide({ heads }) {
  const root = document.documentElement.style;
  const [quadrants, ...axes] = heads;
  for (const [c, colour] of quadrants.colours.entries()) {
    root.setProperty(`--q${c + 1}`, colour);
  }
  for (const { name, colours } of axes) {
    for (const [c, colour] of colours.entries()) root.setProperty(`--${name}-${c}`, colour);
  }
  el("quadrants").replaceChildren(
    ...QUADRANTS.map((_, c) => {
      const name = make("dt", {}, make("span", { className: `swatch q${c + 1}` }), quadrantName(c));
      return make("div", { className: `q${c + 1}` }, name, make("dd", {}, EXAMPLES[c]));
    }),
  );
}
