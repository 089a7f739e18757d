import pytest

from pipeline.sources.file_names import claimed_placement, ffhq_id


@pytest.mark.parametrize(
    ("path", "number", "claim"),
    [
        ("00000/00042.png", 42, "unmasked"),
        ("CMFD/00000/00042_Mask.jpg", 42, "correct"),
        ("IMFD/00000/00042_Mask_Mouth_Chin.jpg", 42, "nose_out"),
        ("IMFD/00000/00042_Mask_Nose_Mouth.jpg", 42, "chin_out"),
        ("IMFD/69000/69999_Mask_Chin.jpg", 69999, "chin_only"),
        ("00042_Mask_Hat.jpg", 42, None),
        ("holiday.jpg", None, None),
        ("123456.png", None, None),
    ],
)
def test_a_name_gives_the_photo_and_the_placement(path, number, claim):
    assert (ffhq_id(path), claimed_placement(path)) == (number, claim)
