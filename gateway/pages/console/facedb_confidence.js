// What confidences stand for in one face database: how often strangers reach them there, and by what they are given.
import { call } from "./api.js";
import { programs } from "./code.js";
import { openDialog } from "./dialog.js";
import { fill, h } from "./dom.js";
import { number, text, time } from "./i18n.js";
import { problem } from "./problems.js";
import { row, table } from "./table.js";

/** Show it in a dialog. facedbs: the path of the face databases. name: of the one. */
export async function openConfidence(facedbs, name) {
  const path = `${facedbs}/${name}/confidence`;
  const state = h("p", { role: "status" });
  const found = h("div", { "aria-live": "polite" });
  const actions = [
    action("estimate", "POST", path, (estimate) => fill(found, estimated(estimate))),
    action("use-estimate", "PUT", path, changed),
    action("use-model", "DELETE", path, changed),
    action("undo-confidence", "POST", `${path}/undo`, changed),
  ];
  const content = h("div", { class: "stack" }, state, h("p", {}, text("confidence-explained")), found, actions);
  const closed = openDialog("confidence-in", content, [["close", null]], { wide: true, given: { name } });
  try {
    changed(await call("GET", path));
  } catch (error) {
    fill(found, problem(error));
  }
  await closed;

  function changed(confidence) {
    const given = confidence?.table ?? null;
    fill(state, given === null ? text("given-by-model") : text("given-by-estimate", { faces: given.faces, time: time(given.measured) }));
  }

  function action(key, method, address, done) {
    const button = h("button", { type: "button", class: method === "POST" && address === path ? null : "quiet", click: act }, text(key));

    async function act() {
      button.disabled = true;
      fill(found, h("p", { class: "busy" }, text("estimating")));
      try {
        const said = await call(method, address);
        fill(found);
        done(said);
      } catch (error) {
        fill(found, problem(error));
      } finally {
        button.disabled = false;
      }
    }

    return h("section", {}, button, programs({ method, path: address }));
  }
}

function estimated({ faces, pairs, levels }) {
  const rows = levels.map((level) => row([number(level.confidence), oneIn(level.meant), reached(level), level.told ? number(level.ask, 1) : ""]));
  return [h("p", {}, text("estimated", { faces, pairs })), table("confidence", ["confidence", "meant", "reached", "ask-here"], h("tbody", {}, rows))];
}

function reached({ told, rate, low, high }) {
  if (!told) return text("not-told");
  return [oneIn(rate), " ", h("small", {}, text("one-in-range", { from: inverse(high), to: inverse(low) }))];
}

function oneIn(rate) {
  return text("one-in", { count: inverse(rate) });
}

/** Return in how many pairs there is one, with two digits that matter. */
function inverse(rate) {
  return rate > 0 ? Number((1 / rate).toPrecision(2)) : "∞";
}
