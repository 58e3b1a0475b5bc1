// Adds the photos of a folder, several at once, and lists what failed.
import { ApiError, call, newOnce } from "./api.js";
import { folded } from "./code.js";
import { download } from "./download.js";
import { fill, h, newId } from "./dom.js";
import { labelled, say, text } from "./i18n.js";
import { isPhoto, openPhoto } from "./photo.js";
import { explained, LATER } from "./problems.js";
import { folderPrograms } from "./scripts.js";
import { session } from "./session.js";

const AT_ONCE = 4;

const MOST_TRIES = 8;
const LONGEST_PAUSE_S = 20;

/** Return the form. A name is that of the photo's file; it is added as the largest face of the photo. */
export function folderImport() {
  const input = h("input", { type: "file", webkitdirectory: true, multiple: true, id: newId("folder"), class: "visually-hidden" });
  labelled(input, "aria-label", "choose-folder");
  const said = h("div", { role: "status" });
  const bar = h("progress", { hidden: true, value: 0 });
  const failures = h("ul", { class: "failures" });
  const stop = h("button", { type: "button", class: "quiet", hidden: true, click: () => (stopped = true) }, text("stop"));
  const shown = h("div", {});
  let stopped = false;
  showPrograms("photos");

  input.addEventListener("change", async () => {
    const files = [...input.files].filter(isPhoto);
    input.value = "";
    if (files.length > 0) await run(files);
    else fill(said, text("no-photos"));
  });

  function showPrograms(folder) {
    fill(shown, folded(() => folderPrograms(folder, { faces: "largest", facedb: session.facedb }), "folder-as-program"));
  }

  async function run(files) {
    stopped = false;
    showPrograms(files[0].webkitRelativePath.split("/")[0]);
    fill(failures);
    Object.assign(bar, { max: files.length, value: 0, hidden: false });
    stop.hidden = false;
    const failed = [];
    const waiting = files.values();
    const count = () => fill(said, text("imported", { done: bar.value, all: files.length, failed: failed.length }));

    async function work() {
      for (const file of waiting) {
        if (stopped) return;
        try {
          await add(file, () => stopped);
        } catch (error) {
          const reason = say(...explained(error));
          failed.push([file.webkitRelativePath, reason]);
          failures.append(h("li", {}, `${file.webkitRelativePath}: ${reason}`));
        }
        bar.value += 1;
        count();
      }
    }

    await Promise.all(Array.from({ length: AT_ONCE }, work));
    stop.hidden = true;
    if (failed.length > 0) failures.append(h("li", {}, saveButton(failed)));
    await session.refresh();
  }

  return h(
    "div",
    { class: "stack" },
    h("p", {}, text("import-hint")),
    input,
    h("div", { class: "row" }, h("label", { for: input.id, class: "button quiet" }, text("choose-folder")), stop),
    bar,
    said,
    failures,
    shown,
  );
}

/** Add a photo; while the service is busy, repeat after growing pauses. The same id makes repetitions harmless. */
async function add(file, isStopped) {
  const photo = await openPhoto(file);
  const form = { img: photo.blob, name: nameOf(file), faces: "largest", facedb: session.facedb };
  const once = newOnce();
  photo.bitmap.close();
  for (let tries = 1; ; tries += 1) {
    try {
      return await call("POST", "v1/addface", { form, once });
    } catch (error) {
      const later = error instanceof ApiError && LATER.includes(error.status);
      if (!later || tries === MOST_TRIES || isStopped()) throw error;
      await pause(Math.min(LONGEST_PAUSE_S, 2 ** tries) * (0.5 + Math.random() / 2));
    }
  }
}

/** Return a name that every service takes: the letters and digits of the file's. */
function nameOf(file) {
  return file.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9]/g, "").slice(0, 128) || null;
}

function saveButton(failed) {
  const rows = [["file", "reason"], ...failed];
  return h("button", { type: "button", class: "quiet", click: () => download("failures.csv", rows) }, text("save-failures"));
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
