// Russell's plane: valence to the right, arousal upwards; the path of a song, or all songs on it.

/** @import { Rows, Summary } from "../state/rows.js" */
/** @import { Song } from "../state/song.js" */

import { svg, write } from "../dom.js";
import { quadrantAt } from "../state/rows.js";
import { ADJUSTED, QUADRANTS, quadrantName } from "../words.js";
import { explain } from "./explain.js";

const SIDE = 280; // of the square, in units of the drawing
const LEFT = 22;
const TOP = 22;
const WIDTH = LEFT + SIDE + 4;
const HEIGHT = TOP + SIDE + 24;
const CORNERS = [
  [1, 0],
  [0, 0],
  [0, 1],
  [1, 1],
]; // column and row of Q1 to Q4
const DOTS = 240; // of a path, at most
const APART = 21; // between two songs of the map

/** @typedef {[number, number]} Place */
/** @typedef {{song: Song, number: number, label: string, shown: boolean, adjusted: boolean, summary: Summary & {winner: number}}} Entry */

/** @param {number} valence */
const x = (valence) => LEFT + SIDE * valence;
/** @param {number} arousal */
const y = (arousal) => TOP + SIDE * (1 - arousal);

/** @param {string} label */
function backdrop(label) {
  const plane = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    class: "plane",
    role: "img",
    "aria-label": label,
  });
  CORNERS.forEach(([column, row], c) => {
    const [left, top] = [LEFT + (column * SIDE) / 2, TOP + (row * SIDE) / 2];
    plane.append(
      svg("rect", {
        class: `field q${c + 1}`,
        x: left,
        y: top,
        width: SIDE / 2,
        height: SIDE / 2,
      }),
      svg(
        "text",
        {
          // Outside, where no path can hide it.
          class: "corner",
          x: left + (column ? SIDE / 2 : 0),
          y: row ? HEIGHT - 6 : TOP - 8,
          "text-anchor": column ? "end" : "start",
        },
        svg("tspan", { class: "corner-name" }, `Q${c + 1}`),
        ` ${QUADRANTS[c]}`,
      ),
    );
  });
  const axes = `M${x(0.5)} ${y(0)}V${y(1)}M${x(0)} ${y(0.5)}H${x(1)}`;
  /** @type {Record<string, string|number>} */
  const below = { class: "axis-name", x: x(0.5), y: HEIGHT - 6, "text-anchor": "middle" };
  const beside = {
    class: "axis-name",
    transform: `translate(14 ${y(0.5)}) rotate(-90)`,
    "text-anchor": "middle",
  };
  plane.append(
    svg("path", { class: "axes", d: axes }),
    svg("text", below, "valence →"),
    svg("text", beside, "arousal →"),
  );
  return plane;
}

/** The path of one song through the plane. */
export class Path {
  #trail = svg("g");
  #mean = svg("path", { class: "mean", d: "M0-8L8 0L0 8L-8 0z", visibility: "hidden" });
  #now = svg("g", { class: "present", visibility: "hidden" });

  constructor() {
    this.#now.append(svg("circle", { class: "halo", r: 9 }), svg("circle", { class: "dot", r: 6 }));
    this.element = backdrop("");
    this.element.append(this.#trail, this.#mean, this.#now);
  }

  /**
   * Draw the path of rows, and the mean of the song.
   * @param {Rows} rows
   * @param {Summary|null} summary
   * @param {string} label
   */
  draw(rows, summary, label) {
    this.element.setAttribute("aria-label", label);
    const columns = rows.columns(Math.max(1, Math.ceil(rows.length / DOTS)));
    const sounding = columns.filter((column) => !column.silent);
    const points = sounding.map(({ valence, arousal }) => `${x(valence)},${y(arousal)}`);
    this.#trail.replaceChildren(svg("polyline", { class: "trail", points: points.join(" ") }));
    for (const column of sounding) {
      // From pale to full, as time passes.
      const age = rows.length > 1 ? column.from / (rows.length - 1) : 1;
      this.#trail.append(
        svg("circle", {
          class: `second q${column.winner + 1}${column.uncertain ? " uncertain" : ""}`,
          cx: x(column.valence),
          cy: y(column.arousal),
          r: 3.2,
          opacity: 0.5 + 0.5 * age,
        }),
      );
    }
    const known = summary && summary.winner !== null;
    move(this.#mean, known ? [x(summary.valence), y(summary.arousal)] : null);
  }

  /** Mark a second that has a row and sound. @param {Rows} rows @param {number} k */
  at(rows, k) {
    const known = k >= 0 && k < rows.length && !rows.silent[k];
    move(this.#now, known ? [x(rows.valence[k][1]), y(rows.arousal[k][1])] : null);
    if (known) {
      const uncertain = rows.uncertain[k] ? " uncertain" : "";
      this.#now.setAttribute("class", `present q${rows.winner(k) + 1}${uncertain}`);
    }
  }
}

/** All finished songs as numbered marks. */
export class Chart {
  /** @type {Map<Song, SVGElement>} */ #marks = new Map();
  #layer = svg("g");
  #key = "";
  /** @type {Place[]} */ #places = [];

  /** @param {(song: Song) => void} chosen */
  constructor(chosen) {
    this.chosen = chosen;
    this.element = backdrop("Russell's plane with all songs");
    this.element.setAttribute("role", "group");
    this.element.append(this.#layer);
  }

  /** @param {Entry[]} entries */
  draw(entries) {
    const known = new Set(entries.map(({ song }) => song));
    for (const [song, mark] of this.#marks) {
      if (known.has(song)) continue;
      mark.remove();
      this.#marks.delete(song);
    }
    const places = entries.map(
      ({ summary }) => /** @type {Place} */ ([x(summary.valence), y(summary.arousal)]),
    );
    if (places.join() !== this.#key) {
      this.#key = places.join();
      this.#places = apart(places);
    }
    entries.forEach(({ song, number, label, shown, adjusted, summary }, i) => {
      const mark = this.#mark(song);
      const uncertain = summary.uncertain ? " uncertain" : "";
      mark.setAttribute("class", `mark q${summary.winner + 1}${uncertain}`);
      // Begins with the number, so that it can be called by what is seen (WCAG 2.5.3).
      const doubt = summary.uncertain ? ", uncertain" : "";
      mark.setAttribute(
        "aria-label",
        `${number} ${label}: ${quadrantName(summary.winner)}${doubt}${adjusted ? ", adjusted" : ""}`,
      );
      mark.setAttribute("data-about", about(song, summary, adjusted));
      mark.setAttribute("aria-pressed", String(shown));
      write(/** @type {Element} */ (mark.lastElementChild), String(number));
      move(mark, this.#places[i]);
    });
    this.#order(entries.map(({ song }) => this.#mark(song)));
  }

  /** Put marks in the order of their numbers, in which Tab goes through them. */
  /** @param {SVGElement[]} marks */
  #order(marks) {
    if (marks.every((mark, i) => mark === this.#layer.children[i])) return;
    const focused = document.activeElement;
    this.#layer.replaceChildren(...marks);
    if (focused instanceof SVGElement) focused.focus();
  }

  /** @param {Song} song */
  #mark(song) {
    let mark = this.#marks.get(song);
    if (!mark) {
      mark = svg(
        "g",
        { role: "button", tabindex: 0 },
        svg("circle", { r: 10.5 }),
        svg("text", { "text-anchor": "middle", dy: "0.35em" }),
      );
      const made = mark;
      explain(mark, () => made.dataset.about ?? "");
      mark.addEventListener("click", () => this.chosen(song));
      mark.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation(); // Space would play
        this.chosen(song);
      });
      this.#marks.set(song, mark);
      this.#layer.append(mark);
    }
    return mark;
  }
}

/**
 * What a mark stands for, and why it lies in another quadrant than its colour says, if it does.
 * @param {Song} song
 * @param {Entry["summary"]} summary
 * @param {boolean} adjusted
 */
function about(song, summary, adjusted) {
  const at = quadrantAt(summary);
  const name = adjusted ? `${song.name}, ${ADJUSTED}` : song.name;
  if (at === summary.winner) return name;
  const [verdict, place] = [summary.winner, at].map(quadrantName);
  return `${name}. The most probable quadrant is ${verdict}; mean arousal and valence lie in ${place}.`;
}

/** @param {Element} element @param {Place|null} place */
function move(element, place) {
  element.setAttribute("visibility", place ? "visible" : "hidden");
  if (place) element.setAttribute("transform", `translate(${place[0]} ${place[1]})`);
}

/** Push marks apart that would hide each other, and keep them on the plane and in their quadrant. */
/** @param {Place[]} places */
function apart(places) {
  const moved = places.map(([left, top]) => /** @type {Place} */ ([left, top]));
  const across = places.map(([left]) => side(left, x(0) + 12, x(0.5), x(1) - 12));
  const down = places.map(([, top]) => side(top, y(1) + 12, y(0.5), y(0) - 12));
  const keep = () => {
    for (const [i, place] of moved.entries()) {
      place[0] = between(place[0], ...across[i]);
      place[1] = between(place[1], ...down[i]);
    }
  };
  keep();
  const sorted = [...moved];
  for (let round = 0; round < 60 && push(sorted); round += 1) keep();
  return moved;
}

/**
 * Push each pair of marks apart that is too close.
 * @param {Place[]} marks are sorted from left to right, so that only neighbours are compared
 * @returns {boolean} whether there was such a pair
 */
function push(marks) {
  marks.sort((one, other) => one[0] - other[0]);
  let pushed = false;
  for (let i = 0; i < marks.length; i += 1) {
    const one = marks[i];
    for (let j = i - 1; j >= 0 && one[0] - marks[j][0] < APART; j -= 1) {
      const other = marks[j];
      const dx = one[0] - other[0];
      const dy = one[1] - other[1];
      if (Math.abs(dy) >= APART) continue;
      const distance = Math.hypot(dx, dy);
      if (distance > APART - 0.01) continue; // what was pushed apart, rounded
      const half = (APART - distance) / 2;
      const px = half * (distance ? dx / distance : Math.cos(i));
      const py = half * (distance ? dy / distance : Math.sin(i));
      one[0] += px;
      one[1] += py;
      other[0] -= px;
      other[1] -= py;
      pushed = true;
    }
  }
  return pushed;
}

/** @param {number} value @param {number} least @param {number} most */
const between = (value, least, most) => Math.max(least, Math.min(value, most));

/**
 * The half of an axis in which a value lies.
 * @param {number} value
 * @param {number} least
 * @param {number} middle
 * @param {number} most
 * @returns {[number, number]}
 */
const side = (value, least, middle, most) =>
  value < middle ? [least, middle - 1] : [middle + 1, most];
