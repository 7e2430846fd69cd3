"""DICOM node: images come in from modalities and the PACS, results go back into their studies.

A process of its own, which knows the appliance by its HTTP interface alone.
"""
