// Alerts and the parts of the service, in the language of the reader. The API has stable names; the texts are here.
import { h } from "./dom.js";
import { hasText, text, time } from "./i18n.js";

/** What a part says of itself that is no sentence with figures, by its key. */
const STATES = { ok: "works", unknown: "state-unknown", "does not answer": "state-away", "none is alive": "state-none" };

/** Return a function that shows alerts. It remembers since when it has shown each, for those of which nobody knows more. */
export function alertList() {
  let seen = new Map();

  return (firing) => {
    const now = new Date();
    seen = new Map(firing.map((alert) => [key(alert), seen.get(key(alert)) ?? now]));
    if (firing.length === 0) return h("p", { class: "well" }, text("no-alerts"));
    const items = firing.map((alert) => item(alert, seen.get(key(alert))));
    return [h("ul", { class: "alerts" }, items), h("p", {}, text("alerts-hint", {}, "small"))];
  };
}

function item(alert, first) {
  const since = alert.since === null ? text("alert-seen", { time: time(first) }) : text("alert-since", { time: time(alert.since) });
  const summary = hasText(key(alert)) ? text(key(alert)) : alert.summary;
  return h(
    "li",
    { class: alert.severity },
    text(`severity-${alert.severity}`, {}, "b"),
    h("strong", {}, summary),
    h("small", {}, since, " · ", h("code", {}, alert.name)),
  );
}

/** Return the key of an alert's text. One alert may have two severities, with a text for each. */
function key({ name, severity }) {
  return `alert-${name}-${severity}`;
}

/** Return the name of a part. */
export function partName(part) {
  return hasText(`part-${part}`) ? text(`part-${part}`) : part;
}

/** Return the state of a part. said: as in the answer of the API. */
export function partState(said) {
  const kind = said === "ok" ? "well" : said === "unknown" ? "unknown" : "problem";
  return h("span", { class: kind }, said in STATES ? text(STATES[said]) : said);
}
