// Calls of the API.
import { connection } from "./connection.js";

const PATIENCE_MS = 60_000;

let keyHeader = {};

/** Send this key from now on. It is in this variable alone, so that a reload forgets it. */
export function useKey(key, header = "X-API-Key") {
  keyHeader = { [header]: key };
}

/**
 * A call that did not end with OK. status: of the contract, or UNREACHABLE without an answer. http: the HTTP code, 0
 * without an answer. reason: the flaw of a face, if the answer names one.
 */
export class ApiError extends Error {
  constructor(status, message, http, { requestId = null, reason = null } = {}) {
    super(message);
    Object.assign(this, { status, http, requestId, reason });
  }
}

/**
 * Do a call and return the message of its answer. path: relative to the page, so that a proxy may put a prefix before
 * it. form: parameters of the body, with images as Blobs; json: a body in place of it. query: parameters of the path.
 * null is left out. once: an Idempotency-Key.
 */
export async function call(method, path, { form = null, json = null, query = {}, once = null } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  const url = given.length > 0 ? `${path}?${new URLSearchParams(given)}` : path;
  const headers = { ...keyHeader };
  if (json !== null) headers["Content-Type"] = "application/json";
  if (once !== null) headers["Idempotency-Key"] = once;
  let answer;
  try {
    answer = await fetch(url, { method, headers, body: json === null ? form && formData(form) : JSON.stringify(json), signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    connection.lose();
    throw new ApiError("UNREACHABLE", "", 0);
  }
  const about = { requestId: answer.headers.get("X-Request-Id"), reason: answer.headers.get("X-Face-Quality") };
  let body;
  try {
    body = await answer.json();
  } catch {
    connection.lose(); // what answers is a proxy before it
    throw new ApiError("UNREACHABLE", "", answer.status, about);
  }
  if (body.status !== "OK") throw new ApiError(body.status, String(body.message), answer.status, about);
  return body.message;
}

/** Return an id under which a call happens once, however often it is sent. */
export function newOnce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function formData(form) {
  const data = new FormData();
  for (const [name, value] of Object.entries(form)) {
    if (value instanceof Blob) data.append(name, value, "image");
    else if (value !== null && value !== undefined) data.append(name, value);
  }
  return data;
}
