"""Pictures: others' are read whole and upright, or refused; ours are of the kind that their name says."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dreamlap.errors import Refused
from dreamlap.files import check_writable, existing, replacing
from dreamlap.show.formats import PICTURES

MOST_PIXELS = 2**26
"""Of a picture: 67 million, 200 MB, more than a phone takes."""
BROKEN = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, struct.error)
"""What Pillow's many decoders raise on broken files."""


READ = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Formats of pictures that are read. Pillow knows more; some, such as PostScript, start other programs."""


def read_picture(path: Path) -> np.ndarray:
    """The picture in a file as a person sees it, (H, W, 3) uint8: turned upright as its EXIF says.

    Raises:
        Refused: it is no picture, or a broken or a huge one, or not of 8 bits a channel; the message names the file.
        OSError: there is no such file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is refused below
        try:
            with Image.open(existing(path), formats=READ) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                if picture.mode.startswith(("I", "F")):  # Pillow would clip them at 255
                    raise Refused(f"{path} has more than 8 bits a channel: save it with 8")
                return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
        except Refused:
            raise
        except Image.DecompressionBombError:
            raise Refused(f"{path} has more than {MOST_PIXELS:,} pixels: save it smaller") from None
        except UnidentifiedImageError:
            raise Refused(f"{path} is no picture that can be read: use a PNG or JPEG") from None
        except BROKEN as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise Refused(f"{path} is a broken picture ({error}): copy it again, or save it again") from None


def write_picture(path: Path, png: bytes) -> None:
    """Write a picture, a PNG, in the format that the suffix says.

    Raises:
        Refused: the suffix is that of no format that can be written.
        OSError: it cannot be written.
    """
    check_writable(path, PICTURES)
    kind = PICTURES[path.suffix.lower()]
    with replacing(path) as partial:
        if kind == "PNG":
            partial.write_bytes(png)
        else:
            Image.open(io.BytesIO(png)).convert("RGB").save(partial, kind, quality=90)
