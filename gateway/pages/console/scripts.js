// Programs of many calls: adding a folder of photos, and listing everybody.
import { environment, FOR_NODE, parts, pythonTexts, quoted, search } from "./languages.js";

const ADD = "v1/addface";
const LIST = "v1/persons";

/**
 * Return the programs that add each photo of a folder, named by its file. folder: its name. form: what is sent with each
 * photo. Each has an id of its own, so that a repetition adds nobody twice.
 */
export function folderPrograms(folder, form) {
  const { texts } = parts({ form });
  const { url, key, header } = environment(ADD);
  const strings = texts.map(([name, value]) => `--form-string ${quoted(`${name}=${value}`)}`);
  return {
    curl: `find ${quoted(folder)} -type f | sort | while IFS= read -r photo; do
  name=$(basename "\${photo%.*}" | tr -cd 'A-Za-z0-9')
  id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' ')
  printf '%s: ' "$photo"
  ${[`curl -s --retry 8 "$${url}/${ADD}"`, `-H "${header}: $${key}"`, '-H "Idempotency-Key: $id"', ...strings, '--form-string "name=$name"', '-F "img=@$photo"'].join(" \\\n    ")}
  echo
done`,
    Python: `import os, re, time, uuid
from pathlib import Path

import httpx

def add(photo):
    headers = {"${header}": os.environ["${key}"], "Idempotency-Key": uuid.uuid4().hex}
    data = ${pythonTexts(texts)} | {"name": re.sub("[^A-Za-z0-9]", "", photo.stem)}
    for tries in range(8):
        answer = httpx.post(
            os.environ["${url}"] + "/${ADD}",
            headers=headers,
            data=data,
            files={"img": photo.read_bytes()},
            timeout=60,
        ).json()
        if answer["status"] != "FAIL":
            break
        time.sleep(2**tries / 4)
    return answer

for photo in sorted(Path(${JSON.stringify(folder)}).rglob("*")):
    if photo.is_file():
        print(photo, add(photo))`,
    JavaScript: `${FOR_NODE}
import { randomUUID } from "node:crypto";
import { openAsBlob } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, parse } from "node:path";
import { setTimeout } from "node:timers/promises";

async function add(photo) {
  const form = new FormData();
${texts.map(([name, value]) => `  form.append(${JSON.stringify(name)}, ${JSON.stringify(String(value))});\n`).join("")}  form.append("name", parse(photo).name.replace(/[^A-Za-z0-9]/g, ""));
  form.append("img", await openAsBlob(photo), "image");
  const headers = { "${header}": process.env.${key}, "Idempotency-Key": randomUUID() };
  for (let tries = 0; ; tries += 1) {
    const answer = await fetch(\`\${process.env.${url}}/${ADD}\`, { method: "POST", headers, body: form });
    const said = await answer.json();
    if (said.status !== "FAIL" || tries === 7) return said;
    await setTimeout(250 * 2 ** tries);
  }
}

const folder = ${JSON.stringify(folder)};
for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const photo = join(entry.parentPath ?? entry.path, entry.name);
  console.log(photo, JSON.stringify(await add(photo)));
}`,
  };
}

/** Return the programs that list all persons whom the filters let through: curl as JSON, the others as CSV. */
export function exportPrograms(filters, columns) {
  const { query } = parts({ query: filters });
  const { url, key, header } = environment(LIST);
  const first = search([...query, ["limit", "100"]]);
  return {
    curl: `# One page of JSON a line.
next=
while true; do
  page=$(curl -s "$${url}/${LIST}${first}\${next:+&after=$next}" -H "${header}: $${key}")
  printf '%s\\n' "$page"
  next=$(printf '%s' "$page" | sed -n 's/.*"next": "\\([^"]*\\)".*/\\1/p')
  [ -n "$next" ] || break
done`,
    Python: `import csv, json, os, sys

import httpx

columns = ${JSON.stringify(columns)}
rows = csv.DictWriter(sys.stdout, columns, extrasaction="ignore")
rows.writeheader()
query = ${pythonTexts([...query, ["limit", "100"]])}
while True:
    page = httpx.get(
        os.environ["${url}"] + "/${LIST}",
        headers={"${header}": os.environ["${key}"]},
        params=query,
        timeout=60,
    ).json()["message"]
    for person in page["persons"]:
        if "metadata" in person:
            person["metadata"] = json.dumps(person["metadata"])
        rows.writerow(person)
    if page["next"] is None:
        break
    query["after"] = page["next"]`,
    JavaScript: `${FOR_NODE}
const columns = ${JSON.stringify(columns)};
const cell = (value) => \`"\${String(typeof value === "object" ? JSON.stringify(value) : value).replaceAll('"', '""')}"\`;
console.log(columns.join(","));
let next = "";
do {
  const answer = await fetch(\`\${process.env.${url}}/${LIST}${first}\${next}\`, {
    headers: { "${header}": process.env.${key} },
  });
  const page = (await answer.json()).message;
  for (const person of page.persons) console.log(columns.map((name) => cell(person[name] ?? "")).join(","));
  next = page.next === null ? null : \`&after=\${encodeURIComponent(page.next)}\`;
} while (next !== null);`,
  };
}
