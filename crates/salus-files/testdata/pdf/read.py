"""What independent programs read in a PDF: its words, its structure, its fonts; and a picture.

usage: python read.py document.pdf picture.png   prints one JSON object
"""
import json
import sys

import pypdfium2
from pypdf import PdfReader
from pypdf.generic import ArrayObject, DictionaryObject, NullObject

reader = PdfReader(sys.argv[1], strict=True)
root = reader.trailer["/Root"]


def roles(element, depth=0):
    """Roles of the structure in reading order, and how deep each lies."""
    element = element.get_object()
    if not isinstance(element, DictionaryObject):
        return []
    found = []
    if "/S" in element:
        found.append((depth, element["/S"]))
    kids = element.get("/K", NullObject())
    kids = kids.get_object()
    if not isinstance(kids, ArrayObject):
        kids = [kids]
    for kid in kids:
        if isinstance(kid.get_object(), DictionaryObject):
            found += roles(kid, depth + 1)
    return found


fonts = []
for page in reader.pages:
    for name, font in page["/Resources"]["/Font"].items():
        font = font.get_object()
        inner = font["/DescendantFonts"][0].get_object()
        fonts.append(
            {
                "name": str(font["/BaseFont"]),
                "embedded": "/FontFile2" in inner["/FontDescriptor"].get_object(),
                "unicode": "/ToUnicode" in font,
            }
        )

document = pypdfium2.PdfDocument(sys.argv[1])
texts = []
for page in document:
    texts.append(page.get_textpage().get_text_range())
images = [page.render(scale=1.6).to_pil() for page in document]
width = max(i.width for i in images)
whole = images[0].__class__ and __import__("PIL.Image").Image.new(
    "RGB", (width, sum(i.height for i in images)), "white"
)
top = 0
for image in images:
    whole.paste(image, (0, top))
    top += image.height
whole.save(sys.argv[2])
dark = sum(whole.convert("L").resize((200, 200)).histogram()[:200])
struct = root["/StructTreeRoot"].get_object()
print(
    json.dumps(
        {
            "pages": len(reader.pages),
            "text": "\n".join(texts),
            "text_pypdf": "\n".join(p.extract_text() for p in reader.pages),
            "language": str(root.get("/Lang")),
            "marked": bool(root["/MarkInfo"].get("/Marked")),
            "title": reader.metadata.title,
            "xmp": root["/Metadata"].get_object().get_data().decode(),
            "shows_title": bool(root["/ViewerPreferences"].get("/DisplayDocTitle")),
            "roles": [role for _, role in roles(struct)],
            "parents": len(struct["/ParentTree"].get_object()["/Nums"]) // 2,
            "fonts": fonts,
            "dark": dark,
        }
    )
)
