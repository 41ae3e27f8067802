"""The device that a process computes on."""

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
