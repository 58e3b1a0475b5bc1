// The view of usage: requests by day as a chart, by tenant and call as a table.
import { call } from "./api.js";
import { programs } from "./code.js";
import { field, fill, h } from "./dom.js";
import { labelled, number, text } from "./i18n.js";
import { problem } from "./problems.js";
import { table } from "./table.js";

const DAYS = [7, 30, 90];
const DAY_MS = 86_400_000;
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 140;

/** Return the view. */
export function usageView() {
  const days = h("select", {}, DAYS.map((value) => h("option", { value, selected: value === 30 }, String(value))));
  const said = h("div", { role: "status" });
  const content = h("div", { class: "stack" });
  const shown = h("div", {});
  const view = h("div", {}, h("div", { class: "days" }, field(text("days"), days)), said, content, shown);
  days.addEventListener("change", () => view.enter());
  view.enter = async () => {
    const from = dayBefore(Number(days.value) - 1);
    try {
      fill(shown, programs({ method: "GET", path: "admin/v1/usage", query: { from } }));
      const { rows } = await call("GET", "admin/v1/usage", { query: { from } });
      fill(said, rows.length === 0 ? text("no-usage") : null);
      fill(content, tenantsOf(rows).map((tenant) => tenantPart(tenant, rows.filter((row) => row.tenant === tenant), Number(days.value))));
    } catch (error) {
      fill(said, problem(error));
    }
  };
  return labelled(view, "aria-label", "usage");
}

function dayBefore(count) {
  return new Date(Date.now() - count * DAY_MS).toISOString().slice(0, 10);
}

function tenantsOf(rows) {
  return [...new Set(rows.map((row) => row.tenant))].sort();
}

function tenantPart(tenant, rows, days) {
  const perDay = Array.from({ length: days }, (_, number) => {
    const day = dayBefore(days - 1 - number);
    const ours = rows.filter((row) => row.day === day);
    return { day, all: sum(ours), charged: sum(ours.filter((row) => row.charged)) };
  });
  const calls = [...new Set(rows.map((row) => row.call))].sort();
  const lines = calls.map((name) => {
    const ours = rows.filter((row) => row.call === name);
    const counts = [sum(ours), sum(ours.filter((row) => row.charged))].map((count) => h("td", {}, number(count)));
    return h("tr", {}, h("th", { scope: "row" }, name), counts);
  });
  const name = tenant === "?" ? text("nobody") : tenant;
  const most = Math.max(...perDay.map(({ all }) => all));
  const under = text("chart-under", { first: perDay[0].day, last: perDay.at(-1).day, most }, "small");
  return h("section", { class: "card" }, h("h3", {}, name), chart(perDay), under, table("usage", ["call", "requests", "charged"], h("tbody", {}, lines)));
}

/** Return a bar chart: a bar for each day, the charged part of it darker. The table beside it has the sums. */
function chart(perDay) {
  const most = Math.max(1, ...perDay.map(({ all }) => all));
  const width = perDay.length * 12;
  const svg = make("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, class: "chart", role: "img", preserveAspectRatio: "none" });
  labelled(svg, "aria-label", "chart-of", { days: perDay.length, most });
  perDay.forEach(({ day, all, charged }, place) => {
    for (const [count, kind] of [[all, "all"], [charged, "charged"]]) {
      const height = (count / most) * (HEIGHT - 4);
      const bar = make("rect", { x: place * 12 + 1, y: HEIGHT - height, width: 10, height, class: kind });
      const title = make("title", {});
      title.textContent = `${day}: ${number(all)} (${number(charged)})`;
      bar.append(title);
      svg.append(bar);
    }
  });
  return svg;
}

function make(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function sum(rows) {
  return rows.reduce((total, row) => total + row.count, 0);
}
