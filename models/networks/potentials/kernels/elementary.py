"""Elementary functions that compilers turn into vector instructions, for the environment vector kernels.

In single precision 2^x, log2 x and the cosine cutoff are polynomials after the usual reduction of the argument by its
bits (coefficients: minimax fits, relative errors 2e-9 and 7e-10, absolute 2e-10, all below rounding). Library
functions, one call per number, would cost ten times more; in double precision they are used.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core.cgutils import ir
from numba.extending import intrinsic, overload

# mypy: disable-error-code="untyped-decorator, unused-ignore, call-arg, var-annotated, no-any-return, attr-defined"

__all__ = ["cutoff", "cutoff_slope", "exp2", "log2"]

_SQRT_HALF_BITS = 0x3F3504F3
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)


@intrinsic
def _power_of_two(_context: Any, n: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401
    """2^n for an integer n in [-126, 127], given as float32."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:  # noqa: ANN401
        exponent = builder.add(builder.fptosi(arguments[0], _INT), ir.Constant(_INT, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(_INT, 23)), _FLOAT)

    return types.float32(types.float32), code


@intrinsic
def _nearest(_context: Any, x: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401
    """Nearest integer of a float32, as float32."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:  # noqa: ANN401
        function = builder.module.declare_intrinsic("llvm.rint", [_FLOAT])
        return builder.call(function, arguments)

    return types.float32(types.float32), code


@intrinsic
def _exponent(_context: Any, x: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401
    """e of x = m 2^e with m in [sqrt(1/2), sqrt(2)); x a positive normal float32."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.sitofp(_exponent_bits(builder, builder.bitcast(arguments[0], _INT)), _FLOAT)

    return types.float32(types.float32), code


@intrinsic
def _mantissa(_context: Any, x: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401
    """m of the same."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:  # noqa: ANN401
        bits = builder.bitcast(arguments[0], _INT)
        exponent = builder.shl(_exponent_bits(builder, bits), ir.Constant(_INT, 23))
        return builder.bitcast(builder.sub(bits, exponent), _FLOAT)

    return types.float32(types.float32), code


def _exponent_bits(builder: Any, bits: Any) -> Any:  # noqa: ANN401
    return builder.ashr(builder.sub(bits, ir.Constant(_INT, _SQRT_HALF_BITS)), ir.Constant(_INT, 23))


def exp2(x: float) -> float:
    """2^x; in single precision 2^-126 below -126."""
    return 2.0**x


def log2(x: float) -> float:
    """Of a positive normal number."""
    return math.log2(x)


def cutoff(x: float) -> float:
    """[1 + cos(pi x)] / 2 for x in [0, 1]."""
    return 0.5 + 0.5 * math.cos(math.pi * x)


def cutoff_slope(x: float) -> float:
    """Its derivative."""
    return -0.5 * math.pi * math.sin(math.pi * x)


_f = np.float32
_E0, _E1, _E2, _E3 = _f(1.0), _f(0.6931472056), _f(0.240226469), _f(0.05550328776)
_E4, _E5, _E6 = _f(0.009618488957), _f(0.001339993121), _f(0.0001534581164)
_L0, _L1, _L2, _L3 = _f(2.885390084), _f(0.9617988488), _f(0.5767141545), _f(0.4317422161)
_S1, _S3, _S5 = _f(3.141592653), _f(-5.167712744), _f(2.550162790)
_S7, _S9, _S11 = _f(-0.5992474019), _f(0.08203122936), _f(-0.007000498853)
_C0, _C2, _C4 = _f(1.0), _f(-4.934802145), _f(4.058709158)
_C6, _C8, _C10 = _f(-1.335212060), _f(0.2349375607), _f(-0.02439671900)
_LOWEST, _HALF, _ONE = _f(-126.0), _f(0.5), _f(1.0)


def _exp2_single(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    x = x if x > _LOWEST else _LOWEST
    n = _nearest(x)
    r = x - n
    return (_E0 + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6)))))) * _power_of_two(n)


def _log2_single(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    m = _mantissa(x)
    f = (m - _ONE) / (m + _ONE)
    t = f * f
    return _exponent(x) + f * (_L0 + t * (_L1 + t * (_L2 + t * _L3)))


def _cutoff_single(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    y = x - _HALF
    t = y * y
    return _HALF - _HALF * (y * (_S1 + t * (_S3 + t * (_S5 + t * (_S7 + t * (_S9 + t * _S11))))))


def _cutoff_slope_single(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    y = x - _HALF
    t = y * y
    return -_HALF * _S1 * (_C0 + t * (_C2 + t * (_C4 + t * (_C6 + t * (_C8 + t * _C10)))))


def _by_precision(function: Callable[..., float], single: Callable[..., Any]) -> None:
    double = {
        "exp2": lambda x: math.exp(0.6931471805599453 * x),
        "log2": lambda x: math.log2(x),
        "cutoff": lambda x: 0.5 + 0.5 * math.cos(math.pi * x),
        "cutoff_slope": lambda x: -0.5 * math.pi * math.sin(math.pi * x),
    }[function.__name__]

    def chosen(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return single if x == types.float32 else double

    overload(function, jit_options={"fastmath": {"contract"}, "forceinline": True})(chosen)


for _function, _single in (
    (exp2, _exp2_single),
    (log2, _log2_single),
    (cutoff, _cutoff_single),
    (cutoff_slope, _cutoff_slope_single),
):
    _by_precision(_function, _single)
