// The tag-gram: waveform, quadrants, arousal and valence over one time axis. Each function draws
// on a `Sheet`, be it a canvas of the page or a part of a picture.

/** @import { Peaks } from "../state/peaks.js" */
/** @import { Column, Rows } from "../state/rows.js" */
/** @import { Song } from "../state/song.js" */

import { clock } from "../words.js";

const BAR = 3; // pixels from one bar of the waveform to the next
const TICK = 64; // pixels between two ticks, at least
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200]; // seconds

/** @typedef {CanvasRenderingContext2D|OffscreenCanvasRenderingContext2D} Pen */
/** @typedef {ReturnType<typeof palette>} Palette */

/** The colours of the page, as its style sheets and the server give them. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    ink: read("--ink"),
    soft: read("--soft"),
    surface: read("--surface"),
    lane: read("--lane"),
    hatch: read("--hatch"),
    quadrant: [1, 2, 3, 4].map((n) => read(`--q${n}`)),
    arousal: [read("--arousal-0"), read("--arousal-1")],
    valence: [read("--valence-0"), read("--valence-1")],
    font: style.fontFamily,
    size: Number.parseFloat(style.fontSize),
  };
}

/** A place to draw some seconds of a song. */
export class Sheet {
  /**
   * @param {Pen} pen
   * @param {number} width
   * @param {number} height
   * @param {{from: number, to: number}} range seconds
   * @param {Palette} colours
   */
  constructor(pen, width, height, range, colours) {
    this.pen = pen;
    this.width = width;
    this.height = height;
    this.from = range.from;
    this.to = range.to;
    this.colours = colours;
  }

  /** A canvas of the page, emptied. @param {HTMLCanvasElement} canvas */
  static on(
    canvas,
    /** @type {{from: number, to: number}} */ range,
    /** @type {Palette} */ colours,
  ) {
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = devicePixelRatio;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(scale, scale);
    return new Sheet(pen, width, height, range, colours);
  }

  /** @param {number} second */
  x(second) {
    return ((second - this.from) / (this.to - this.from)) * this.width;
  }

  /** Left end and width in whole pixels, so that neighbours neither overlap nor leave a gap. */
  /** @param {{from: number, to: number}} range @returns {[number, number]} */
  place({ from, to }) {
    const left = Math.max(0, Math.round(this.x(from)));
    const right = Math.min(Math.round(this.width), Math.round(this.x(to)));
    return [left, right - left];
  }

  /** Columns of rows: one per second, or means of several where they would be too thin. */
  /** @param {Rows} rows @param {number} thinnest pixels @returns {Column[]} */
  columns(rows, thinnest = 1) {
    const step = Math.ceil(((this.to - this.from) * thinnest) / Math.max(1, this.width));
    return rows.columns(Math.max(1, step), Math.floor(this.from), Math.ceil(this.to));
  }
}

/**
 * The waveform, in the colour of each second's most probable quadrant; dashed where uncertain.
 * @param {Sheet} sheet
 * @param {Peaks} peaks
 * @param {Rows} rows
 */
export function drawWaveform(sheet, peaks, rows) {
  const { pen, width, height, colours } = sheet;
  const columns = sheet.columns(rows, BAR);
  const first = columns[0]?.from ?? 0;
  const step = columns.length ? columns[0].to - first : 1;
  const loudest = peaks.loudest || 1;
  const middle = height / 2;
  const scale = (middle - 2) / loudest;
  for (let x = 0; x + 1 < width; x += BAR) {
    const [from, to] = [x, x + BAR].map(
      (place) => sheet.from + (place / width) * (sheet.to - sheet.from),
    );
    const peak = peaks.between(from, to);
    if (!peak) continue;
    const column = columns[Math.floor((from - first) / step)];
    const coloured = column && !column.silent && from < column.to;
    pen.fillStyle = coloured ? colours.quadrant[column.winner] : colours.soft;
    const top = middle - peak[1] * scale;
    const tall = Math.max(1, (peak[1] - peak[0]) * scale);
    const dash = coloured && column.uncertain ? 3 : tall;
    for (let y = 0; y < tall; y += dash + 2) {
      pen.fillRect(x, top + y, BAR - 1, Math.min(dash, tall - y));
    }
  }
}

/**
 * Four lanes, the fuller the colour the more probable. Seconds without a row stay empty.
 * @param {Sheet} sheet
 * @param {Rows} rows
 */
export function drawQuadrants(sheet, rows) {
  const { pen, height, colours } = sheet;
  const columns = sheet.columns(rows);
  const lane = height / 4;
  for (let c = 0; c < 4; c += 1) {
    for (const column of columns) {
      const [x, wide] = sheet.place(column);
      pen.globalAlpha = 1;
      pen.fillStyle = colours.lane;
      pen.fillRect(x, c * lane, wide, lane - 2);
      if (column.silent) continue;
      pen.fillStyle = colours.quadrant[c];
      pen.globalAlpha = column.quadrant[c];
      pen.fillRect(x, c * lane, wide, lane - 2);
    }
  }
  pen.globalAlpha = 1;
  markSeconds(sheet, columns, height - 2);
}

/**
 * One axis: bars up from the middle where positive is more probable, else down.
 * @param {Sheet} sheet
 * @param {Rows} rows
 * @param {"arousal"|"valence"} axis
 */
export function drawAxis(sheet, rows, axis) {
  const { pen, height, colours } = sheet;
  const columns = sheet.columns(rows);
  const middle = height / 2;
  for (const column of columns) {
    const [x, wide] = sheet.place(column);
    pen.fillStyle = colours.lane;
    pen.fillRect(x, 0, wide, height);
    if (column.silent) continue;
    const tall = (column[axis] - 0.5) * (height - 4);
    pen.fillStyle = colours[axis][Number(tall > 0)];
    pen.fillRect(x, middle, wide, -Math.sign(tall) * Math.max(1, Math.abs(tall)));
  }
  const [left, right] = [columns[0]?.from ?? 0, columns.at(-1)?.to ?? 0];
  const [x, wide] = sheet.place({ from: left, to: right });
  pen.fillStyle = colours.soft;
  pen.fillRect(x, Math.round(middle), wide, 1);
  markSeconds(sheet, columns, height);
}

/**
 * What the user gave: a strip in the colour of the quadrant, with its name where there is room.
 * @param {Sheet} sheet
 * @param {Song} song
 */
export function drawCorrections(sheet, song) {
  const { pen, height, colours } = sheet;
  pen.font = `600 ${0.75 * colours.size}px ${colours.font}`;
  pen.textBaseline = "middle";
  for (const { from, to, quadrant } of song.corrections) {
    const [x, wide] = sheet.place({ from: from ?? 0, to: to ?? song.extent });
    pen.clearRect(x, 0, wide, height);
    pen.fillStyle = colours.surface;
    pen.fillRect(x, 0, wide, height);
    pen.fillStyle = colours.quadrant[quadrant];
    pen.fillRect(x, height - 4, Math.max(2, wide), 4);
    pen.fillStyle = colours.ink;
    const label = `Q${quadrant + 1}`;
    if (pen.measureText(label).width + 4 < wide) pen.fillText(label, x + 2, (height - 4) / 2);
  }
}

/**
 * The seconds that the labels of the user have changed.
 * @param {Sheet} sheet
 * @param {Rows} rows
 */
export function drawAdjusted(sheet, rows) {
  const { pen, height, colours } = sheet;
  for (const column of sheet.columns(rows)) {
    pen.fillStyle = column.adjusted ? colours.ink : colours.lane;
    const [x, wide] = sheet.place(column);
    pen.fillRect(x, 0, wide, height);
  }
}

/**
 * Where two models name the same quadrant.
 * @param {Sheet} sheet
 * @param {Rows} one
 * @param {Rows} other
 */
export function drawAgreement(sheet, one, other) {
  const { pen, height, colours } = sheet;
  const last = Math.min(one.length, other.length, Math.ceil(sheet.to));
  for (let k = Math.floor(sheet.from); k < last; k += 1) {
    if (one.silent[k] || other.silent[k]) continue;
    pen.fillStyle = one.winner(k) === other.winner(k) ? colours.ink : colours.lane;
    const [x, wide] = sheet.place({ from: k, to: k + 1 });
    pen.fillRect(x, 0, wide, height);
  }
}

/**
 * The share of the seconds in which two models name the same quadrant; silent ones do not count.
 * @param {Rows} one
 * @param {Rows} other
 * @returns {number|null} null where there is no such second
 */
export function agreement(one, other) {
  let [same, compared] = [0, 0];
  for (let k = 0; k < Math.min(one.length, other.length); k += 1) {
    if (one.silent[k] || other.silent[k]) continue;
    compared += 1;
    same += Number(one.winner(k) === other.winner(k));
  }
  return compared ? same / compared : null;
}

/** @param {Sheet} sheet */
export function drawTime(sheet) {
  const { pen, width, colours } = sheet;
  const span = sheet.to - sheet.from;
  const step = STEPS.find((each) => (each / span) * width >= TICK) ?? span;
  pen.fillStyle = colours.soft;
  pen.font = `${0.75 * colours.size}px ${colours.font}`;
  pen.textBaseline = "top";
  for (let second = Math.ceil(sheet.from / step) * step; second <= sheet.to; second += step) {
    const x = sheet.x(second);
    const text = clock(second);
    const wide = pen.measureText(text).width;
    pen.fillRect(Math.min(Math.round(x), width - 1), 0, 1, 4);
    pen.fillText(text, Math.max(0, Math.min(x - wide / 2, width - wide)), 8);
  }
}

/**
 * The whole song in little: the waveform, and which part the timeline shows.
 * @param {Sheet} sheet
 * @param {Peaks} peaks
 * @param {Rows} rows
 */
export function drawOverview(sheet, peaks, rows) {
  const { pen, width, height, colours } = sheet;
  const columns = sheet.columns(rows);
  for (const column of columns) {
    if (column.silent) continue;
    const [x, wide] = sheet.place(column);
    pen.fillStyle = colours.quadrant[column.winner];
    pen.fillRect(x, height - 5, wide, 5);
  }
  pen.fillStyle = colours.soft;
  const middle = (height - 6) / 2;
  const scale = middle / (peaks.loudest || 1);
  for (let x = 0; x < width; x += 1) {
    const [from, to] = [x, x + 1].map((place) => (place / width) * sheet.to);
    const peak = peaks.between(from, to);
    if (peak)
      pen.fillRect(x, middle - peak[1] * scale, 1, Math.max(1, (peak[1] - peak[0]) * scale));
  }
}

/**
 * A sample of what uncertain or silent seconds look like.
 * @param {Sheet} sheet
 * @param {"uncertain"|"silent"} kind
 */
export function drawSample(sheet, kind) {
  const { pen, width, height, colours } = sheet;
  pen.fillStyle = kind === "silent" ? colours.lane : colours.quadrant[2];
  pen.fillRect(0, 0, width, height);
  const [from, to] = [sheet.from, sheet.to];
  const silent = kind === "silent";
  markSeconds(sheet, [{ from, to, silent, uncertain: !silent }], height);
}

/**
 * Hatch what is uncertain, dot what is silent.
 * @param {Sheet} sheet
 * @param {Pick<Column, "from"|"to"|"silent"|"uncertain">[]} columns
 * @param {number} height
 */
function markSeconds(sheet, columns, height) {
  const { pen, colours } = sheet;
  /** @param {typeof columns} marked @param {(ink: Pen) => void} draw */
  const fill = (marked, draw) => {
    if (!marked.length) return;
    pen.fillStyle = tile(pen, draw);
    for (const column of marked) {
      const [x, wide] = sheet.place(column);
      pen.fillRect(x, 0, wide, height);
    }
  };
  fill(
    columns.filter(({ silent }) => silent),
    (ink) => {
      ink.fillStyle = colours.soft;
      ink.fillRect(2, 2, 2, 2);
    },
  );
  fill(
    columns.filter(({ silent, uncertain }) => uncertain && !silent),
    (ink) => {
      ink.strokeStyle = colours.hatch;
      ink.lineWidth = 1.3;
      for (const shift of [-TILE, 0, TILE]) {
        ink.moveTo(shift, TILE);
        ink.lineTo(shift + TILE, 0);
      }
      ink.stroke();
    },
  );
}

const TILE = 9; // pixels

/**
 * A pattern, drawn at the resolution of the screen.
 * @param {Pen} pen
 * @param {(ink: Pen) => void} draw
 */
function tile(pen, draw) {
  const side = Math.max(1, Math.round(TILE * devicePixelRatio));
  const canvas = new OffscreenCanvas(side, side);
  const ink = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ink.scale(side / TILE, side / TILE);
  draw(ink);
  const pattern = /** @type {CanvasPattern} */ (pen.createPattern(canvas, "repeat"));
  pattern.setTransform(new DOMMatrix().scale(TILE / side, TILE / side));
  return pattern;
}
