// The microphone: samples go to the server, rows come back, and the recording is kept.

/** @import { Model, Result, RowsMessage } from "./api.js" */
/** @import { Song } from "../state/song.js" */
/** @import { State } from "../state/state.js" */

import { modelKey, Prediction } from "../state/song.js";
import { clock, megabytes } from "../words.js";
import { NO_ANSWER, Problem } from "./api.js";

const LOST =
  "The connection to the server was lost. What was recorded until then is kept: try again to predict it.";
const LOST_LONG =
  "The connection to the server was lost. Download the WAV: what was recorded until then is too large to predict.";
const PATIENCE = 10_000; // milliseconds for audio to start, and for the last rows

/**
 * Record into a song, and have the chosen model predict it, until `song.stop` is called or the
 * connection ends; then `ended` is called.
 * @param {Song} song
 * @param {State} state
 * @param {() => void} ended
 */
export async function record(song, state, ended) {
  const { model } = state;
  const prediction = new Prediction(model);
  /** @type {Int16Array<ArrayBuffer>[]} */
  const blocks = []; // in half the memory of what the microphone gives
  const { rate, stop, end } = await listen(model, {
    samples: (block) => {
      blocks.push(Int16Array.from(block, toInt16));
      prediction.progress.seconds += block.length / rate;
      state.changed();
    },
    rows: (message) => {
      if (message.peaks) song.peaks.put(message.peaks);
      prediction.take(message);
      state.changed();
    },
  });
  prediction.status = "live";
  song.predictions.set(modelKey(model), prediction);
  let asked = false;
  song.stop = () => {
    asked = true;
    stop();
  };
  end
    .then(
      (result) => {
        song.finish(prediction, result);
        const text = `The recording ended after ${clock(result.duration)}. This server accepts none longer.`;
        if (!asked) state.message = { text, error: true };
      },
      (error) => prediction.fail(error.message),
    )
    .then(() => {
      song.stop = null;
      if (blocks.length) song.file = wave(blocks, rate, song.name);
      const size = song.file?.size ?? 0;
      if (prediction.error === LOST && size > state.limits.bytes) {
        prediction.fail(
          `${LOST_LONG} It has ${megabytes(size)}; this server accepts up to ${megabytes(state.limits.bytes)}.`,
        );
      }
      prediction.progress.duration = prediction.progress.seconds;
      song.recorded = song.file !== null;
      ended();
      state.changed();
    });
}

/**
 * @param {Model} model
 * @param {{samples: (block: Float32Array) => void, rows: (message: RowsMessage) => void}} on
 * @returns {Promise<{rate: number, stop: () => void, end: Promise<Result>}>}
 */
async function listen(model, on) {
  if (!navigator.mediaDevices) {
    throw new Problem(0, "The browser allows the microphone at https or at localhost only.");
  }
  const stream = await microphone();
  const context = new AudioContext();
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
    if (context.state !== "closed") context.close();
  };
  try {
    await running(context);
    await context.audioWorklet.addModule("static/actions/recorder.js");
    const socket = await connect(model, context.sampleRate);
    const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    let stopped = false;
    recorder.port.onmessage = ({ data }) => {
      if (stopped || socket.readyState !== WebSocket.OPEN) return;
      on.samples(data);
      socket.send(data);
    };
    /** @type {Promise<Result>} */
    const end = new Promise((resolve, reject) => {
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.done) resolve(message.done);
        else if (message.error) reject(new Problem(message.error.status, message.error.detail));
        else on.rows(message);
      };
      socket.onclose = () => reject(new Problem(0, LOST)); // no effect once it is resolved
    });
    end.catch(() => {}).finally(release);
    context.createMediaStreamSource(stream).connect(recorder);
    const stop = () => {
      if (stopped) return;
      stopped = true;
      release();
      if (socket.readyState === WebSocket.OPEN) socket.send('{"stop": true}');
      setTimeout(() => socket.close(), PATIENCE);
    };
    return { rate: context.sampleRate, stop, end };
  } catch (error) {
    release();
    throw error;
  }
}

/** Start the audio. Without a device to play it, Firefox waits for ever. @param {AudioContext} context */
async function running(context) {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
  await Promise.race([context.resume(), late]);
  if (context.state === "running") return;
  throw new Problem(
    0,
    "The browser cannot start its audio. Connect an audio device, then try again.",
  );
}

async function microphone() {
  try {
    // Without the filters for speech, which take music for noise.
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    const refused = error instanceof Error && error.name === "NotAllowedError";
    throw new Problem(
      0,
      refused
        ? "The browser refused the microphone. Allow it in the address bar, then try again."
        : "The browser found no microphone.",
    );
  }
}

/**
 * @param {Model} model
 * @param {number} rate
 * @returns {Promise<WebSocket>}
 */
function connect(model, rate) {
  const { speech, music } = model;
  const query = new URLSearchParams({ speech, music, embeddings: "true" });
  const address = new URL(`v1/live?${query}`, document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    socket.onopen = () => {
      socket.send(JSON.stringify({ sample_rate: rate }));
      resolve(socket);
    };
    socket.onerror = () => reject(new Problem(0, NO_ANSWER));
  });
}

/** @param {number} sample */
const toInt16 = (sample) => Math.round(32767 * Math.max(-1, Math.min(1, sample)));

/**
 * A WAV file of 16 bits.
 * @param {Int16Array<ArrayBuffer>[]} blocks mono samples
 * @param {number} rate in Hz
 * @param {string} name
 */
function wave(blocks, rate, name) {
  const bytes = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  /** @param {number} at @param {string} letters */
  const text = (at, letters) =>
    new Uint8Array(header.buffer).set(new TextEncoder().encode(letters), at);
  text(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, bytes, true);
  return new File([header, ...blocks], name, { type: "audio/wav" });
}
