"""Damaged files, requests, documents and messages by the thousand, and what becomes of them."""
