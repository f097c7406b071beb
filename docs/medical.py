"""Draw the pictures of docs/medical.md from a run of volumes, or from what was evaluated of it:

    resnets eval hippo/fold5 hippocampus --split val --out eval5
    python docs/medical.py eval5

They are what the command drew itself, in plots/: of worst.png the first volumes and the legend, and agreement.png as it is.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent / "medical"
NUM_VOLUMES = 3
DPI, OVER, ROW, UNDER = 120, 0.66, 2.06, 0.34  # inches, of `resnets.draw.panels.draw_worst`: above, a row, below


def shortened(drawing: Image.Image, num_rows: int) -> Image.Image:
    """The first rows of a drawing of `draw_worst`, and its legend."""
    rows, legend = round(DPI * (OVER + num_rows * ROW)), round(DPI * UNDER)
    short = Image.new("RGB", (drawing.width, rows + legend))
    short.paste(drawing, (0, 0))
    short.paste(drawing.crop((0, drawing.height - legend, drawing.width, drawing.height)), (0, rows))
    return short


def main(plots: Path) -> None:
    FOLDER.mkdir(exist_ok=True)
    with Image.open(plots / "worst.png") as drawing:
        short = shortened(drawing.convert("RGB"), 2 * NUM_VOLUMES)  # a volume has two rows: truth and answer
    short.save(FOLDER / "worst.jpg", quality=85, optimize=True)
    shutil.copyfile(plots / "agreement.png", FOLDER / "agreement.png")
    for path in sorted(FOLDER.iterdir()):
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "plots")
