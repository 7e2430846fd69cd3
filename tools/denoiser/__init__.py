"""Denoising offline: the mammogram's network and how it is trained, the ultrasound's second way."""
