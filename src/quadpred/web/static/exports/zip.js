// A zip file without compression (PKWARE APPNOTE 6.3), for a few megabytes of text and pictures.

const UTF8_NAMES = 0x0800;
const VERSION = 20; // needed to extract: 2.0

/**
 * @param {{name: string, content: Blob}[]} files
 * @returns {Promise<Blob>}
 */
export async function zip(files) {
  /** @type {BlobPart[]} */ const parts = [];
  /** @type {BlobPart[]} */ const directory = [];
  let [offset, length] = [0, 0];
  const time = dosTime(new Date());
  for (const { name, content } of files) {
    const bytes = new Uint8Array(await content.arrayBuffer());
    const path = new TextEncoder().encode(name);
    const about = [VERSION, UTF8_NAMES, 0, ...time, crc32(bytes), bytes.length, bytes.length];
    const header = record("IHHHHHIIIHH", [0x04034b50, ...about, path.length, 0]);
    parts.push(header, path, bytes);
    directory.push(
      record("IHHHHHHIIIHHHHHII", [
        ...[0x02014b50, VERSION, ...about, path.length],
        ...[0, 0, 0, 0, 0, offset],
      ]),
      path,
    );
    offset += header.length + path.length + bytes.length;
    length += 46 + path.length;
  }
  const count = files.length;
  const end = record("IHHHHIIH", [0x06054b50, 0, 0, count, count, length, offset, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/**
 * Numbers as little-endian bytes: H of two bytes, I of four.
 * @param {string} format
 * @param {number[]} values
 */
function record(format, values) {
  const sizes = [...format].map((letter) => (letter === "H" ? 2 : 4));
  const view = new DataView(new ArrayBuffer(sizes.reduce((sum, size) => sum + size, 0)));
  let at = 0;
  sizes.forEach((size, i) => {
    if (size === 2) view.setUint16(at, values[i], true);
    else view.setUint32(at, values[i], true);
    at += size;
  });
  return new Uint8Array(view.buffer);
}

/** Time and date of MS-DOS. @param {Date} date */
const dosTime = (date) => [
  (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1),
  ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate(),
];

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit += 1) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
