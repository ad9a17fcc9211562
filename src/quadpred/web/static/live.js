// The microphone: samples go to the server, rows come back, and the recording is kept.

import { Problem } from "./api.js";

const LOST = "The connection to the server was lost; what was recorded until then is kept.";
const PATIENCE = 10_000; // milliseconds for the last rows

/**
 * Listen until `stop` is called; `hears` has `samples` (Float32Array, rate) and `rows`.
 *
 * Resolves to {stop, end}: `end` resolves to the prediction's JSON.
 */
export async function listen(model, hears) {
  if (!navigator.mediaDevices) {
    throw new Problem(0, "The microphone needs an address of this machine, or https.");
  }
  const stream = await microphone();
  const context = new AudioContext();
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
    if (context.state !== "closed") context.close();
  };
  try {
    await context.audioWorklet.addModule("/static/recorder.js");
    const socket = await connect(model, context.sampleRate);
    const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    let stopped = false;
    recorder.port.onmessage = ({ data }) => {
      if (stopped || socket.readyState !== WebSocket.OPEN) return;
      hears.samples(data, context.sampleRate);
      socket.send(data);
    };
    const end = new Promise((resolve, reject) => {
      socket.onmessage = ({ data }) => {
        const said = JSON.parse(data);
        if (said.done) resolve(said.done);
        else if (said.error) reject(new Problem(said.error.status, said.error.detail));
        else hears.rows(said);
      };
      socket.onclose = () => reject(new Problem(0, LOST)); // nothing, if it has ended already
    });
    end.catch(() => {}).finally(release);
    context.createMediaStreamSource(stream).connect(recorder);
    await context.resume();
    const stop = () => {
      if (stopped) return;
      stopped = true;
      release();
      if (socket.readyState === WebSocket.OPEN) socket.send('{"stop": true}');
      setTimeout(() => socket.close(), PATIENCE);
    };
    return { stop, end };
  } catch (error) {
    release();
    throw error;
  }
}

async function microphone() {
  try {
    // As the music sounds: what is made for speech would take it for noise.
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    throw new Problem(
      0,
      refused
        ? "The microphone was refused. Allow it in the browser's address bar, then try again."
        : "No microphone was found.",
    );
  }
}

function connect(model, rate) {
  const query = new URLSearchParams({ speech: model.speech, music: model.music });
  const address = new URL(`/v1/live?${query}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    socket.onopen = () => {
      socket.send(JSON.stringify({ sample_rate: rate }));
      resolve(socket);
    };
    socket.onerror = () =>
      reject(new Problem(0, "The server does not answer. Is quadpred serve still running?"));
  });
}

/** Samples, in blocks, as a WAV file of 16 bits. */
export function wave(blocks, rate, name) {
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (at, letters) => [...letters].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      at += 2;
    }
  }
  return new File([view], name, { type: "audio/wav" });
}
