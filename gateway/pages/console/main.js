// The console for callers: faces of the face databases of one API key.
import { addView } from "./add.js";
import { forgetAll } from "./avatar.js";
import { listenForPastes } from "./chooser.js";
import { compareView } from "./compare.js";
import { byId, fill, h } from "./dom.js";
import { startConsole } from "./frame.js";
import { labelled, text } from "./i18n.js";
import { peopleView } from "./people.js";
import { searchView } from "./search.js";
import { session } from "./session.js";

const facedbs = h("select", { hidden: true });
const views = { search: searchView, add: addView, compare: compareView, people: peopleView };
const showAnew = await startConsole(views, session, { controls: [labelled(facedbs, "aria-label", "facedb")], onClose: forgetAll });

fill(byId("promise"), text("no-images"));
listenForPastes();
facedbs.addEventListener("change", () => {
  session.use(facedbs.value);
  showAnew();
});
session.addEventListener("change", () => {
  fill(facedbs, session.facedbs.map(({ facedb }) => h("option", { value: facedb, selected: facedb === session.facedb }, facedb)));
  facedbs.hidden = session.facedbs.length < 2;
});
