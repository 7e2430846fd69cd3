"""Damaged image files by the thousand, through the reader's decoders and through a whole box."""
