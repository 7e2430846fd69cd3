"""Damaged image files by the thousand, through the reader's decoders and a whole appliance."""
