"""Output of a reading for people and programs: document, report, pictures, words."""
