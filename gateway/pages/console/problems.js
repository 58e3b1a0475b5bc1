// What went wrong, in words that say what to do; and what is said to those who listen to the page.
import { ApiError } from "./api.js";
import { byId, h } from "./dom.js";
import { say, text } from "./i18n.js";
import { Unreadable } from "./photo.js";

const BY_STATUS = {
  UNREACHABLE: "problem-unreachable",
  FAIL: "problem-fail",
  FACE_DETECT_FAILED: "problem-no-face",
  NO_SIMILAR_FACE: "problem-nobody",
  IMAGE_INVALID_SIZE: "problem-size",
  IMAGE_INVALID_FORMAT: "problem-format",
  PERSON_ID_NOT_EXIST: "problem-no-person",
};

const BY_CODE = { 401: "problem-key", 403: "problem-scope", 429: "problem-too-fast" };

/** Return the key of the text for an error, and its values. */
export function explained(error) {
  if (error instanceof Unreadable) return [error.isHeic ? "problem-heic" : "problem-unreadable", { name: error.message }];
  if (!(error instanceof ApiError)) {
    console.error(error);
    return ["problem-page", {}];
  }
  if (error.reason !== null) return [`flaw-${error.reason}`, {}];
  const key = BY_CODE[error.http] ?? BY_STATUS[error.status];
  return key === undefined ? ["problem-other", { message: error.message }] : [key, {}];
}

/** Statuses after which the same may succeed, whatever the HTTP code. */
export const LATER = ["FAIL", "UNREACHABLE"];

/**
 * Return an element that says what went wrong, with the id of the request for the operator. again: does the same once
 * more; there is a button for it where that may help.
 */
export function problem(error, again = null) {
  const id = error.requestId ?? null;
  const [key, given] = explained(error);
  return h(
    "p",
    { class: "problem", role: "alert" },
    text(key, given),
    id === null ? null : h("small", {}, " ", text("request-id", { id })),
    again !== null && LATER.includes(error.status) ? [" ", h("button", { type: "button", class: "quiet", click: again }, text("try-again"))] : null,
  );
}

/** Say something to those who listen to the page. */
export function announce(key, given = {}) {
  byId("announcements").textContent = say(key, given);
}
