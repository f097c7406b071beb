"""What the rows of several tasks share."""

from resnets.tasks.lines import class_table, failed, unreadable


def test_names_of_files_that_could_not_be_read():
    assert unreadable({"bad_images": {}}) == []
    assert unreadable({"bad_images": dict.fromkeys(["a\n.png", *"bcdef"], "gone")}) == [
        r"6 pictures could not be read: a\n.png, b, c, d, e"
    ]
    assert unreadable({"bad_images": {"a.nii": "gone"}, "images": "volumes"}) == ["1 volumes could not be read: a.nii"]
    assert failed({"path": "a\n.png", "error": "cut\noff"}) == r"a\n.png  error: cut\noff"


def test_the_table_of_classes_has_the_scores_that_were_measured():
    rows = [{"label": "cat", "iou": 0.5, "pixels": 1234}, {"label": "do\ng", "iou": None, "pixels": 0}]
    assert [line.split() for line in class_table(rows, {"iou": "IoU", "dice": "Dice"}, "pixels").splitlines()] == [
        ["class", "IoU", "pixels"],
        ["cat", "0.5000", "1,234"],
        [r"do\ng", "-", "0"],
    ]
    assert class_table(rows, {"iou": "IoU"}, "pixels", images="volumes").split()[:3] == ["class", "IoU", "voxels"]
