// The view that compares two photos.
import { call } from "./api.js";
import { chooser } from "./chooser.js";
import { programs } from "./code.js";
import { bar } from "./confidence.js";
import { fill, h } from "./dom.js";
import { labelled, number, text } from "./i18n.js";
import { picture } from "./picture.js";
import { announce, problem } from "./problems.js";

const RESULTS = { "SAME PERSON": "same-person", "NOT SURE": "not-sure", "NOT SAME PERSON": "not-same-person" };

/** Return the view. */
export function compareView() {
  const photos = [null, null];
  const results = h("div", { class: "results", "aria-live": "polite" });
  const fields = [0, 1].map((number) =>
    chooser(`photo-${number + 1}`, async (photo) => {
      photos[number] = photo;
      fields[number].show(picture(photo, [], []));
      if (photos.every((each) => each !== null)) await compare();
    }),
  );

  async function compare() {
    fill(results, h("p", { class: "busy" }, text("comparing")));
    const [img1, img2] = photos.map((photo) => photo.blob);
    const files = photos.map((photo, number) => ({ file: photo.name || `photo${number + 1}.jpg` }));
    const shown = programs({ method: "POST", path: "v1/facecompare", form: { img1: files[0], img2: files[1] } });
    try {
      const { similarity, result } = await call("POST", "v1/facecompare", { form: { img1, img2 } });
      fill(results, h("p", { class: "verdict" }, text(RESULTS[result])), h("output", { class: "confidence" }, number(similarity)), bar(similarity), shown);
      announce(RESULTS[result]);
    } catch (error) {
      fill(results, problem(error, compare), shown);
    }
  }

  return labelled(h("div", {}, h("div", { class: "columns even" }, fields), results), "aria-label", "compare");
}
