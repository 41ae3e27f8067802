"""The device that a process computes on."""

import types

import pytest
from scaling import devices
from scaling.provenance import UserError


@pytest.mark.parametrize("seen", [True, False])
def test_auto_takes_a_gpu_where_there_is_one_and_a_missing_one_is_named(seen, monkeypatch):
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: seen)
    assert devices.choose("cpu") == "cpu"
    assert devices.choose("auto") == ("cuda" if seen else "cpu")
    if seen:
        assert devices.choose("cuda") == "cuda"
    else:
        with pytest.raises(UserError, match=r"execution\.device: found cuda, but torch sees no GPU here"):
            devices.choose("cuda")


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        devices.torch.cuda, "get_device_properties", lambda gpu: types.SimpleNamespace(uuid=f"GPU-{gpu}")
    )
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_CLAIMED", [])


def test_processes_that_start_together_spread_over_the_gpus(two_gpus, monkeypatch):
    assert [devices.claim(percent) for percent in (60, 60, 40, 25)] == [0, 1, 0, 1]
    waited = []

    def one_ends(seconds):
        waited.append(seconds)
        for file in devices._CLAIMED[:6]:
            file.close()

    monkeypatch.setattr(devices.time, "sleep", one_ends)
    assert devices.claim(50) == 0
    assert len(waited) == 1, "a full machine is waited for"
