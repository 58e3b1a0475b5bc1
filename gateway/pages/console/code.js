// The same action as a program: what to send with curl, Python and JavaScript.
import { h, fill, newId } from "./dom.js";
import { labelled, text } from "./i18n.js";
import { announce } from "./problems.js";

const LANGUAGES = { curl: asCurl, Python: asPython, JavaScript: asJavaScript };

/**
 * Return the programs for a call, folded away. request: {method, path, form, query}; images of the form are file names
 * in {file}. The key is never among it: programs take it from the environment.
 */
export function programs(request) {
  const code = h("code", {});
  const id = newId("program");
  const shown = h("pre", { id, tabindex: "0" }, code);
  const tabs = Object.keys(LANGUAGES).map((name) => h("button", { type: "button", class: "quiet", click: () => choose(name) }, name));
  const copy = h("button", { type: "button", class: "quiet", click: () => copied(code.textContent) }, text("copy"));
  labelled(shown, "aria-label", "as-program");

  function choose(name) {
    fill(code, LANGUAGES[name](request));
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === name));
  }

  choose("curl");
  return h(
    "details",
    { class: "programs" },
    h("summary", {}, text("as-program")),
    h("div", { class: "row" }, tabs, copy),
    shown,
  );
}

async function copied(program) {
  try {
    await navigator.clipboard.writeText(program);
    announce("copied");
  } catch {
    announce("not-copied"); // browsers give pages of plain HTTP from other machines no clipboard
  }
}

function parts({ form = {}, query = {} }) {
  const given = (object) => Object.entries(object).filter(([, value]) => value !== null && value !== "");
  return { form: given(form), query: given(query) };
}

function asCurl(request) {
  const { form, query } = parts(request);
  const search = query.length > 0 ? `?${new URLSearchParams(query)}` : "";
  const lines = [`curl -s ${request.method === "GET" ? "" : `-X ${request.method} `}"$FACESEARCH_URL/${request.path}${search}"`];
  lines.push('-H "X-API-Key: $FACESEARCH_KEY"');
  for (const [name, value] of form) {
    lines.push(value.file === undefined ? `--form-string ${quoted(`${name}=${value}`)}` : `-F ${quoted(`${name}=@${value.file}`)}`);
  }
  return lines.join(" \\\n  ");
}

function asPython(request) {
  const { form, query } = parts(request);
  const files = form.filter(([, value]) => value.file !== undefined);
  const texts = form.filter(([, value]) => value.file === undefined);
  const lines = ["import os", "", "import httpx", ""];
  lines.push(`answer = httpx.request(`, `    "${request.method}",`, `    os.environ["FACESEARCH_URL"] + "/${request.path}",`);
  lines.push(`    headers={"X-API-Key": os.environ["FACESEARCH_KEY"]},`);
  if (query.length > 0) lines.push(`    params=${literal(query)},`);
  if (texts.length > 0) lines.push(`    data=${literal(texts)},`);
  if (files.length > 0) {
    const opened = files.map(([name, { file }]) => `${JSON.stringify(name)}: open(${JSON.stringify(file)}, "rb")`);
    lines.push(`    files={${opened.join(", ")}},`);
  }
  lines.push("    timeout=20,", ")", "print(answer.json())");
  return lines.join("\n");
}

function asJavaScript(request) {
  const { form, query } = parts(request);
  const search = query.length > 0 ? `?${new URLSearchParams(query)}` : "";
  const files = form.filter(([, value]) => value.file !== undefined);
  const lines = files.length > 0 ? ['import { openAsBlob } from "node:fs";', ""] : [];
  if (form.length > 0) lines.push("const form = new FormData();");
  for (const [name, value] of form) {
    const sent = value.file === undefined ? JSON.stringify(String(value)) : `await openAsBlob(${JSON.stringify(value.file)}), "image"`;
    lines.push(`form.append(${JSON.stringify(name)}, ${sent});`);
  }
  lines.push("const answer = await fetch(`${process.env.FACESEARCH_URL}/" + request.path + search + "`, {");
  lines.push(`  method: "${request.method}",`, '  headers: { "X-API-Key": process.env.FACESEARCH_KEY },');
  if (form.length > 0) lines.push("  body: form,");
  lines.push("});", "console.log(await answer.json());");
  return lines.join("\n");
}

function literal(pairs) {
  return `{${pairs.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(String(value))}`).join(", ")}}`;
}

function quoted(value) {
  return `'${value.replaceAll("'", "'\\''")}'`;
}
