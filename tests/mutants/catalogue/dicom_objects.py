"""Mutants of DICOM objects of a reading."""

from __future__ import annotations

from mutants.mutant import mutant

NODE_OBJECTS = "appliance/node/objects"

OBJECTS = (
    mutant(
        "outlines are drawn on the file that was read, and on no other",
        f"{NODE_OBJECTS}/exam.py",
        "    if hashlib.sha256(data).hexdigest() != image.sha256:",
        "    if False:",
        "test_outlines_are_never_drawn_on_another_file",
    ),
    mutant(
        "no coordinate is moved in a presentation state",
        f"{NODE_OBJECTS}/presentation.py",
        "[coordinate for point in points for coordinate in point]",
        "[coordinate + 0.5 for point in points for coordinate in point]",
        "test_in_the_presentation_state",
        "test_in_ultrasound_as_in_mammograms",
    ),
    mutant(
        "no coordinate is moved in a report",
        f"{NODE_OBJECTS}/content.py",
        "[coordinate for point in points for coordinate in point]",
        "[coordinate + 0.5 for point in points for coordinate in point]",
        "test_in_the_report",
        "test_in_the_cad_report",
        "test_in_the_report_as_another_reader_reads_it",
    ),
    mutant(
        "a name is copied as it was sent",
        "appliance/node/headers.py",
        "                if vr in _TEXT:",
        "                if False:",
        "test_words_that_do_not_fit_their_character_set_are_not_made_others",
    ),
    mutant(
        "images that were not read are named",
        f"{NODE_OBJECTS}/sr.py",
        "        for words, count in missing.items()",
        "        for words, count in list(missing.items())[:0]",
        "test_images_not_read_are_named_with_the_reason_in_every_report",
        "test_images_of_which_no_file_was_kept_are_counted",
    ),
    mutant(
        "a CAD report tells of a mammogram that failed",
        f"{NODE_OBJECTS}/cad_sr.py",
        "    whole = not missed",
        "    whole = True",
        "test_cad_says_whether_every_mammogram_was_read_and_whether_there_is_a_finding",
    ),
    mutant(
        "a CAD report that cannot name what failed is not written",
        f"{NODE_OBJECTS}/__init__.py",
        "any(each.header is None for each in failed_films(exam))",
        "False",
        "test_cad_says_nothing_where_it_cannot_name_the_mammogram_that_was_not_read",
    ),
    mutant(
        "another model's objects are others",
        "appliance/node/uids.py",
        'f"model {model_sha256}"',
        '"model"',
        "test_another_image_model_verdict_or_format_makes_other_uids",
    ),
    mutant(
        "no two verdicts under one UID",
        f"{NODE_OBJECTS}/exam.py",
        "                (reading.verdict.value, *reading.reasons),",
        "                (),",
        "test_another_image_model_verdict_or_format_makes_other_uids",
    ),
    mutant(
        "a report begins with its own study's findings",
        f"{NODE_OBJECTS}/exam.py",
        "key=lambda each: each.study != study",
        "key=lambda each: False",
        "test_a_report_holds_all_findings_its_own_study_first",
    ),
    mutant(
        "a picture says what it is not for",
        f"{NODE_OBJECTS}/capture.py",
        "    yield wording.INTENDED_USE.upper(), _NOTICE\n",
        "",
        "test_the_words_stand_below_the_image",
    ),
    mutant(
        "a picture is never larger than a display",
        f"{NODE_OBJECTS}/capture.py",
        "        if rows + below.shape[0] <= LONGEST_SIDE_PX:",
        "        if True:",
        "test_no_side_is_longer_than_a_display_s_and_none_is_lost",
    ),
    mutant(
        "no finding is lost where a picture is reduced",
        f"{NODE_OBJECTS}/capture.py",
        "share >= min(128, max(1, int(share.max())))",
        "share >= 128",
        "test_a_finding_of_one_pixel_is_not_lost_when_its_image_is_reduced",
    ),
    mutant(
        "what was lossy stays lossy",
        f"{NODE_OBJECTS}/capture.py",
        '"BurnedInAnnotation", *COMPRESSION)',
        '"BurnedInAnnotation")',
        "test_what_was_lossy_stays_lossy",
    ),
    mutant(
        "an inverted image is shown inverted",
        f"{NODE_OBJECTS}/presentation.py",
        '"INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"',
        '"IDENTITY"',
        "test_an_inverted_image_is_shown_inverted",
    ),
    mutant(
        "another reader finds the pixels that a segment belongs to",
        f"{NODE_OBJECTS}/seg.py",
        '    source.SpatialLocationsPreserved = "YES"\n',
        "",
        "test_in_the_segmentation_as_another_reader_reads_it",
    ),
)
