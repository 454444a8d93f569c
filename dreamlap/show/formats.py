"""The formats that pictures and videos are written in: the suffix of the file decides."""

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffix -> the format of a picture, as Pillow calls it."""
CONTAINERS = {".mp4": ("mp4", {"movflags": "+faststart"}), ".webm": ("webm", {})}
"""Suffix -> the container of a video, as FFmpeg calls it, and its settings."""
VIDEOS = (*CONTAINERS, ".gif", ".webp")
"""Of a video, or of a picture that loops."""
