// What a model says of a song, as it comes in: a row a second.

export class Rows {
  quadrant = [];
  arousal = [];
  valence = [];
  silent = [];
  uncertain = [];

  get length() {
    return this.quadrant.length;
  }

  /** Take a block of rows from `from` on; one that comes again replaces itself. */
  put(block) {
    for (const name of ["quadrant", "arousal", "valence", "silent", "uncertain"]) {
      this[name].splice(block.from, block[name].length, ...block[name]);
    }
  }

  /** The most probable quadrant of a second, 0 to 3. */
  winner(k) {
    return largest(this.quadrant[k]);
  }

  /** Means over the seconds that sound, or over all if none does; null while there are none. */
  means() {
    if (!this.length) return null;
    const all = range(0, this.length);
    const sounding = all.filter((k) => !this.silent[k]);
    return meansOf(this, sounding.length ? sounding : all);
  }

  /** Rows in columns of `step` seconds: means of those that sound, and marks where most agree. */
  columns(step) {
    const made = [];
    for (let from = 0; from < this.length; from += step) {
      const all = range(from, Math.min(from + step, this.length));
      const heard = all.filter((k) => !this.silent[k]);
      const doubtful = heard.filter((k) => this.uncertain[k]);
      const means = meansOf(this, heard.length ? heard : all);
      made.push({
        from,
        to: from + all.length,
        ...means,
        winner: largest(means.quadrant),
        silent: !heard.length,
        uncertain: doubtful.length * 2 > heard.length,
      });
    }
    return made;
  }
}

/** The clip as a whole: the server's own word when it is there, what is known so far until then. */
export function summary(prediction) {
  const { result, rows } = prediction;
  const means = result ? resultMeans(result) : rows.means();
  if (!means) return null;
  const winner = largest(means.quadrant);
  return {
    ...means,
    winner,
    confidence: means.quadrant[winner],
    unsure: Boolean(result?.unsure),
    final: Boolean(result),
  };
}

/** Rows of a finished prediction. */
export function rowsOf(result) {
  const rows = new Rows();
  const [quadrant, arousal, valence] = ["quadrant", "arousal", "valence"].map(
    (head) => result[head].rows,
  );
  rows.put({ ...result, from: 0, quadrant, arousal, valence });
  return rows;
}

/** Rows of a finished prediction as CSV, as the server writes them. */
export function toCsv(result) {
  const head = "second,Q1,Q2,Q3,Q4,arousal,valence,silent,uncertain";
  const lines = result.quadrant.rows.map((row, k) => {
    const flags = [result.silent[k], result.uncertain[k]].map(Number);
    return [k, ...row, result.arousal.rows[k][1], result.valence.rows[k][1], ...flags].join(",");
  });
  return `${[head, ...lines].join("\r\n")}\r\n`;
}

export const largest = (row) => row.indexOf(Math.max(...row));

const range = (from, to) => Array.from({ length: to - from }, (_, k) => from + k);

function meansOf(rows, chosen) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    quadrant: [0, 1, 2, 3].map((c) => mean(chosen.map((k) => rows.quadrant[k][c]))),
    arousal: mean(chosen.map((k) => rows.arousal[k][1])),
    valence: mean(chosen.map((k) => rows.valence[k][1])),
  };
}

function resultMeans({ means }) {
  return {
    quadrant: Object.values(means.quadrant),
    arousal: means.arousal.positive,
    valence: means.valence.positive,
  };
}
