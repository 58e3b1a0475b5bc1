// The persons that a search found for one face, as rows.
import { avatar, remember } from "./avatar.js";
import { bar, level, meaning } from "./confidence.js";
import { h } from "./dom.js";
import { number, text } from "./i18n.js";
import { session } from "./session.js";

const SURE = 95;

/**
 * Return the rows. onOpen: gets the id of a person that is to be shown. photo, box: the face that was searched for, or
 * null. actions: gets a match, returns more buttons.
 */
export function matchRows(matches, onOpen, { photo = null, box = null, actions = () => [] } = {}) {
  return h(
    "ol",
    { class: "matches" },
    matches.map((match) => {
      if (photo !== null && box !== null && match.confidence >= SURE) remember(match.person_id, photo, box);
      return row(match, onOpen, actions);
    }),
  );
}

function row(match, onOpen, actions) {
  const confidence = h("output", { class: "confidence" }, number(match.confidence));
  const details = h("button", { type: "button", class: "quiet", click: () => onOpen(match.person_id) }, text("details"));
  return h(
    "li",
    { class: `match ${level(match.confidence)}` },
    avatar(match.person_id, match.name),
    h("div", { class: "who" }, h("strong", {}, match.name), about(match)),
    h("div", { class: "how-sure" }, confidence, bar(match.confidence), h("small", {}, meaning(match.confidence, session.size))),
    h("div", { class: "row end" }, actions(match), details),
  );
}

function about(match) {
  const id = match.external_id === undefined ? null : h("code", {}, match.external_id);
  const faces = match.faces > 1 ? text("faces-count", { count: match.faces }) : null;
  return h("small", {}, id, id !== null && faces !== null && " · ", faces);
}
