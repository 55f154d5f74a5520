// Evaluates search parameters with the npm package fhirpath, as a second opinion.
//
// node peer.js <folder with node_modules> <parameters.json> <resources.ndjson>
// parameters.json: { "<resource type>": [["<code>", "<expression>"], ...] }
// Prints one JSON object per resource: { "<code>": [values] }.
const fs = require("fs");
const path = require("path");
const [folder, parameters, resources] = process.argv.slice(2);
const load = (name) => require(path.join(folder, "node_modules", name));
const fhirpath = load("fhirpath");
const model = load("fhirpath/fhir-context/r4");

// Two rewritings, because the package fetches what resolve() asks for, and refuses `as` on several
// items, which the R4 search parameters rely on.
const rewrite = (text) =>
  text
    .replace(/resolve\(\) is ([A-Za-z]+)/g, "reference.contains('$1/')")
    .replace(/\(([A-Za-z.]+) as ([A-Za-z]+)\)/g, "($1.ofType($2))")
    .replace(/\.as\(([A-Za-z]+)\)/g, ".ofType($1)");

const compiled = {};
for (const [type, list] of Object.entries(JSON.parse(fs.readFileSync(parameters, "utf8")))) {
  compiled[type] = list.map(([code, text]) => [code, fhirpath.compile(rewrite(text), model)]);
}
const out = [];
for (const line of fs.readFileSync(resources, "utf8").split("\n").filter(Boolean)) {
  const resource = JSON.parse(line);
  const found = {};
  for (const [code, evaluate] of compiled[resource.resourceType] ?? []) {
    found[code] = evaluate(resource);
  }
  out.push(JSON.stringify(found));
}
process.stdout.write(out.join("\n"));
