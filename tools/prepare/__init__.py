"""Preparation of downloaded data sets: one index, VIA and COCO files, and a split."""
