"""Folders of small pictures, and lists of them."""

from PIL import Image


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2), value).save(path)
    return path


def folder(root, **classes):
    """`root` with pictures: folder(root, train__cat=3) makes root/train/cat/{0,1,2}.png."""
    for index, (name, num) in enumerate(classes.items()):
        for n in range(num):
            picture(root / name.replace("__", "/") / f"{n}.png", value=20 * index + n)
    return root


def csv(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def names(split):
    return [split.images.path(index).name for index in range(len(split.images))]
