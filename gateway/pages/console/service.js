// The view of the service: its parts, workers and jobs as they are now, the last backup, and what operators changed.
import { call } from "./api.js";
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
  const view = h("div", {}, said, state, h("h3", {}, text("audit-trail")), table(["at", "action", "by", "subject"], trail));
  let looking = false;

  async function look() {
    if (looking || !view.isConnected) return;
    looking = true;
    try {
      const found = await call("GET", "admin/v1/service");
      fill(said);
      fill(state, cards(found));
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
      fill(trail, events.reverse().map(eventRow));
    } catch (error) {
      fill(said, problem(error));
    }
  };
  return labelled(view, "aria-label", "service");
}

function cards(found) {
  const wrong = Object.entries(found.parts).filter(([, said]) => said !== "ok");
  const alarms = wrong.map(([part, said]) => h("li", {}, h("strong", {}, part), `: ${said}`));
  return [
    card("alarms", alarms.length > 0 ? h("ul", { class: "problem" }, alarms) : h("p", {}, text("no-alarms"))),
    card("jobs", list({ waiting: number(found.jobs.waiting), taken: number(found.jobs.taken), oldest: seconds(found.jobs.oldest_s) })),
    card("workers", h("ul", {}, found.workers.map(workerItem)), found.workers.length === 0 ? h("p", { class: "problem" }, text("no-workers")) : null),
    card("last-backup", lastBackup(found.last_backup)),
    card("release", h("p", {}, found.release)),
  ];
}

function card(title, ...content) {
  return h("section", { class: "card" }, h("h3", {}, text(title)), content);
}

function list(values) {
  return h("dl", {}, Object.entries(values).flatMap(([key, value]) => [h("dt", {}, text(key)), h("dd", {}, value)]));
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
