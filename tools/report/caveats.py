"""Caveats: what must be known of each public set before its figures mean something."""

from __future__ import annotations

from collections.abc import Iterable

GENERAL = (
    "Small sets: read every figure with its interval. A rate of 0 or 1 has an interval without "
    "width, which is not certainty.",
    "The operating points and the finding thresholds were chosen on val. A test split that was "
    "looked at more than once is a test split no longer.",
    "No public set holds both tests of one woman. Fused figures are of simulated pairs, which err "
    "independently of each other; two tests of one woman do not.",
    "Findings come at most twelve an image, so a FROC curve ends where they do.",
    "Old, public, mostly film: nothing here says how the device does on the images of your clinic.",
)
SOURCES = {
    "BUSI": (
        "One hospital, about 600 women, no patient numbers. Many near-duplicates; images that look "
        "alike count as one case here, but two unlike views of one woman may still be on both "
        "sides of the split.",
        "Calipers, text and colour frames are drawn into some pictures, more often into those of "
        "some classes: a network can learn the marks instead of the lesion. Some show the axilla.",
        "The label is a picture's, not a lesion's; scenes filed under two labels were left out.",
    ),
    "CBIS-DDSM": (
        "Digitised film of the 1990s, at 8 bits and twice compressed: no digital mammogram.",
        "Every film has a mass and none is normal, so specificity is that of benign against "
        "malignant masses, and says nothing of screening.",
        "The outlines carry the detail of a 256-pixel picture: small differences of Dice, and any "
        "of small lesions, mean nothing.",
        "Film borders, markers and handwriting are in the picture.",
    ),
    "mini-MIAS": (
        "Never trained on. Circles instead of outlines, so no Dice, no Jaccard, no AP.",
        "Its background was blacked out by hand. All normal mammograms are from this set, so "
        "lesion against normal may only be judged within it.",
        "32 test films of 16 women: the intervals say how little that is.",
    ),
    "DDSM TFRecords": (
        "Tiles of 299 pixels, normal ones from one set and lesions from another: what tells them "
        "apart may be the scanner. Tiles of one woman can be on both sides of its split.",
    ),
}
UNKNOWN = (
    "Nothing is known here about this set: say who labelled it and how, which women are in which "
    "split, and what is drawn into its pictures."
)


def caveats(sources: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """A heading and its sentences, the general ones first."""
    each = [(source, SOURCES.get(source, (UNKNOWN,))) for source in sorted(set(sources))]
    return [("Of all figures", GENERAL), *each]
