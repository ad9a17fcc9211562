// The server's answers. Whatever goes wrong is a `Problem`, with one line that a person can read.

const GONE = "The server does not answer. Is quadpred serve still running?";
const ATTEMPTS = 3; // of a browser to connect again, before the server counts as gone

export class Problem extends Error {
  /** `status` is that of HTTP, or 0 if there was no answer; `retry` are seconds to wait, if said. */
  constructor(status, detail, retry = null) {
    super(detail);
    this.status = status;
    this.retry = retry;
  }
}

export async function models() {
  let response;
  try {
    response = await fetch("/v1/models");
  } catch {
    throw new Problem(0, GONE);
  }
  if (!response.ok) throw problem(response.status, await response.text());
  return response.json();
}

/** Upload a file for prediction by a model; `sent` hears the share that has gone. */
export function upload(file, model, sent) {
  const query = new URLSearchParams({ speech: model.speech, music: model.music });
  const form = new FormData();
  form.append("file", file, file.name);
  const request = new XMLHttpRequest(); // fetch does not tell how much has been sent
  const answer = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => sent(event.loaded / (event.total || 1));
    request.onerror = () => reject(new Problem(0, GONE));
    request.onabort = () => reject(new Problem(0, "Cancelled."));
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else {
        const retry = Number(request.getResponseHeader("Retry-After")) || null;
        reject(problem(request.status, request.responseText, retry));
      }
    };
  });
  request.open("POST", `/v1/predictions?${query}`);
  request.send(form);
  return { answer, cancel: () => request.abort() };
}

/** Follow a job to its end; `hears` has `rows` and `progress`. Resolves to the finished job. */
export function follow(id, hears) {
  const source = new EventSource(`/v1/predictions/${id}/events`);
  let failures = 0;
  const answer = new Promise((resolve, reject) => {
    const on = (name, act) => source.addEventListener(name, (e) => act(JSON.parse(e.data)));
    source.onopen = () => (failures = 0);
    on("rows", hears.rows);
    on("progress", hears.progress);
    on("done", (job) => resolve(job));
    on("failed", (said) => reject(new Problem(said.status, said.detail)));
    source.onerror = () => {
      failures += 1;
      if (source.readyState === EventSource.CLOSED || failures >= ATTEMPTS) {
        reject(new Problem(0, GONE));
      }
    };
  });
  answer.catch(() => {}).finally(() => source.close());
  return { answer, cancel: () => source.close() };
}

export function forget(id) {
  fetch(`/v1/predictions/${id}`, { method: "DELETE" }).catch(() => {}); // it expires by itself
}

export const downloadAddress = (id, name) => `/v1/predictions/${id}/${name}`;

function problem(status, text, retry = null) {
  try {
    return new Problem(status, JSON.parse(text).detail ?? `Error ${status}`, retry);
  } catch {
    return new Problem(status, `The server answered with error ${status}.`, retry);
  }
}
