// Explanations of terms, where these appear: on hover, on focus and on tap, until Escape.

import { el, make } from "../dom.js";

const TERMS = {
  probable:
    "The probability that the model gives to this quadrant, as the mean over all seconds with " +
    "sound. The four quadrants add up to 100 %. A random guess has 25 %.",
  uncertain:
    "The probabilities of the two most probable quadrants are too close. " +
    "Do not rely on the quadrant here.",
  silent: "There is no sound to predict an emotion from.",
  arousal:
    "The energy of the emotion. Happy and tense have positive arousal, sad and calm negative. The " +
    "number is the probability that the arousal is positive.",
  valence:
    "How pleasant the emotion is. Happy and calm have positive valence, tense and sad negative. " +
    "The number is the probability that the valence is positive.",
  experimental:
    "On clips that it was not trained on, this model is no better than chance. Do not rely on it.",
  corrected: "You gave this label. Download labels saves it for quadpred adapt.",
  adjusted:
    "Your labels have shifted seconds that sound like those you labelled. Switch it off under the " +
    "song to see the values of the model.",
  disagree:
    "The most probable quadrant is shown. Here the means of arousal and valence lie in another " +
    "quadrant.",
};

/** @type {Element|null} */
let shown = null;

/**
 * A word with an explanation.
 * @param {keyof typeof TERMS} name
 * @param {string} text
 * @param {string} className
 */
export function term(name, text, className = "") {
  const made = make("button", { type: "button", className: `term ${className}` }, text);
  made.setAttribute("aria-describedby", "explanation");
  made.addEventListener("click", () => open(made, TERMS[name]));
  explain(made, () => TERMS[name]);
  return made;
}

/**
 * Show a text beside an element, while it has the pointer or the focus.
 * @param {Element} element
 * @param {() => string} text
 */
export function explain(element, text) {
  const show = () => open(element, text());
  element.addEventListener("focus", show);
  element.addEventListener("pointerenter", show);
  element.addEventListener("pointerleave", (event) => leave(/** @type {PointerEvent} */ (event)));
  element.addEventListener("blur", close);
}

/** @param {Element} made @param {string} text */
function open(made, text) {
  const box = el("explanation");
  shown = made;
  box.textContent = text;
  box.hidden = false;
  const word = made.getBoundingClientRect();
  const { width, height } = box.getBoundingClientRect();
  const below = word.bottom + height + 8 < innerHeight;
  box.style.left = `${Math.max(8, Math.min(word.left, document.documentElement.clientWidth - width - 8))}px`;
  box.style.top = `${below ? word.bottom + 4 : word.top - height - 4}px`;
}

function close() {
  shown = null;
  el("explanation").hidden = true;
}

/** Close, unless the pointer goes to the explanation itself. @param {PointerEvent} event */
function leave(event) {
  if (event.pointerType === "mouse" && event.relatedTarget !== el("explanation")) close();
}

/** Let Escape, a scroll, another size and the pointer close an explanation. */
export function listenForExplanations() {
  addEventListener("keydown", (event) => event.key === "Escape" && close());
  addEventListener("scroll", close, { passive: true, capture: true });
  addEventListener("resize", close);
  el("explanation").addEventListener("pointerleave", close);
  addEventListener("pointerdown", (event) => {
    if (shown && event.target instanceof Node && !shown.contains(event.target)) close();
  });
}
