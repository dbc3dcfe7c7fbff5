import numpy as np
import pytest

from edge_las.errors import ArtifactError
from export.ranges import STEPS, bounded, whole_steps

RANGES = [(-1.0, 1.0), (0.0, 10.3), (0.2, 3.0), (-7.0, -1.0), (-3.3671875, 3.846316337585449), (-1e-3, 80.0)]


@pytest.mark.parametrize("found", RANGES)
def test_zero_is_a_whole_step_from_the_ends(found: tuple[float, float]) -> None:
    lowest, highest = whole_steps(*found)
    step = (highest - lowest) / STEPS
    assert -lowest / step == pytest.approx(round(-lowest / step), abs=1e-3)
    held = min(found[0], 0.0), max(found[1], 0.0)
    assert step == pytest.approx((held[1] - held[0]) / STEPS, rel=1e-4)
    assert max(abs(lowest - held[0]), abs(highest - held[1])) <= 0.51 * step
    assert whole_steps(lowest, highest) == pytest.approx((lowest, highest), rel=1e-4)


@pytest.mark.parametrize("found", [(0.0, float("inf")), (-float("inf"), 1.0), (float("nan"), 1.0)])
def test_what_is_no_number_is_refused(found: tuple[float, float]) -> None:
    with pytest.raises(ArtifactError, match="they can't be rounded"):
        whole_steps(*found)


def test_nothing_seen_is_no_range() -> None:
    assert whole_steps(0.0, 0.0) == (0.0, 0.0)


def test_both_quantizers_make_the_same_of_it() -> None:
    from onnxruntime.quantization.quant_utils import compute_scale_zp

    tensors = pytest.importorskip("ai_edge_quantizer.algorithms.uniform_quantize.uniform_quantize_tensor")
    qtyping = pytest.importorskip("ai_edge_quantizer.qtyping")
    rng = np.random.default_rng(0)
    for low, high in (rng.standard_normal((500, 2)) * [3.0, 5.0]).astype(np.float32):
        ends = [np.float32(end) for end in whole_steps(float(min(low, high)), float(max(low, high)))]
        zero, scale = compute_scale_zp(*ends, np.array(0, np.uint8), np.array(255, np.uint8))
        tensorwise = qtyping.QuantGranularity.TENSORWISE
        signed, step = tensors.tensor_zp_scale_from_min_max(*ends, 8, False, tensorwise)
        assert int(zero) - 128 == int(signed)
        assert float(scale) == float(step) == pytest.approx((ends[1] - ends[0]) / STEPS)


def test_bounds_only_cut() -> None:
    assert bounded((-20.0, 3.0), 8.0) == (-8.0, 3.0)
    assert bounded((-2.0, 3.0), float("inf")) == (-2.0, 3.0)
