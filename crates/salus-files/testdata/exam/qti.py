"""Reads a QTI 3 package with Python's XML parser, follows it from the manifest, and answers each
item by its own response processing; prints JSON.

usage: python qti.py folder
"""
import json
import pathlib
import sys
import xml.etree.ElementTree as xml

folder = pathlib.Path(sys.argv[1])
CP = "{http://www.imsglobal.org/xsd/qti/qtiv3p0/imscp_v1p1}"
QTI = "{http://www.imsglobal.org/xsd/imsqtiasi_v3p0}"

# The sequence of an item's parts in the specification's binding.
ORDER = [
    "qti-response-declaration",
    "qti-outcome-declaration",
    "qti-item-body",
    "qti-response-processing",
    "qti-modal-feedback",
]
NEEDED = {"identifier", "title", "adaptive", "time-dependent"}


def score(item, answer):
    """What the item gives for an answer, by the rules that it states itself."""
    correct = item.find(f"{QTI}qti-response-declaration/{QTI}qti-correct-response/{QTI}qti-value").text
    values = {
        o.get("identifier"): (
            o.findtext(f"{QTI}qti-default-value/{QTI}qti-value"),
            o.get("base-type"),
        )
        for o in item.findall(f"{QTI}qti-outcome-declaration")
    }
    given = {name: value for name, (value, _) in values.items()}

    def set_all(parent):
        for rule in parent.findall(f"{QTI}qti-set-outcome-value"):
            base = rule.find(f"{QTI}qti-base-value")
            name = rule.get("identifier")
            assert values[name][1] == base.get("base-type"), "types differ"
            given[name] = base.text

    processing = item.find(f"{QTI}qti-response-processing")
    for condition in processing.findall(f"{QTI}qti-response-condition"):
        when = condition.find(f"{QTI}qti-response-if")
        match = when.find(f"{QTI}qti-match")
        assert match.find(f"{QTI}qti-variable").get("identifier") == "RESPONSE"
        if answer == correct:
            set_all(when)
    set_all(processing)
    return float(given["SCORE"]), given["FEEDBACK"]


manifest = xml.parse(folder / "imsmanifest.xml").getroot()
assert manifest.tag == f"{CP}manifest"
resources = {
    r.get("identifier"): r for r in manifest.findall(f"{CP}resources/{CP}resource")
}
tests = []
for resource in resources.values():
    for file in resource.findall(f"{CP}file"):
        assert (folder / file.get("href")).is_file(), file.get("href")
    if resource.get("type") != "imsqti_test_xmlv3p0":
        continue
    path = folder / resource.get("href")
    test = xml.parse(path).getroot()
    assert test.tag == f"{QTI}qti-assessment-test"
    questions = []
    needs = {d.get("identifierref") for d in resource.findall(f"{CP}dependency")}
    for reference in test.iter(f"{QTI}qti-assessment-item-ref"):
        item = xml.parse(path.parent / reference.get("href")).getroot()
        assert item.tag == f"{QTI}qti-assessment-item"
        assert NEEDED <= set(item.keys())
        assert item.get("identifier") in needs
        places = [ORDER.index(child.tag.removeprefix(QTI)) for child in item]
        assert places == sorted(places), "parts are out of order"
        interaction = item.find(f"{QTI}qti-item-body/{QTI}qti-choice-interaction")
        choices = interaction.findall(f"{QTI}qti-simple-choice")
        scores = {c.get("identifier"): score(item, c.get("identifier")) for c in choices}
        feedback = item.find(f"{QTI}qti-modal-feedback")
        assert all(f == feedback.get("identifier") for _, f in scores.values())
        right = [c for c in choices if scores[c.get("identifier")][0] == 1.0]
        assert len(right) == 1
        questions.append(
            {
                "ask": interaction.findtext(f"{QTI}qti-prompt"),
                "choices": ["".join(c.itertext()) for c in choices],
                "right": "".join(right[0].itertext()),
                "explanation": "".join(feedback.itertext()).strip(),
                "body": "".join(item.find(f"{QTI}qti-item-body").itertext()),
            }
        )
    tests.append(
        {
            "title": test.get("title"),
            "text": "".join(test.itertext()).strip(),
            "questions": questions,
        }
    )
print(json.dumps(tests))
