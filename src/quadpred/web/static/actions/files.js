// Files that the user chose or dropped, with folders.

// The endings that a library run takes for audio (audio/folders.py).
const AUDIO = new Set(
  `
    3g2 3ga 3gp aa3 aac ac3 adts aif aifc aiff alac amr ape asf au awb bwf caf dsf dts dtshd
    eac3 flac gsm loas m4a m4b m4r mka mlp mp1 mp2 mp3 mp4 mpa mpc mpga oga ogg oma opus qoa
    ra rf64 shn snd spx tak thd tta voc vqf w64 wav wave weba webm wma wv xwma
  `
    .trim()
    .split(/\s+/),
);
// Folders in which systems keep thumbnails and what was deleted (audio/folders.py), in lower case.
const SYSTEM_FOLDERS = new Set([
  "#recycle",
  "$recycle.bin",
  "@eadir",
  "@recycle",
  "__macosx",
  "lost+found",
  "recycled",
  "recycler",
  "system volume information",
]);
const BLOCK = 1_048_576; // bytes that a fingerprint reads at once

/** A file, and its path below the folder that was chosen. */
/** @typedef {{file: File, path: string}} Found */

/**
 * The files of a file input, in which a folder may have been chosen.
 * @param {FileList} files
 * @returns {Found[]}
 */
export function chosen(files) {
  const all = [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  return all.filter(({ file, path }) => {
    const inside = path.split("/").slice(1); // the first folder is the one that was chosen
    if (!inside.length) return true;
    return isAudio(file) && !inside.some((name, i) => passedOver(name, i < inside.length - 1));
  });
}

/**
 * Whether a search of folders leaves this out, as a library run does.
 * @param {string} name
 * @param {boolean} folder
 */
const passedOver = (name, folder) =>
  name.startsWith(".") || (folder && SYSTEM_FOLDERS.has(name.toLowerCase()));

/**
 * The files of a drop. Folders are searched for audio; other files are taken as they are.
 * @param {DataTransfer} data
 * @returns {Promise<Found[]>}
 */
export async function dropped(data) {
  // The list is empty after the first await.
  const items = [...data.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!items.some((entry) => entry?.isDirectory)) return chosen(data.files);
  const found = await Promise.all(items.map((entry) => (entry ? walk(entry, "", true) : [])));
  return found.flat();
}

/**
 * The audio below an entry. What the browser cannot read is an empty file, which whoever reads it
 * will name.
 * @param {FileSystemEntry} entry
 * @param {string} folder
 * @param {boolean} named by the user
 * @returns {Promise<Found[]>}
 */
async function walk(entry, folder, named) {
  const path = `${folder}${entry.name}`;
  if (entry.isFile) {
    /** @type {File} */
    const file = await new Promise((resolve, reject) =>
      /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject),
    ).catch(() => new File([], entry.name));
    return named || isAudio(file) ? [{ file, path }] : [];
  }
  const all = await entries(/** @type {FileSystemDirectoryEntry} */ (entry)).catch(() => null);
  if (!all) return [{ file: new File([], `${entry.name}/`), path }];
  all.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const found = [];
  for (const each of all) {
    if (!passedOver(each.name, each.isDirectory))
      found.push(...(await walk(each, `${path}/`, false)));
  }
  return found;
}

/** @param {FileSystemDirectoryEntry} folder */
async function entries(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all; // a browser gives a hundred at a time
    all.push(...some);
  }
}

/** @param {File} file */
const isAudio = (file) =>
  AUDIO.has(file.name.split(".").at(-1)?.toLowerCase() ?? "") || /^(audio|video)\//.test(file.type);

/**
 * What tells a file from another: its size, and a hash of its bytes.
 * @param {File} file
 * @returns {Promise<string>}
 */
export async function fingerprint(file) {
  if (!file.size) throw new Error("empty"); // so are files that are gone
  let [one, two] = [0xdeadbeef, 0x41c6ce57];
  for (let at = 0; at < file.size; at += BLOCK) {
    const bytes = new Uint8Array(await file.slice(at, at + BLOCK).arrayBuffer());
    const words = new Uint32Array(Math.ceil(bytes.length / 4)); // with zeros after the last byte
    new Uint8Array(words.buffer).set(bytes);
    for (const word of words) {
      one = Math.imul(one ^ word, 2654435761);
      one ^= one >>> 15;
      two = Math.imul(two ^ word, 1597334677);
      two ^= two >>> 13;
    }
  }
  const hash = [one, two].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  return `${file.size}-${hash}`;
}

/** A name that nobody guesses. `crypto.randomUUID` needs https. */
export function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
