"use strict";
// Renders the OpenAPI document of this server. Everything is put in as text, never as HTML.
(async () => {
  const main = document.getElementById("main");
  let api;
  try {
    const answer = await fetch("api/openapi.json");
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    api = await answer.json();
  } catch (error) {
    main.replaceChildren(make("p", {}, `The description could not be read (${error.message}). Reload to try again.`));
    return;
  }
  const root = location.href.replace(/docs([?#].*)?$/, "").replace(/\/$/, "");

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.flat().filter((child) => child != null && child !== ""));
    return element;
  }

  // `code` between backticks, the rest as it is.
  function prose(text) {
    const parts = text.split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part));
    return make("p", {}, parts);
  }

  const nameOf = (reference) => reference.split("/").pop();

  function follow(value) {
    if (!value || !value.$ref) return value;
    const { $ref, ...others } = value;
    const target = $ref.slice(2).split("/").reduce((node, name) => node[name], api);
    return { ...target, ...others };
  }

  function bounds(schema) {
    const low = schema.minimum ?? schema.minLength ?? schema.minItems;
    const most = schema.maximum ?? schema.maxLength ?? schema.maxItems;
    const high = Number.isSafeInteger(most) ? most : undefined;
    const unit = schema.type === "string" ? " characters" : "";
    if (low !== undefined && high !== undefined) return `, ${low}–${high}${unit}`;
    if (low !== undefined) return `, at least ${low}${unit}`;
    return high !== undefined ? `, at most ${high}${unit}` : "";
  }

  // The type in words; names of other schemas are links.
  function typeOf(schema) {
    if (schema === true || schema === undefined) return ["anything"];
    if (schema.$ref) return [make("a", { href: `#schema-${nameOf(schema.$ref)}` }, nameOf(schema.$ref))];
    if (schema.anyOf) return schema.anyOf.flatMap((kind, i) => [i ? " or " : "", ...typeOf(kind)]);
    if (schema.const !== undefined) return [make("code", {}, JSON.stringify(schema.const))];
    if (schema.enum) return oneOf(schema.enum);
    if (schema.type === "array") return ["list of ", ...typeOf(schema.contains ?? schema.items), bounds(schema)];
    if (schema.type === "object" && schema.additionalProperties) return ["object, each ", ...typeOf(schema.additionalProperties)];
    const types = [schema.type ?? "anything"].flat().join(" or ");
    return [types, schema.format ? ` (${schema.format})` : "", bounds(schema)];
  }

  function oneOf(values) {
    const shown = values.slice(0, 12).flatMap((value, i) => [i ? ", " : "", make("code", {}, String(value))]);
    return values.length > 12 ? ["one of ", ...shown, ` and ${values.length - 12} more`] : ["one of ", ...shown];
  }

  function row(name, schema, required, description, where) {
    const fallback = schema.default === undefined || schema.default === null ? [] : [", else ", make("code", {}, JSON.stringify(schema.default))];
    return make("tr", {},
      make("td", {}, make("code", {}, name), required ? " *" : "", where ? make("div", { class: "faint" }, where) : null),
      make("td", {}, make("div", {}, typeOf(schema), fallback), description ? prose(description) : null));
  }

  function properties(schema) {
    const required = new Set(schema.required ?? []);
    return make("table", {}, Object.entries(schema.properties ?? {}).map(
      ([name, property]) => row(name, property, required.has(name), property.description)));
  }

  // Something that fits the schema, for people to start from.
  function sample(schema, depth = 0) {
    const s = follow(schema) ?? {};
    if (s.examples) return s.examples[0];
    if (s.default !== undefined && s.default !== null) return s.default;
    if (s.enum) return s.enum[0];
    if (s.anyOf) return sample(s.anyOf.find((kind) => kind.type !== "null"), depth);
    if (s.properties && depth < 3) {
      const names = s.required ?? [];
      return Object.fromEntries(names.map((name) => [name, sample(s.properties[name], depth + 1)]));
    }
    return { string: "…", integer: s.minimum ?? 1, number: 1, boolean: true, array: [], object: {} }[s.type] ?? null;
  }

  function curl(method, path, operation) {
    const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const filled = path.replace("{call_sid}", "CA…").replace(/\{\w+\}/, "1");
    const lines = [`curl ${method === "get" ? "" : method === "head" ? "-I " : `-X ${method.toUpperCase()} `}${quoted(root + filled)}`];
    const wanted = operation.security.some((need) => need.token);
    if (wanted) lines.push('-H "Authorization: Bearer $DIALER_TOKEN"');
    const json = operation.requestBody?.content["application/json"];
    if (json && (operation.requestBody.required || json.example)) {
      lines.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(json.example ?? sample(json.schema)))}`);
    }
    return lines.join(" \\\n  ");
  }

  function copyable(text) {
    const button = make("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select it and copy";
      }
    });
    return make("div", { class: "curl" }, make("pre", {}, text), button);
  }

  function bodyOf(operation) {
    const body = operation.requestBody;
    if (!body) return [];
    return Object.entries(body.content).map(([type, content], i) => [
      make("h4", {}, i ? "Or" : "Body"),
      make("p", {}, make("code", {}, type), " ", typeOf(content.schema), body.required ? "" : ", or none"),
      content["x-query"] ? make("p", {}, "In the query string: ", typeOf(content["x-query"])) : null,
    ]).flat();
  }

  function answerRow(status, answer) {
    const kinds = Object.entries(answer.content ?? {}).flatMap(([type, content]) =>
      [make("code", {}, type), " ", ...(type === "application/json" ? typeOf(content.schema) : [])]);
    const headers = Object.keys(answer.headers ?? {}).filter((name) => name !== "X-Request-Id");
    return make("tr", {}, make("td", {}, make("code", {}, status)),
      make("td", {}, prose(answer.description), make("div", { class: "faint" }, kinds),
        headers.length ? make("div", { class: "faint" }, `Headers: ${headers.join(", ")}`) : null));
  }

  // Errors that mean here what they mean everywhere are only named.
  function answersOf(operation) {
    const all = Object.entries(operation.responses);
    const isUsual = ([, given]) => given.$ref && !given.description;
    const usual = all.filter(isUsual).flatMap(([status], i) => [i ? ", " : "", make("a", { href: `#problem-${status}` }, status)]);
    return [make("h4", {}, "Answers"),
      make("table", {}, all.filter((each) => !isUsual(each)).map(([status, given]) => answerRow(status, follow(given)))),
      usual.length ? make("p", { class: "faint" }, "Errors as everywhere: ", usual) : null];
  }

  function problemOf(name, response) {
    const status = name.replace("Problem", "");
    const examples = Object.entries(Object.values(response.content)[0].examples);
    return make("details", { id: `problem-${status}` },
      make("summary", {}, make("code", {}, status), make("span", {}, examples[0][1].value.title)),
      make("div", {}, make("table", {}, examples.map(([code, example]) =>
        make("tr", {}, make("td", {}, make("code", {}, code)), make("td", {}, example.value.detail)))),
        make("pre", {}, JSON.stringify(examples[0][1].value, null, 2))));
  }

  function who(operation) {
    const needs = operation.security.map((need) => Object.keys(need)[0]);
    if (!needs.length) return "No token is wanted.";
    if (needs.includes(undefined)) return "A token may be sent.";
    return needs.includes("carrier") ? "Signed by the carrier." : null;
  }

  function operationOf(path, method, operation) {
    const parameters = (operation.parameters ?? []).map(follow);
    return make("details", { id: operation.operationId },
      make("summary", {}, make("span", { class: `method ${method}` }, method), make("code", {}, path), make("span", {}, operation.summary)),
      make("div", {},
        operation.description ? prose(operation.description) : null,
        who(operation) ? make("p", { class: "faint" }, who(operation)) : null,
        parameters.length ? make("h4", {}, "Parameters") : null,
        parameters.length ? make("table", {}, parameters.map((p) => row(p.name, p.schema, p.required, p.description, p.in))) : null,
        bodyOf(operation), answersOf(operation),
        make("h4", {}, "With curl"), copyable(curl(method, path, operation))));
  }

  function schemaOf(name, schema) {
    return make("details", { id: `schema-${name}` },
      make("summary", {}, make("code", {}, name), make("span", {}, (schema.description ?? "").split("\n")[0])),
      make("div", {}, schema.description ? prose(schema.description) : null, properties(schema)));
  }

  const contents = document.getElementById("contents");
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
  main.replaceChildren(
    make("h1", {}, api.info.title, " ", make("small", {}, api.info.version)),
    prose(api.info.description),
    prose("A token goes into a header: `Authorization: Bearer TOKEN`. The same for programs: `api/openapi.json`."));
  for (const { name } of api.tags) {
    main.append(make("h2", {}, name));
    contents.append(make("h2", {}, name));
    for (const { path, method, operation } of operations.filter((each) => each.operation.tags.includes(name))) {
      main.append(operationOf(path, method, operation));
      contents.append(make("a", { href: `#${operation.operationId}` },
        make("b", { class: method }, method.toUpperCase()), make("span", {}, path.replace("/api/", "/"))));
    }
  }
  function section(title, elements) {
    const id = title.toLowerCase();
    main.append(make("h2", { id }, title), ...elements);
    contents.append(make("h2", {}, make("a", { href: `#${id}` }, title)));
  }
  section("Errors", Object.entries(api.components.responses).map(([name, response]) => problemOf(name, response)));
  section("Schemas", Object.entries(api.components.schemas).map(([name, schema]) => schemaOf(name, schema)));

  // What a link names is opened, and seen.
  function openNamed() {
    const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!named) return;
    named.open = true;
    named.scrollIntoView();
  }
  addEventListener("hashchange", openNamed);
  openNamed();
})();
