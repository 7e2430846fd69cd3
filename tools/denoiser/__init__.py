"""The mammogram's denoising network: what it learns from, how, and what becomes of it."""
