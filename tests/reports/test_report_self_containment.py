"""A report is one file: it asks nothing of the network, runs nothing, and reads well without sight or colour."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

LOADING = {"src", "srcset", "poster", "data", "background", "action", "formaction", "xlink:href"}


def test_no_page_loads_or_runs_anything(all_pages, parse):
    for name, html in all_pages.items():
        page = parse(html)
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"script", "iframe", "object", "embed", "base", "form", "audio", "video"}, name
        for tag, attributes in page.elements:
            assert not [a for a in attributes if a.startswith("on")], (name, tag)
            for attribute in LOADING & attributes.keys():
                assert attributes[attribute].startswith("data:image/"), (
                    name,
                    tag,
                    attributes[attribute][:60],
                )
            if "href" in attributes:
                assert not re.match(r"(?i)\s*(//|/|(?!data:)[a-z][a-z0-9+.-]*:)", attributes["href"]), (
                    attributes
                )
        assert "@import" not in page.style, name
        assert "url(" not in page.style, name


def test_a_browser_is_told_to_refuse_anything_from_outside(all_pages, parse):
    for html in all_pages.values():
        policies = [m["content"] for m in parse(html).all("meta") if "http-equiv" in m]
        assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_plots_inside_are_sound_svg_that_refers_only_to_itself(all_pages, parse):
    seen = 0
    for name, html in all_pages.items():
        for image in parse(html).all("img"):
            if not image["src"].startswith("data:image/svg+xml;base64,"):
                continue
            seen += 1
            root = ElementTree.fromstring(base64.b64decode(image["src"].partition(",")[2]))
            for element in root.iter():
                assert not element.tag.endswith(("}script", "}image", "}foreignObject")), name
                for key, value in element.attrib.items():
                    if key.endswith("href"):
                        assert value.startswith("#"), (name, value)
    assert seen >= 11


def test_pages_can_be_read_by_a_screen_reader(all_pages, parse):
    for name, html in all_pages.items():
        page = parse(html)
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("h1")) == 1, name
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(after - before <= 1 for before, after in pairwise(levels)), (
            name,
            levels,
        )
        assert all(image.get("alt", "").strip() for image in page.all("img")), name
        assert all(header.get("scope") in {"col", "row"} for header in page.all("th")), name
        assert len(page.all("table")) == len(page.all("thead")), name
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), name
        targets = [a["href"][1:] for a in page.all("a") if a.get("href", "").startswith("#")]
        assert set(targets) <= set(ids), name


def _luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_colours_have_the_contrast_of_wcag_aa(all_pages, parse):
    style = parse(all_pages["index"]).style
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style))
    for ink in ("ink", "muted", "good", "bad", "wait", "info"):
        for ground in ("#ffffff", colours["page"], "#eaf1f8"):
            light, dark = sorted((_luminance(colours[ink]), _luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_pages_adapt_to_a_phone_and_to_paper(all_pages, parse):
    for html in all_pages.values():
        page = parse(html)
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
        assert "@media print" in page.style
        assert "@media (max-width: 600px)" in page.style
