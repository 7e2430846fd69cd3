"""DICOM objects of a reading, written for the studies of its images. No network here."""
