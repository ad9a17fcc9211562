// The tag-gram on canvases: outline, quadrants, arousal and valence over one time axis.

import { clock } from "./dom.js";

const BAR = 3; // pixels from one bar of the outline to the next
const TICK = 64; // pixels between two ticks, at least
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200]; // seconds
const FAINT = 0.45; // of what is uncertain
const UNHEARD = 0.12; // height of an outline that the browser cannot make

/** The colours of the page, as its style sheet and the server give them. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    ink: read("--ink"),
    soft: read("--soft"),
    line: read("--line"),
    lane: read("--lane"),
    hatch: read("--hatch"),
    quadrant: [1, 2, 3, 4].map((n) => read(`--q${n}`)),
    arousal: [read("--arousal-0"), read("--arousal-1")],
    valence: [read("--valence-0"), read("--valence-1")],
  };
}

/** Columns of a width in pixels: one a second, or means of several where they would be too thin. */
export function columnsFor(rows, span, width) {
  return rows.columns(Math.max(1, Math.ceil(span / Math.max(1, width))));
}

/** The outline of the sound, in the colour of each second's most probable quadrant. */
export function drawOutline(canvas, outline, rows, span, colours) {
  const { pen, width, height } = begin(canvas);
  const columns = columnsFor(rows, span, width / BAR);
  const step = columns.length ? columns[0].to : 1; // seconds
  const loudest = outline?.loudest || 1;
  for (let x = 0; x + 1 < width; x += BAR) {
    const [from, to] = [x, x + BAR].map((place) => (place / width) * span);
    if (outline && from > outline.seconds) break;
    const column = columns[Math.floor(from / step)];
    const coloured = column && !column.silent;
    pen.fillStyle = coloured ? colours.quadrant[column.winner] : colours.soft;
    pen.globalAlpha = !column ? 0.35 : column.uncertain ? FAINT : 1;
    const peak = outline ? outline.between(from, to) / loudest : UNHEARD;
    const tall = Math.max(1, peak * (height - 4));
    pen.fillRect(x, (height - tall) / 2, BAR - 1, tall);
  }
}

/** Four lanes, the fuller the colour the more probable. */
export function drawQuadrants(canvas, columns, span, colours) {
  const { pen, width, height } = begin(canvas);
  const lane = height / 4;
  for (let c = 0; c < 4; c += 1) {
    pen.globalAlpha = 1;
    pen.fillStyle = colours.lane;
    pen.fillRect(0, c * lane, width, lane - 2);
    pen.fillStyle = colours.quadrant[c];
    for (const column of columns) {
      if (column.silent) continue;
      const [x, wide] = place(column, span, width);
      pen.globalAlpha = column.quadrant[c] * (column.uncertain ? FAINT : 1);
      pen.fillRect(x, c * lane, wide, lane - 2);
    }
  }
  mark(pen, columns, span, width, height - 2, colours);
}

/** One axis: bars up from the middle where positive is more probable, else down. */
export function drawAxis(canvas, columns, axis, span, colours) {
  const { pen, width, height } = begin(canvas);
  const middle = height / 2;
  pen.fillStyle = colours.lane;
  pen.fillRect(0, 0, width, height);
  for (const column of columns) {
    if (column.silent) continue;
    const [x, wide] = place(column, span, width);
    const tall = (column[axis] - 0.5) * (height - 4);
    pen.fillStyle = colours[axis][Number(tall > 0)];
    pen.globalAlpha = column.uncertain ? FAINT : 0.9;
    pen.fillRect(x, middle, wide, -Math.sign(tall) * Math.max(1, Math.abs(tall)));
  }
  pen.globalAlpha = 1;
  pen.fillStyle = colours.soft;
  pen.fillRect(0, Math.round(middle), width, 1);
  mark(pen, columns, span, width, height, colours);
}

/** Where two models name the same quadrant. Returns the share of the seconds, silent ones apart. */
export function drawAgreement(canvas, one, other, span, colours) {
  const { pen, width, height } = begin(canvas);
  const length = Math.min(one.length, other.length);
  let [same, heard] = [0, 0];
  for (let k = 0; k < length; k += 1) {
    if (one.silent[k]) continue;
    const agree = one.winner(k) === other.winner(k);
    heard += 1;
    same += Number(agree);
    pen.fillStyle = agree ? colours.ink : colours.lane;
    const [x, wide] = place({ from: k, to: k + 1 }, span, width);
    pen.fillRect(x, 0, wide, height);
  }
  return heard ? same / heard : null;
}

export function drawTime(canvas, span, colours) {
  const { pen, width } = begin(canvas);
  const step = STEPS.find((s) => (s / span) * width >= TICK) ?? span;
  pen.fillStyle = colours.soft;
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "top";
  for (let second = 0; second <= span; second += step) {
    const x = (second / span) * width;
    const text = clock(second);
    const wide = pen.measureText(text).width;
    pen.fillRect(Math.min(Math.round(x), width - 1), 0, 1, 4);
    pen.fillText(text, Math.max(0, Math.min(x - wide / 2, width - wide)), 8);
  }
}

/** A sample of what uncertain ("uncertain") or silent ("silent") seconds look like. */
export function drawSample(canvas, kind, colours) {
  const column = { from: 0, to: 1, silent: kind === "silent", uncertain: kind === "uncertain" };
  const { pen, width, height } = begin(canvas);
  pen.fillStyle = colours.lane;
  pen.fillRect(0, 0, width, height);
  if (kind === "uncertain") {
    pen.globalAlpha = FAINT;
    pen.fillStyle = colours.quadrant[2];
    pen.fillRect(0, 0, width, height);
  }
  mark(pen, [column], 1, width, height, colours);
}

/** Hatch what is uncertain, dot what is silent. */
function mark(pen, columns, span, width, height, colours) {
  pen.globalAlpha = 1;
  for (const [flag, pattern] of [
    ["silent", dots],
    ["uncertain", hatches],
  ]) {
    const marked = columns.filter((column) => column[flag] && (flag === "silent" || !column.silent));
    if (!marked.length) continue;
    pen.fillStyle = pattern(pen, colours);
    for (const column of marked) {
      const [x, wide] = place(column, span, width);
      pen.fillRect(x, 0, wide, height);
    }
  }
}

const hatches = (pen, { hatch }) =>
  tile(pen, 7, (ink) => {
    ink.strokeStyle = hatch;
    ink.lineWidth = 1.4;
    for (const shift of [-7, 0, 7]) {
      ink.moveTo(shift, 7);
      ink.lineTo(shift + 7, 0);
    }
    ink.stroke();
  });

const dots = (pen, { soft }) =>
  tile(pen, 6, (ink) => {
    ink.fillStyle = soft;
    ink.globalAlpha = 0.6;
    ink.fillRect(2, 2, 1.5, 1.5);
  });

function tile(pen, size, draw) {
  const scale = devicePixelRatio;
  const canvas = new OffscreenCanvas(Math.round(size * scale), Math.round(size * scale));
  const ink = canvas.getContext("2d");
  ink.scale(canvas.width / size, canvas.height / size);
  draw(ink);
  const pattern = pen.createPattern(canvas, "repeat");
  pattern.setTransform(new DOMMatrix().scale(size / canvas.width, size / canvas.height));
  return pattern;
}

/** Left end and width in whole pixels, so that neighbours neither overlap nor leave a gap. */
function place({ from, to }, span, width) {
  const [left, right] = [from, Math.min(to, span)].map((s) => Math.round((s / span) * width));
  return [left, right - left];
}

function begin(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return { pen, width, height };
}
