// What a person reads for quadrants and languages.

/** A word for each quadrant; the signs of its axes come from the server. */
export const QUADRANTS = ["happy", "tense", "sad", "calm"];
export const EXAMPLES = [
  "joyful, excited, lively: fast, bright",
  "angry, afraid, agitated: loud, dense, driving",
  "mournful, weary, gloomy: slow, soft, dark",
  "peaceful, tender, content: slow, gentle, warm",
];

const LANGUAGES = { english: "English", mandarin: "Mandarin", mixed: "English and Mandarin" };

export const language = (name) => LANGUAGES[name] ?? name;
export const modelTitle = (model) =>
  `${language(model.speech)} speech → ${language(model.music)} music` +
  (model.experimental ? " (experimental)" : "");
export const quadrantName = (index) => `Q${index + 1} ${QUADRANTS[index]}`;
