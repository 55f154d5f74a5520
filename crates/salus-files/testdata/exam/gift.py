"""What an independent parser of GIFT (pygiftparser, PyPI) reads in a sheet; prints JSON.

usage: python gift.py sheet.gift
"""
import json
import re
import sys

from pygiftparser import parser

plain = lambda text: re.sub(r"\\([#=~:{}\\])", r"\1", text or "").strip()

questions = []
with open(sys.argv[1], encoding="utf-8") as sheet:
    for question in parser.parseFile(sheet):
        questions.append(
            {
                "valid": bool(question.valid),
                "kind": type(question.answers).__name__,
                "title": plain(question.title),
                "markup": question.markup,
                "text": plain(question.text),
                "tail": question.tail,
                "general": plain(question.generalFeedback),
                "answers": [
                    {"text": plain(a.answer), "fraction": a.fraction, "why": plain(a.feedback)}
                    for a in getattr(question.answers, "answers", [])
                ],
            }
        )
print(json.dumps(questions))
