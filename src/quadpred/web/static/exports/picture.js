// The tag-gram of one prediction as a PNG picture, always in the light colours.

/** @import { Prediction, Song } from "../state/song.js" */

import {
  drawAxis,
  drawQuadrants,
  drawTime,
  drawWaveform,
  palette,
  Sheet,
} from "../views/taggram.js";
import { ADJUSTED, modelTitle, percent, QUADRANTS, quadrantName } from "../words.js";

const [WIDTH, HEIGHT] = [1280, 720];
const SCALE = 2; // pixels per unit
const [LEFT, RIGHT] = [110, 30];
const LIGHT = {
  ink: "#17191e",
  soft: "#5a606c",
  surface: "#ffffff",
  lane: "#efefeb",
  hatch: "#17191ee6",
};

/**
 * @param {Song} song
 * @param {Prediction} prediction with a result
 * @returns {Promise<Blob>}
 */
export function picture(song, prediction) {
  const canvas = new OffscreenCanvas(WIDTH * SCALE, HEIGHT * SCALE);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const colours = { ...palette(), ...LIGHT, size: 16 };
  pen.scale(SCALE, SCALE);
  pen.fillStyle = colours.surface;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  const { rows } = prediction;
  const range = { from: 0, to: prediction.duration ?? rows.length };

  /** @param {string} words @param {number} x @param {number} y @param {string} font @param {string} colour */
  const text = (words, x, y, font, colour) => {
    pen.font = `${font} ${colours.font}`;
    pen.fillStyle = colour;
    pen.textBaseline = "middle";
    pen.fillText(words, x, y, WIDTH - x - RIGHT);
  };
  /** @param {number} top @param {number} height @param {(sheet: Sheet) => void} draw */
  const part = (top, height, draw) => {
    pen.save();
    pen.translate(LEFT, top);
    draw(new Sheet(pen, WIDTH - LEFT - RIGHT, height, range, colours));
    pen.restore();
  };

  text(song.name, 24, 36, "650 24px", colours.ink);
  text(`${verdict(prediction)} · ${modelTitle(prediction.model)}`, 24, 68, "16px", colours.soft);
  part(96, 110, (sheet) => drawWaveform(sheet, song.peaks, rows));
  part(222, 200, (sheet) => drawQuadrants(sheet, rows));
  for (const c of QUADRANTS.keys()) text(quadrantName(c), 24, 247 + 50 * c, "14px", colours.ink);
  part(438, 90, (sheet) => drawAxis(sheet, rows, "arousal"));
  text("Arousal", 24, 483, "14px", colours.ink);
  part(544, 90, (sheet) => drawAxis(sheet, rows, "valence"));
  text("Valence", 24, 589, "14px", colours.ink);
  part(644, 24, drawTime);
  const legend = "The fuller the colour, the more probable. Hatched: uncertain. Dotted: silent.";
  text(legend, LEFT, 694, "13px", colours.soft);
  return canvas.convertToBlob({ type: "image/png" });
}

/** @param {Prediction} prediction */
function verdict({ summary, original }) {
  if (!summary || summary.winner === null) return "silent";
  const doubt = summary.uncertain ? ", uncertain" : "";
  const adjusted = original ? `, ${ADJUSTED}` : "";
  return `${quadrantName(summary.winner)}, ${percent(summary.confidence)} probable${doubt}${adjusted}`;
}
