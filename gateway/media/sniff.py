"""The kind of a file, by its first bytes: messages name it, never the bytes themselves."""

_BEGINNINGS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"OggS", "an Ogg stream"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
)
_RIFF = {b"WEBP": "image/webp", b"AVI ": "video/avi", b"WAVE": "audio/wav"}
_BRANDS = {b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"heix": "image/heic"}
_BRANDS |= {b"mif1": "image/heic", b"msf1": "image/heic", b"qt  ": "video/quicktime", b"M4A ": "audio/mp4"}
_MARKUP = ((b"<!doctype html", "text/html"), (b"<html", "text/html"), (b"<svg", "image/svg+xml"), (b"<?xml", "XML"))


def mime_of(data: bytes) -> str:
    """MIME type, or a plain name for what has none here ("text", "a program")."""
    if not data:
        return "nothing"
    if data[:4] == b"RIFF" and data[8:12] in _RIFF:
        return _RIFF[data[8:12]]
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "video/mp4")
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return name
    head = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, name in _MARKUP:
        if head.startswith(beginning):
            return name
    return "text" if head and all(byte >= 32 or byte in b"\t\r\n" for byte in head) else "unknown data"
