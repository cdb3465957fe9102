"""Healthy hands that a user supplies."""
import numpy as np
import pytest
import torch

from jointlens_training.crops import load_crops
from jointlens_training.healthy_photos import healthy_rows
from jointlens_training.pretrain import photos_of_each_hand, second_photos

HEADER = "id,age,gender,skinColor,accessories,nailPolish,aspectOfHand,imageName,irregularities\n"


def test_the_11k_hands_layout_gives_its_dorsal_photos_by_person_and_side(tmp_path):
    (tmp_path / "Hands").mkdir()
    for name in ("Hand_0000002.jpg", "Hand_0000003.jpg", "Hand_0000004.jpg"):
        (tmp_path / "Hands" / name).write_bytes(b"x")
    (tmp_path / "HandInfo.csv").write_text(HEADER + "0,27,male,fair,0,0,dorsal right,Hand_0000002.jpg,0\n0,27,male,fair,0,0,palmar right,Hand_0000003.jpg,0\n"
                                           "1,30,female,dark,0,0,dorsal left,Hand_0000004.jpg,0\n1,30,female,dark,0,0,dorsal left,Hand_9999999.jpg,0\n")
    rows = healthy_rows(tmp_path)
    assert [(row["photo"], row["side"], row["patient"]) for row in rows] == [("Hands/Hand_0000002.jpg", "right", "11k-0"), ("Hands/Hand_0000004.jpg", "left", "11k-1")]
    assert all(label == {} for row in rows for label in row["joints"].values())


def test_any_folder_of_pictures_is_asked_for_both_hands_people_by_sub_folder(tmp_path):
    (tmp_path / "anna").mkdir()
    for name in ("anna/1.jpg", "anna/2.PNG", "ben.webp", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    rows = healthy_rows(tmp_path)
    assert {(row["photo"], row["patient"]) for row in rows} == {("anna/1.jpg", "anna"), ("anna/2.PNG", "anna"), ("ben.webp", "ben")}
    assert len(rows) == 6 and {row["side"] for row in rows} == {"left", "right"}


def test_a_folder_without_photos_or_a_table_without_its_columns_says_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match="found none"):
        healthy_rows(tmp_path)
    (tmp_path / "HandInfo.csv").write_text("id,imageName\n")
    with pytest.raises(ValueError, match="aspectOfHand"):
        healthy_rows(tmp_path)


def test_a_second_view_is_another_photo_of_the_same_hand_or_the_photo_itself(folders):
    crops = load_crops(folders["train"])
    rows = np.arange(len(crops))
    alone = photos_of_each_hand(crops, rows)
    random = torch.Generator().manual_seed(1)
    assert np.array_equal(second_photos(rows, alone, 1.0, random), rows)  # one photo of each hand
    twice = {row: [row, row ^ 2] for row in range(len(crops))}
    assert np.array_equal(second_photos(rows, twice, 1.0, random), rows ^ 2)
    changed = (second_photos(rows, twice, 0.5, random) != rows).mean()
    assert 0.2 < changed < 0.8
