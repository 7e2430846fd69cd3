"""The self-contained HTML report."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import readings

from mammosono.appliance.output.report import LONGEST_SIDE_PX, html_report
from mammosono.appliance.output.wording import INTENDED_USE
from mammosono.appliance.values import Laterality, Modality, Origin, Verdict

VOID = {"meta", "input", "img"}


class Page(HTMLParser):
    """Collects attributes and text, and checks that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def attributes(self, tag, name):
        return [attrs[name] for element, attrs in self.elements if element == tag]


def page(reading=None, study="feed"):
    return Page(html_report(study, reading or readings.pair()))


def test_nothing_is_loaded_from_elsewhere_and_only_the_slider_runs():
    text = html_report("feed", readings.pair())
    assert not re.search(r"https?://|url\(|@import|<script[^>]|<link| on\w+=", text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in text
    assert f"script-src 'sha256-{digest}'" in text
    assert all(src.startswith("data:image/png;base64,") for src in page().attributes("img", "src"))


def test_it_tells_verdicts_reason_model_and_use():
    text = page().text
    assert "+ positive The mammogram is positive." in text
    assert INTENDED_USE in text
    assert "score 0.877, positive from 0.410" in text
    assert f"compact 1.2.3, sha256 {'ab' * 32}" in text
    assert "denoise 120 ms, network 431 ms, total 700 ms" in text
    assert "anscombe (gain 0.01235, sigma 1.5)" in text
    assert "The pixel size is not known." in text


def test_an_image_is_called_by_its_side_and_view_and_two_alike_are_told_apart():
    film = readings.image(0, Modality.MG, Verdict.NEGATIVE, size=(70, 70), score=0.1)
    left = replace(film, laterality=Laterality.LEFT, view="CC", laterality_from=Origin.FORM)
    seen = readings.reading(
        replace(left, name="<a>.png"), replace(left, index=1), replace(film, index=2)
    )
    text = html_report("feed", seen)
    assert re.findall(r"<h3>(.*?) <span", text) == ["L CC (1)", "L CC (2)", "image 3"]
    assert text.count("(as posted)") == 2
    assert "&lt;a&gt;.png" in text
    assert 'alt="mammogram L CC (1) as posted"' in text


def test_warnings_on_the_study_stand_beside_its_verdict():
    doubted = replace(readings.pair(), warnings=("Check that all are of <one> patient.",))
    text = html_report("feed", doubted)
    assert "The mammogram is positive. Check that all are of &lt;one&gt; patient.</p>" in text


@pytest.mark.parametrize(("verdict", "symbol"), [(Verdict.NEGATIVE, "−"), (Verdict.POSITIVE, "+")])
def test_the_banner_has_word_symbol_and_colour_of_the_fused_verdict(verdict, symbol):
    images = [
        readings.image(index, modality, verdict, size=(70, 70), score=0.5)
        for index, modality in enumerate(Modality)
    ]
    shown = page(readings.reading(*images))
    assert shown.attributes("header", "class") == [verdict.value]
    assert f"{symbol} {verdict.value}" in shown.text


def test_each_image_has_its_views_of_which_the_overlay_is_shown():
    shown = page()
    assert shown.attributes("img", "class") == ["overlay", "denoised", "original"] * 2
    chosen = [attrs["id"] for tag, attrs in shown.elements if tag == "input" and "checked" in attrs]
    assert chosen == ["overlay-0", "overlay-1"]
    radios = [
        attrs["id"] for tag, attrs in shown.elements if tag == "input" and attrs["type"] == "radio"
    ]
    assert shown.attributes("label", "for") == radios
    assert radios[:4] == ["overlay-0", "original-0", "denoised-0", "compare-0"]


def test_original_and_denoised_are_compared_by_a_slider_that_says_what_it_does():
    sliders = [a for tag, a in page().elements if tag == "input" and a["type"] == "range"]
    assert [(s["min"], s["max"], s["value"]) for s in sliders] == [("0", "100", "50")] * 2
    assert "shown as posted, the rest denoised" in sliders[0]["aria-label"]


def test_the_views_are_the_pictures_of_the_reading():
    reading = readings.pair()
    original = page(reading).attributes("img", "src")[2]
    png = base64.b64decode(original.partition(",")[2])
    shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown, reading.pictures[0].original)


def test_large_pictures_are_reduced():
    size = (LONGEST_SIDE_PX * 2, 300)
    image = readings.image(0, Modality.MG, Verdict.NEGATIVE, size=size, score=0.1)
    for src in page(readings.reading(image)).attributes("img", "src"):
        png = base64.b64decode(src.partition(",")[2])
        shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        assert shown.shape[:2] == (LONGEST_SIDE_PX, 150)


def test_a_missing_modality_has_its_pane_and_says_so():
    image = readings.image(0, Modality.US, Verdict.NEGATIVE, size=(70, 70), score=0.1)
    shown = page(readings.reading(image))
    assert "Mammogram MG No mammogram was given." in shown.text
    assert shown.attributes("header", "class") == ["indeterminate"]


def test_words_from_outside_are_escaped():
    hostile = "<img src=x onerror=alert(1)> & $verdict"
    image = readings.image(
        0, Modality.US, Verdict.NEGATIVE, size=(70, 70), score=0.1, warnings=(hostile,)
    )
    shown = page(readings.reading(image), study=hostile)
    assert shown.text.count(hostile) >= 2
    assert len(shown.attributes("img", "src")) == 3
