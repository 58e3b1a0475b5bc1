// One call as a program in each language.
//
// A call is {method, path, form, json, query}. Images of the form are names of files in {file}; json is a body in place
// of a form. What is null or "" is left out. The address and the key are never in a program: it takes them from the
// environment, those of the admin API from variables of their own.

/** Begins programs in JavaScript. */
export const FOR_NODE = "// Node.js 20 or later: save it as a file that ends in .mjs";

/** Return the names of what a program takes from the environment, and the header of the key. */
export function environment(path) {
  return path.startsWith("admin/")
    ? { url: "FACESEARCH_ADMIN_URL", key: "FACESEARCH_ADMIN_KEY", header: "X-Admin-Key" }
    : { url: "FACESEARCH_URL", key: "FACESEARCH_KEY", header: "X-API-Key" };
}

export function asCurl(request) {
  const { form, query } = parts(request);
  const { url, key, header } = environment(request.path);
  const method = request.method === "GET" ? "" : `-X ${request.method} `;
  const lines = [`curl -s ${method}"$${url}/${request.path}${search(query)}"`, `-H "${header}: $${key}"`];
  for (const [name, value] of form) {
    lines.push(value.file === undefined ? `--form-string ${quoted(`${name}=${value}`)}` : `-F ${quoted(`${name}=@${value.file}`)}`);
  }
  if (request.json !== undefined) lines.push("-H 'Content-Type: application/json'", `--data-raw ${quoted(JSON.stringify(request.json))}`);
  return lines.join(" \\\n  ");
}

export function asPython(request) {
  const { form, query, files, texts } = parts(request);
  const { url, key, header } = environment(request.path);
  const lines = ["import os", "", "import httpx", "", "answer = httpx.request(", `    "${request.method}",`];
  lines.push(`    os.environ["${url}"] + "/${request.path}",`, `    headers={"${header}": os.environ["${key}"]},`);
  if (query.length > 0) lines.push(`    params=${pythonTexts(query)},`);
  if (texts.length > 0) lines.push(`    data=${pythonTexts(texts)},`);
  if (files.length > 0) {
    const opened = files.map(([name, { file }]) => `${JSON.stringify(name)}: open(${JSON.stringify(file)}, "rb")`);
    lines.push(`    files={${opened.join(", ")}},`);
  }
  if (request.json !== undefined) lines.push(`    json=${pythonValue(request.json)},`);
  lines.push("    timeout=60,", ")", "print(answer.json())");
  return lines.join("\n");
}

export function asJavaScript(request) {
  const { form, query, files } = parts(request);
  const { url, key, header } = environment(request.path);
  const lines = [FOR_NODE];
  if (files.length > 0) lines.push('import { openAsBlob } from "node:fs";', "");
  if (form.length > 0) lines.push("const form = new FormData();");
  for (const [name, value] of form) {
    const sent = value.file === undefined ? JSON.stringify(String(value)) : `await openAsBlob(${JSON.stringify(value.file)}), "image"`;
    lines.push(`form.append(${JSON.stringify(name)}, ${sent});`);
  }
  lines.push("const answer = await fetch(`${process.env." + url + "}/" + request.path + search(query) + "`, {");
  const type = request.json === undefined ? "" : ', "Content-Type": "application/json"';
  lines.push(`  method: "${request.method}",`, `  headers: { "${header}": process.env.${key}${type} },`);
  if (form.length > 0) lines.push("  body: form,");
  if (request.json !== undefined) lines.push(`  body: JSON.stringify(${JSON.stringify(request.json)}),`);
  lines.push("});", "console.log(JSON.stringify(await answer.json(), null, 2));");
  return lines.join("\n");
}

/** Return the parts of a call that are given, as [name, value]: files and texts are those of the form. */
export function parts({ form = {}, query = {} }) {
  const given = (object) => Object.entries(object).filter(([, value]) => value !== null && value !== "");
  const all = given(form);
  const isFile = ([, value]) => value.file !== undefined;
  return { form: all, query: given(query), files: all.filter(isFile), texts: all.filter((pair) => !isFile(pair)) };
}

/** Return the part of an address that has the query. */
export function search(query) {
  return query.length > 0 ? `?${new URLSearchParams(query)}` : "";
}

/** Return a dict of texts in Python. */
export function pythonTexts(pairs) {
  return `{${pairs.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(String(value))}`).join(", ")}}`;
}

/** Return a text that a shell takes as it is. */
export function quoted(value) {
  return `'${value.replaceAll("'", "'\\''")}'`;
}

/** Return a value of JSON in Python. */
function pythonValue(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${pythonValue(each)}`).join(", ")}}`;
}
