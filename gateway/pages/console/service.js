// The view of the service: its alerts, parts, workers and jobs as they are now, the last backup, and what operators changed.
import { alertList, partName, partState } from "./alerts.js";
import { call } from "./api.js";
import { programs } from "./code.js";
import { fill, h } from "./dom.js";
import { labelled, number, text, time } from "./i18n.js";
import { problem } from "./problems.js";
import { table } from "./table.js";

const EVERY_MS = 3000;

/** Return the view, which looks again every few seconds while it is shown. */
export function serviceView() {
  const said = h("div", { role: "status" });
  const state = h("div", { class: "cards" });
  const trail = h("tbody", {});
  const shown = ["service", "audit"].map((name) =>
    programs({ method: "GET", path: `admin/v1/${name}` }, { title: `${name}-as-program` }),
  );
  const view = h("div", {}, said, state, h("h3", {}, text("audit-trail")), table("audit-trail", ["at", "action", "by", "subject"], trail), shown);
  const alerts = alertList();
  let looking = false;

  async function look() {
    if (looking || !view.isConnected) return;
    looking = true;
    try {
      const found = await call("GET", "admin/v1/service");
      fill(said);
      fill(state, cards(found, alerts(found.alerts)));
    } catch (error) {
      fill(said, problem(error));
    } finally {
      looking = false;
    }
    if (view.isConnected) setTimeout(look, EVERY_MS);
  }

  view.enter = async () => {
    look();
    try {
      const events = await call("GET", "admin/v1/audit");
      fill(trail, events.length === 0 ? emptyRow() : events.reverse().map(eventRow));
    } catch (error) {
      fill(said, problem(error));
    }
  };
  return labelled(view, "aria-label", "service");
}

function cards(found, alerts) {
  return [
    card("alerts", alerts),
    card("parts", parts(found.parts, found.release)),
    found.jobs === null ? null : card("jobs", jobs(found.jobs)),
    found.jobs === null ? null : card("workers", workers(found.workers)),
    found.jobs === null ? null : card("last-backup", lastBackup(found.last_backup)),
  ];
}

function parts(states, release) {
  const rows = Object.entries(states).map(([part, said]) => [partName(part), partState(said)]);
  return list([...rows, [text("release"), release]]);
}

function jobs({ waiting, taken, oldest_s: oldest }) {
  const counts = { waiting: number(waiting), taken: number(taken), oldest: seconds(oldest) };
  return list(Object.entries(counts).map(([key, value]) => [text(key), value]));
}

function workers(alive) {
  if (alive.length === 0) return h("p", { class: "problem" }, text("no-workers"));
  return h("ul", {}, alive.map(workerItem));
}

function card(title, ...content) {
  return h("section", { class: "card" }, h("h3", {}, text(title)), content);
}

function list(pairs) {
  return h("dl", {}, pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function workerItem(worker) {
  const wrong = [worker.store, worker.disk].filter((said) => said !== "ok");
  const licence = worker.licence === "" ? [] : [" · ", text("licence", { licence: worker.licence })];
  return h("li", {}, h("strong", {}, worker.host), h("br"), worker.embedder, licence, wrong.map((said) => h("p", { class: "problem" }, said)));
}

function lastBackup(made) {
  if (made === null) return h("p", { class: "problem" }, text("no-backup"));
  const size = number(made.bytes / 1e6, 1);
  return h("p", {}, time(made.at), h("br"), h("small", {}, text("megabytes", { size })));
}

function emptyRow() {
  return h("tr", {}, h("td", { colspan: 4 }, text("nothing-changed")));
}

function eventRow(event) {
  const { at, action, by, ...subject } = event;
  const about = Object.entries(subject).filter(([, value]) => value !== null);
  return h(
    "tr",
    {},
    h("td", {}, time(at)),
    h("td", {}, h("code", {}, action)),
    h("td", {}, by),
    h("td", {}, about.map(([name, value]) => `${name} ${value}`).join(", ")),
  );
}

function seconds(value) {
  return value === null ? "?" : `${number(value, 1)} s`;
}
