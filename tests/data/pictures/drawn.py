"""A face that is drawn, which dlib's detector takes for one: nobody's."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 200


def face(skin=(225, 180, 150), back=(90, 110, 130)):
    """uint8 (SIDE, SIDE, 3)."""
    image = Image.new("RGB", (SIDE, SIDE), back)
    draw = ImageDraw.Draw(image)

    def ellipse(x, y, wide, high, colour):
        draw.ellipse([x - wide, y - high, x + wide, y + high], fill=colour)

    ellipse(100, 110, 62, 80, skin)
    draw.pieslice([38, 20, 162, 130], 180, 360, fill=(60, 40, 30))
    ellipse(100, 105, 56, 60, skin)
    dark = tuple(value * 2 // 3 for value in skin)
    for x in (76, 124):
        ellipse(x, 82, 18, 7, dark)
        ellipse(x, 95, 14, 7, (250, 250, 250))
        ellipse(x, 95, 6, 6, (40, 30, 20))
        draw.line([x - 18, 80, x + 18, 78], fill=(60, 40, 30), width=6)
    draw.polygon([(100, 95), (88, 128), (112, 128)], fill=dark)
    ellipse(100, 152, 26, 8, (160, 70, 70))
    draw.line([75, 152, 125, 152], fill=(90, 30, 30), width=3)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(2.5)))
