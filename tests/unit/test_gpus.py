"""GPUs are counted as CUDA would see them."""

import pytest
from scaling import gpus


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 3),
        ({"CUDA_VISIBLE_DEVICES": "0,2"}, 2),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5"}, 3),
    ],
)
def test_gpus_are_counted_as_they_are_visible(environment, expected, tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpus.count(environment, tmp_path) == expected


def test_a_machine_without_one_has_none(tmp_path):
    assert gpus.count({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path) == 0
