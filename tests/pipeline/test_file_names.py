import pytest

from pipeline.sources.file_names import claimed_placement, ffhq_id


@pytest.mark.parametrize(
    ("path", "number", "claim"),
    [
        ("00000/00042.png", 42, "unmasked"),
        ("images1024x1024/69000/69999.png", 69999, "unmasked"),
        ("CMFD/00000/00042_Mask.jpg", 42, "correct"),
        ("IMFD/00000/00042_Mask_Mouth_Chin.jpg", 42, "nose_out"),
        ("IMFD/00000/00042_Mask_Nose_Mouth.jpg", 42, "chin_out"),
        ("IMFD/69000/69999_Mask_Chin.jpg", 69999, "chin_only"),
        ("00042_mask.jpg", 42, "correct"),
        ("00042_MASK_CHIN.JPG", 42, "chin_only"),
        ("00042_Mask (1).jpg", 42, "correct"),
        ("00042_Mask(12).jpg", 42, "correct"),
        ("00042_Mask_Chin - Copy.jpg", 42, "chin_only"),
        ("00042_Mask copy 2.jpg", 42, "correct"),
        ("00000/00042 (1).png", 42, "unmasked"),
        ("00042_Mask_Hat.jpg", 42, None),
        ("anna/00001.jpg", None, None),
        ("60001.jpg", None, None),
        ("01000/00001.jpg", None, None),
        ("70000/70000.png", None, None),
        ("99999_Mask.jpg", None, None),
        ("00042_Masked.jpg", None, None),
        ("holiday.jpg", None, None),
        ("123456.png", None, None),
        ("\u0660\u0660\u0660\u0664\u0662_Mask.png", None, None),
    ],
)
def test_a_name_gives_the_photo_and_the_placement(path, number, claim):
    assert (ffhq_id(path), claimed_placement(path)) == (number, claim)


@pytest.mark.parametrize(
    ("path", "number"), [("60001.jpg", 60001), ("any/00001 (2).png", 1), ("70000.png", None), ("holiday.jpg", None)]
)
def test_five_digits_are_a_photo_in_a_source_that_is_named_after_ffhq(path, number):
    assert ffhq_id(path, of_ffhq=True) == number
    assert claimed_placement(path, of_ffhq=True) == (None if number is None else "unmasked")
