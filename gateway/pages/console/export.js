// All persons of a list as a CSV file. Embeddings never leave the service over the API.
import { call } from "./api.js";
import { download } from "./download.js";
import { fill } from "./dom.js";
import { text } from "./i18n.js";
import { problem } from "./problems.js";

/** The columns of the file. */
export const COLUMNS = ["person_id", "name", "external_id", "faces", "added", "metadata"];

/** Save the persons that the filters let through. said: an element that tells how far it is. */
export async function exportPersons(filters, said) {
  const rows = [COLUMNS];
  let after = null;
  try {
    do {
      const page = await call("GET", "v1/persons", { query: { ...filters, after } });
      rows.push(...page.persons.map(row));
      after = page.next;
      fill(said, text("exported", { count: rows.length - 1 }));
    } while (after !== null);
    download("persons.csv", rows);
  } catch (error) {
    fill(said, problem(error));
  }
}

function row(person) {
  const metadata = person.metadata === undefined ? "" : JSON.stringify(person.metadata);
  return [person.person_id, person.name, person.external_id, person.faces, person.added, metadata];
}
