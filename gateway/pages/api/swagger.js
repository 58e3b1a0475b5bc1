// Starts Swagger UI, which swagger-ui-bundle.js defines, so that it asks no other host.

/**
 * Show the document of this port's API, or say in the page why there is none. headers: of every request to the API.
 * Returns whether it is shown.
 */
export async function show(headers = {}) {
  const problem = document.getElementById("problem");
  problem.textContent = "";
  try {
    const answer = await fetch("openapi.json", { headers });
    const found = await answer.json();
    if (!answer.ok) {
      problem.textContent = found.message;
      return false;
    }
    start(found, headers);
    return true;
  } catch {
    problem.textContent = "The gateway does not answer. Reload the page when it does.";
    return false;
  }
}

function start(spec, headers) {
  spec.servers = [{ url: new URL(".", location.href).pathname.replace(/(?<=.)\/$/, "") }];
  for (const operation of Object.values(spec.paths).flatMap(Object.values)) preferJson(operation.requestBody);
  window.SwaggerUIBundle({
    spec,
    dom_id: "#page",
    deepLinking: true,
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null,
    requestInterceptor: (request) => {
      Object.assign(request.headers, headers);
      return request;
    },
  });
}

/** Offer JSON first: Swagger UI fills in the example image there, and asks for files in forms. */
function preferJson(body) {
  if (body?.content?.["application/json"] === undefined) return;
  const { "application/json": json, ...others } = body.content;
  body.content = { "application/json": json, ...others };
}
