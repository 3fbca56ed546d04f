"""Prints a page and puts it on a cheap scanner: tilted, blurred, noisy, on gray paper.

A scan depends only on its page number, so a page that is read badly can be scanned again for a
closer look. Pillow is enough: sixty pages do not need NumPy in the image.
"""

import io
import math
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from document_ocr.pages import Page

DPI = 200
WIDTH, HEIGHT = int(5.83 * DPI), int(8.27 * DPI)  # A5
MARGIN = int(0.6 * DPI)
POINT_SIZES = (13, 13.5, 14)
LEADING = 1.45
FONT_FOLDER = Path("/usr/share/fonts/truetype")
FONTS = (
    "dejavu/DejaVuSerif.ttf",
    "liberation/LiberationSerif-Regular.ttf",
    "liberation/LiberationSans-Regular.ttf",
)
JPEG_QUALITY = 70


def scan(page: Page) -> bytes:
    """Return the page as a grayscale JPEG, well below the queue's payload limit of 1 MiB."""
    chance = random.Random(page.number)
    image = _print(page, chance)
    paper = chance.randint(196, 224)
    image = image.rotate(
        chance.uniform(-1.6, 1.6), resample=Image.Resampling.BICUBIC, fillcolor=255
    )
    image = image.filter(ImageFilter.GaussianBlur(chance.uniform(0.5, 0.9)))
    image = ImageChops.multiply(image, _uneven_light(paper, chance))
    image = _add_noise(image, sigma=chance.uniform(14, 22), chance=chance)
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=JPEG_QUALITY, dpi=(DPI, DPI))
    return out.getvalue()


def _print(page: Page, chance: random.Random) -> Image.Image:
    """Print the page in dark gray on white, ragged right."""
    font = _font(chance.choice(FONTS), chance.choice(POINT_SIZES) * DPI / 72)
    image = Image.new("L", (WIDTH, HEIGHT), 255)
    draw = ImageDraw.Draw(image)
    top, step = MARGIN, font.size * LEADING
    for paragraph in page.text.split("\n\n"):
        for line in _wrap(paragraph, font):
            draw.text((MARGIN, top), line, font=font, fill=chance.randint(20, 60))
            top += step
        top += step / 2
    if top > HEIGHT - MARGIN / 2:
        raise ValueError(f"{page.name} does not fit on its paper")
    return image


def _font(name: str, size: float) -> Any:
    """Load a font of Debian's packages; where it is not installed, the one that Pillow brings."""
    try:
        return ImageFont.truetype(str(FONT_FOLDER / name), size=size)
    except OSError:
        return ImageFont.load_default(size)


def _wrap(paragraph: str, font: Any) -> list[str]:
    """Break a paragraph into lines that fit between the margins."""
    lines = [""]
    for word in paragraph.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= WIDTH - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _uneven_light(paper: int, chance: random.Random) -> Image.Image:
    """Make gray paper that is a little darker towards one edge."""
    shade = Image.linear_gradient("L").rotate(chance.choice((0, 90, 180, 270)))
    depth = chance.randint(12, 36)
    return shade.resize((WIDTH, HEIGHT)).point(lambda v: paper - v * depth // 255)


def _add_noise(image: Image.Image, *, sigma: float, chance: random.Random) -> Image.Image:
    """Add sensor noise of a standard deviation, without a bias.

    Pillow's own `effect_noise` can't be seeded.
    """
    uniform = Image.frombytes("L", image.size, chance.randbytes(image.width * image.height))
    scale = sigma * math.sqrt(12) / 255
    noise = uniform.point(lambda v: round(128 + (v - 127.5) * scale))
    return ImageChops.add(image, noise, scale=1, offset=-128)
