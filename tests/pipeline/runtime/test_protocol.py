import pytest
import xarray as xr

from pipeline.runtime.protocol import Protocol, ProtocolError, read_protocol, require_development


def protocol(**changes):
    settings = {
        "evaluation_seeds": (1000, 1009),
        "retired_seeds": (1003,),
        "first_data_seed": 1001,
        "training_seeds": (1001,),
        "boxes": {"default": {}},
    }
    return Protocol(**settings | changes)


def test_retired_seeds_are_passed_over():
    assert protocol().data_seeds(4) == [1001, 1002, 1004, 1005]


def test_a_range_that_has_too_few_seeds_says_how_many_it_has():
    with pytest.raises(ProtocolError, match=r"found 8 seeds from 1001 on within 1000 .. 1009, expected 9"):
        protocol().data_seeds(9)
    with pytest.raises(ProtocolError):
        protocol(first_data_seed=0).data_seeds(1)


def test_every_seed_that_was_used_in_development_is_named():
    with pytest.raises(ProtocolError) as error:
        protocol().require_evaluation({"data seed": 0, "training seed": 1003, "another": 1004})
    assert "data seed: found 0, expected 1000 .. 1009" in str(error.value)
    assert "training seed: found 1003, which is retired" in str(error.value)
    assert "another" not in str(error.value)


def test_nothing_is_chosen_on_a_store_of_an_evaluation_seed():
    low, high = read_protocol().evaluation_seeds
    for seed in (low, high):
        with pytest.raises(ProtocolError, match=f"beta would be chosen on data drawn with seed {seed}"):
            require_development(xr.Dataset(attrs={"seed": str(seed)}), "beta")
    for seed in (0, low - 1, high + 1):
        require_development(xr.Dataset(attrs={"seed": str(seed)}), "beta")


def test_the_committed_protocol_uses_evaluation_seeds_alone():
    committed = read_protocol()
    committed.require_evaluation(
        {f"{i}": seed for i, seed in enumerate((*committed.data_seeds(5), *committed.training_seeds))}
    )
    assert set(committed.boxes) >= {"default", "shifted"}
