"""The GPU's memory through PyCUDA; and that the fake under these tests notices every misuse that
they are there to rule out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fake_gpu import Gpu as FakeGpu
from fake_trt import fake_plan, installed
from test_onnx_engine import HEIGHT, WIDTH, trunk

from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.trt.memory import Gpu


@pytest.fixture
def fake() -> Iterator[FakeGpu]:
    with installed("8.2") as fake:
        yield fake


@pytest.fixture
def cuda(fake: FakeGpu) -> Any:
    """PyCUDA's driver with its context current, as a careless user has it."""
    cuda = sys.modules["pycuda.driver"]
    cuda.init()
    cuda.Device(0).retain_primary_context().push()
    return cuda


def test_bytes_go_up_and_come_down_in_the_order_of_asking(fake: FakeGpu) -> None:
    gpu = Gpu()
    with gpu.current():
        there, host = gpu.device(12), gpu.pinned((3,), "float32")
        back = gpu.pinned((3,), "float32")
        host[:] = [1, 2, 3]
        gpu.upload(there, host)
        gpu.download(back, there)
        gpu.wait()
        assert back.tolist() == [1, 2, 3]
    gpu.close()
    assert fake.leaks() == []


def test_addresses_are_aligned_and_no_block_is_empty(fake: FakeGpu) -> None:
    gpu = Gpu()
    with gpu.current():
        assert gpu.device(0) % 256 == 0
        assert gpu.device(257) % 256 == 0
    assert fake.in_use() == 256 + 512
    gpu.close()


def test_everything_is_given_back_from_another_thread(fake: FakeGpu) -> None:
    gpu = Gpu()
    with gpu.current():
        gpu.device(1)
        gpu.pinned((2, 2), "int32")
    thread = threading.Thread(target=gpu.close)
    thread.start()
    thread.join()
    assert fake.leaks() == []


def test_a_block_that_cannot_be_freed_does_not_keep_the_others(
    fake: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu()
    with gpu.current():
        spoilt = gpu.device(1)
        gpu.device(1)
        fake.free(spoilt)  # as after a failure of the device: CUDA refuses to
    gpu.close()
    assert fake.leaks() == []


def test_the_gpu_is_current_inside_and_only_inside(fake: FakeGpu) -> None:
    gpu = Gpu()
    assert fake.stack == []
    with pytest.raises(gpu.error, match="invalid device context"):
        gpu.device(1)
    with gpu.current():
        assert len(fake.stack) == 1
    with pytest.raises(ZeroDivisionError), gpu.current():
        raise ZeroDivisionError
    assert fake.stack == []
    gpu.close()


def test_a_gpu_that_cannot_be_had_is_unavailable() -> None:
    with installed("8.2", FakeGpu(count=0)), pytest.raises(EngineUnavailable, match="finds no GPU"):
        Gpu()


def misuse(work: Callable[[Any], Any], match: str, cuda: Any) -> None:
    with pytest.raises(cuda.Error, match=match):
        work(cuda)


def freed(cuda: Any) -> Any:
    block = cuda.mem_alloc(16)
    block.free()
    return block


def use_after_free(cuda: Any) -> None:
    stream, block = cuda.Stream(), cuda.mem_alloc(16)
    cuda.memcpy_dtoh_async(cuda.pagelocked_empty(16, "uint8"), int(block), stream)
    block.free()  # while the copy still waits
    stream.synchronize()


def past_the_end(cuda: Any) -> None:
    stream = cuda.Stream()
    pinned = cuda.pagelocked_empty(17, "uint8")
    cuda.memcpy_htod_async(int(cuda.mem_alloc(16)), pinned, stream)
    stream.synchronize()


def not_pinned(cuda: Any) -> None:
    cuda.memcpy_htod_async(int(cuda.mem_alloc(16)), np.zeros(16, np.uint8), cuda.Stream())


def no_context(cuda: Any) -> None:
    cuda.Context.pop()
    cuda.mem_alloc(16)


def free_without_a_context(cuda: Any) -> None:
    block = cuda.mem_alloc(16)
    cuda.Context.pop()
    block.free()


@pytest.mark.parametrize(
    ("work", "match"),
    [
        (use_after_free, "use after free"),
        (past_the_end, "past the end"),
        (lambda cuda: freed(cuda).free(), "invalid resource handle"),
        (not_pinned, "needs pinned host memory"),
        (no_context, "invalid device context"),
        (free_without_a_context, "invalid device context"),
        (lambda cuda: cuda.mem_alloc(1 << 40), "out of memory"),
    ],
)
def test_the_fake_notices(cuda: Any, work: Callable[[Any], Any], match: str) -> None:
    misuse(work, match, cuda)


def test_the_fake_does_no_work_before_it_is_waited_for(cuda: Any) -> None:
    stream, block = cuda.Stream(), cuda.mem_alloc(4)
    up, down = cuda.pagelocked_empty(4, "uint8"), cuda.pagelocked_empty(4, "uint8")
    up[:], down[:] = 1, 0
    cuda.memcpy_htod_async(int(block), up, stream)
    cuda.memcpy_dtoh_async(down, int(block), stream)
    assert down.tolist() == [0] * 4
    up[:] = 2  # too early: what is copied is what stands there when the device comes to it
    stream.synchronize()
    assert down.tolist() == [2] * 4


def test_the_fake_counts_what_is_not_given_back(cuda: Any, fake: FakeGpu) -> None:
    trt = sys.modules["tensorrt"]
    block, array = cuda.mem_alloc(1), cuda.pagelocked_empty(1, "uint8")
    plan = fake_plan(trunk().SerializeToString())
    engine = trt.Runtime(trt.Logger()).deserialize_cuda_engine(plan)
    context = engine.create_execution_context_without_device_memory()
    held = "1 device blocks, 1 pinned blocks, 1 retained contexts, 1 pushed contexts, "
    assert ", ".join(fake.leaks()) == held + "1 execution contexts, 1 engines"
    del block, array, context, engine


def test_the_fakes_kernels_write_over_their_scratch_memory(cuda: Any, fake: FakeGpu) -> None:
    """An output that overlaps it would show."""
    trt = sys.modules["tensorrt"]
    plan = fake_plan(trunk().SerializeToString(), scratch=64)
    engine = trt.Runtime(trt.Logger()).deserialize_cuda_engine(plan)
    context = engine.create_execution_context_without_device_memory()
    stream, scratch = cuda.Stream(), cuda.mem_alloc(64)
    blocks = [cuda.mem_alloc(HEIGHT * WIDTH * 16) for _ in range(engine.num_bindings)]
    addresses = [int(block) for block in blocks]
    assert not context.execute_async_v2(addresses, stream.handle)  # it has no scratch memory yet
    context.device_memory = int(scratch)
    assert context.execute_async_v2(addresses, stream.handle)
    stream.synchronize()
    assert set(fake.view(int(scratch), 64).tolist()) == {0x5A}
