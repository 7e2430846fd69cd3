"""A reading as what people and programs get: document, report, pictures, words."""
