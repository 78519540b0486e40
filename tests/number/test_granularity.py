import numpy as np
import pytest

from intaglio.errors import UsageError
from intaglio.number import Granularity, PerChannel, PerElement, PerGroup, PerTensor
from intaglio.number.granularity import granularity_from_json, granularity_to_json

ALL = [
    PerTensor(),
    PerChannel(0),
    PerChannel(1),
    PerChannel(-1),
    PerGroup(0, 2),
    PerGroup(1, 4),
    PerGroup(-1, 3),
    PerElement(),
]


@pytest.mark.parametrize("granularity", ALL, ids=str)
@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 6, 4)])
def test_blocks_hold_what_expand_gives_back(granularity: Granularity, shape: tuple[int, ...]) -> None:
    if isinstance(granularity, PerChannel | PerGroup) and not -len(shape) <= granularity.axis < len(shape):
        with pytest.raises(UsageError, match="is outside a tensor of shape"):
            granularity.param_shape(shape)
        return
    x = np.arange(np.prod(shape)).reshape(shape)
    largest = granularity.blocks(x).max(axis=-1)
    assert largest.shape == granularity.param_shape(shape)
    expanded = np.broadcast_to(granularity.expand(largest, shape), shape)
    assert (expanded >= x).all()
    # every parameter is the largest of exactly the elements that it is expanded to
    for value in np.unique(largest):
        assert x[expanded == value].max() == value


def test_the_last_group_may_be_short() -> None:
    group = PerGroup(0, 4)
    assert group.param_shape((10, 2)) == (3, 2)
    assert group.expand(np.arange(6).reshape(3, 2), (10, 2))[:, 0].tolist() == [0, 0, 0, 0, 2, 2, 2, 2, 4, 4]
    with pytest.raises(UsageError, match="expected a group size of at least 1, got 0"):
        PerGroup(0, 0)


@pytest.mark.parametrize("granularity", ALL, ids=str)
def test_json_round_trip(granularity: Granularity) -> None:
    assert granularity_from_json(granularity_to_json(granularity)) == granularity


@pytest.mark.parametrize("data", [{}, {"per": "row"}, {"per": "channel"}, {"per": "group", "axis": "0", "size": 2}])
def test_other_json_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected per tensor, channel, group or element"):
        granularity_from_json(data)
