"""How a global batch is shared out among any number of ranks."""

from hypothesis import given
from hypothesis import strategies as st

from raybind.data.order import Batching, Share


def test_all_workers_get_what_the_configuration_says() -> None:
    assert Batching(1, 1024).share(world_size=8, micro_batch_size=64) == Share(size=128, num_parts=2)


def test_fewer_workers_encode_in_more_parts_and_no_more_at_a_time() -> None:
    assert Batching(1, 16).share(world_size=1, micro_batch_size=8) == Share(size=16, num_parts=2)
    assert Batching(1, 16).share(world_size=3, micro_batch_size=4) == Share(size=6, num_parts=2)


@given(st.integers(2, 300), st.integers(1, 20), st.integers(1, 64))
def test_a_share_holds_its_part_and_little_more(batch: int, world_size: int, micro_batch_size: int) -> None:
    share = Batching(1, batch).share(world_size, micro_batch_size)
    assert share.size % share.num_parts == 0
    assert share.size // share.num_parts <= micro_batch_size
    assert batch <= share.size * world_size < batch + share.num_parts * world_size
