"""Sums over a run of triples that share one block of features, in vector registers.

A block is n_a x n_z numbers, a row of n_z being one vector of the processor. Compilers do not find this alone: they
must assume that the block and what is summed overlap in memory, and write every partial sum back. So these loops are
spelled in the compiler's own language (LLVM), all else is Python. For triples t in [first, last) of a run, with flat
arrays p_ta, q_ta (`left`, `left_slope`), r_tz, s_tz (`right`, `right_slope`) and weights x_t, y_t, z_t,

    add_outer           block_az += sum_t p_ta x_t r_tz
    add_outer_change    block_az += sum_t [p_ta (x_t r_tz + y_t s_tz) + q_ta z_t r_tz]
    contract            x_t, y_t, z_t = sum_az block_az (p_ta r_tz, p_ta s_tz, q_ta r_tz)   lanes: triples

`differences` and `combinations` prepare the exponentials, `geometry` and `geometry_change` the triples. The radial part
is the same with n_a = 1 and pairs for triples. Arrays arrive as pointers; the last argument is a tuple (or a pair of
tuples) whose lengths are the shape of a block.
"""

import inspect
from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.cgutils import ir
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, unused-ignore, attr-defined"
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN401

__all__ = [
    "add_outer",
    "add_outer_change",
    "combinations",
    "contract",
    "contract_rows",
    "differences",
    "geometry",
    "geometry_change",
]

_FAST = ("contract", "reassoc", "nsz")
_INT = ir.IntType(32)
REGISTER = 64  # bytes; processors with shorter ones take two or four for each


class _Block:
    """LLVM code for rows of numbers in flat arrays; a block's shape comes from the type of the last argument."""

    def __init__(self, context: Any, builder: Any, signature: Any) -> None:
        self.builder = builder
        shape = signature.args[-1]
        if isinstance(shape, types.UniTuple) and not isinstance(shape.dtype, types.BaseTuple):
            self.n_a, self.n_z = 1, shape.count
        elif isinstance(shape, types.BaseTuple):
            self.n_a, self.n_z = (lengths.count for lengths in shape.types)
        self.number = context.get_data_type(signature.args[0].dtype)
        self.size = context.get_abi_sizeof(self.number)
        self.width = REGISTER // self.size

    def load(self, start: Any, offset: Any, lanes: int) -> Any:
        row = ir.VectorType(self.number, lanes)
        address = self.builder.bitcast(self.builder.gep(start, [offset]), row.as_pointer())
        return self.builder.load(address, align=self.size)

    def store(self, value: Any, start: Any, offset: Any) -> None:
        address = self.builder.bitcast(self.builder.gep(start, [offset]), value.type.as_pointer())
        self.builder.store(value, address, align=self.size)

    def repeat(self, start: Any, offset: Any, lanes: int) -> Any:
        """One number in all lanes."""
        return self.everywhere(self.builder.load(self.builder.gep(start, [offset])), lanes)

    def everywhere(self, number: Any, lanes: int) -> Any:
        nothing = ir.Constant(ir.VectorType(self.number, lanes), ir.Undefined)
        lone = self.builder.insert_element(nothing, number, ir.Constant(_INT, 0))
        return self.builder.shuffle_vector(lone, nothing, ir.Constant(ir.VectorType(_INT, lanes), [0] * lanes))

    def constant(self, value: float) -> Any:
        return ir.Constant(ir.VectorType(self.number, self.width), [value] * self.width)

    def multiply(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=_FAST)

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        return self.builder.fadd(total, self.multiply(a, b), flags=_FAST)

    def product_sum(self, a: Any, b: Any) -> Any:
        code = ir.FunctionType(self.number, [self.number, a.type])
        name = f"llvm.vector.reduce.fadd.v{a.type.count}f{8 * self.size}"
        function = cgutils.get_or_insert_function(self.builder.module, code, name)
        return self.builder.call(function, [ir.Constant(self.number, -0.0), self.multiply(a, b)], fastmath=_FAST)

    def square_root(self) -> Any:
        row = ir.VectorType(self.number, self.width)
        name = f"llvm.sqrt.v{self.width}f{8 * self.size}"
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(row, [row]), name)

    def over(self, first: Any, last: Any, step: int = 1) -> Any:
        """Context of a loop."""
        return cgutils.for_range_slice(self.builder, first, last, ir.Constant(last.type, step))

    def below(self, last: Any) -> Any:
        return self.over(last.type(0), last)

    def at(self, start: Any, add: int) -> Any:
        return self.builder.add(start, ir.Constant(start.type, add))

    def times(self, index: Any, factor: int) -> Any:
        return self.builder.mul(index, ir.Constant(index.type, factor))


def _vector_code(emit: Callable[..., None]) -> Any:
    """A function for compiled code out of one that writes its LLVM code: emit(block, *pointers and numbers)."""

    def typed(_context, *arguments):
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pointers = [
                make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, values, strict=True)
            ]
            emit(_Block(context, builder, signature), *pointers)
            return context.get_dummy_value()

        return types.void(*arguments), code

    typed.__name__, typed.__signature__ = emit.__name__, inspect.signature(emit)
    return intrinsic(typed)


@_vector_code
def differences(b, out, x, values, last, _lanes):
    """out[t n + a] = x[t] - values[a] for t below `last`; n the length of `lanes`."""
    row = b.load(values, ir.Constant(_INT, 0), b.n_z)
    with b.below(last) as (t, _):
        b.store(b.builder.fsub(b.repeat(x, t, b.n_z), row), out, b.times(t, b.n_z))


@_vector_code
def combinations(b, out, base, x, y, first_row, second_row, last, _lanes):
    """out[t n + a] = base + x[t] first_row[a] + y[t] second_row[a] for t below `last`; n the length of `lanes`."""
    first_row, second_row = (b.load(row, ir.Constant(_INT, 0), b.n_z) for row in (first_row, second_row))
    start = b.everywhere(base, b.n_z)
    with b.below(last) as (t, _):
        value = b.multiply_add(b.repeat(x, t, b.n_z), first_row, start)
        b.store(b.multiply_add(b.repeat(y, t, b.n_z), second_row, value), out, b.times(t, b.n_z))


def _sum_into_block(b: _Block, block: Any, start: Any, first: Any, last: Any, terms: Callable[..., Any]) -> None:
    """The loop over triples; `terms(t)` gives pairs of a left array and a vector for the right."""
    builder = b.builder
    sums = [cgutils.alloca_once(builder, ir.VectorType(b.number, b.n_z)) for _ in range(b.n_a)]
    for a, total in enumerate(sums):
        builder.store(b.load(block, b.at(start, a * b.n_z), b.n_z), total)
    with b.over(first, last) as (t, _):
        factors = terms(t)
        for a, total in enumerate(sums):
            value = builder.load(total)
            for left, right in factors:
                value = b.multiply_add(b.repeat(left, b.at(b.times(t, b.n_a), a), b.n_z), right, value)
            builder.store(value, total)
    for a, total in enumerate(sums):
        b.store(builder.load(total), block, b.at(start, a * b.n_z))


@_vector_code
def add_outer(b, block, start, left, right, x, first, last, _shape):
    """block[start + a n_z + z] += sum_t left x right."""

    def terms(t: Any) -> list[tuple[Any, Any]]:
        return [(left, b.multiply(b.repeat(x, t, b.n_z), b.load(right, b.times(t, b.n_z), b.n_z)))]

    _sum_into_block(b, block, start, first, last, terms)


@_vector_code
def add_outer_change(b, block, start, left, left_slope, right, right_slope, x, y, z, first, last, _shape):
    """block[start + a n_z + z] += sum_t [left (x right + y right_slope) + left_slope z right]."""

    def terms(t: Any) -> list[tuple[Any, Any]]:
        at_z = b.times(t, b.n_z)
        row, slope = b.load(right, at_z, b.n_z), b.load(right_slope, at_z, b.n_z)
        whole = b.multiply_add(b.repeat(y, t, b.n_z), slope, b.multiply(b.repeat(x, t, b.n_z), row))
        return [(left, whole), (left_slope, b.multiply(b.repeat(z, t, b.n_z), row))]

    _sum_into_block(b, block, start, first, last, terms)


@_vector_code
def contract_rows(b, block, starts, right, right_slope, x, y, last, _lanes):
    """x[t], y[t] = sum over a of block[starts[t] + a] times (right, right_slope)[t n + a]; n the length of `lanes`."""
    builder = b.builder
    with b.below(last) as (t, _):
        row = b.load(block, builder.load(builder.gep(starts, [t])), b.n_z)
        for factor, out in ((right, x), (right_slope, y)):
            total = b.product_sum(row, b.load(factor, b.times(t, b.n_z), b.n_z))
            builder.store(total, builder.gep(out, [t]))


@_vector_code
def contract(b, block, start, left, left_slope, right, right_slope, x, y, z, first, last, stride, _shape):
    """x[t], y[t], z[t] = sum of the block times (left right, left right_slope, left_slope right).

    Here features lead, left[a stride + t], and lanes are triples; some x, y and z after `last` are overwritten.
    """

    def rows(array: Any, n: int, t: Any) -> list[Any]:
        return [b.load(array, b.builder.add(b.times(stride, i), t), b.width) for i in range(n)]

    with b.over(first, last, b.width) as (t, _):
        values, slopes = rows(left, b.n_a, t), rows(left_slope, b.n_a, t)
        totals = [b.constant(0.0)] * 3
        for column, (by_z, by_slope) in enumerate(zip(rows(right, b.n_z, t), rows(right_slope, b.n_z, t), strict=True)):
            value = slope = b.constant(0.0)
            for a in range(b.n_a):
                weight = b.repeat(block, b.at(start, a * b.n_z + column), b.width)
                value = b.multiply_add(weight, values[a], value)
                slope = b.multiply_add(weight, slopes[a], slope)
            terms = ((value, by_z), (value, by_slope), (slope, by_z))
            totals = [b.multiply_add(*term, total) for term, total in zip(terms, totals, strict=True)]
        for total, out in zip(totals, (x, y, z), strict=True):
            b.store(total, out, t)


@_vector_code
def geometry(b, c, s, m, w, x, y, z, r, f, j, n, t):
    """Of triples (j, k), k = j + 1 ... n - 1, from t on: c = 0.95 cosine, s = sqrt(1 - c^2), mean distance, 2 f_j f_k.

    `x`, `y`, `z` are unit vectors. Up to a register's width of numbers beyond are read, and overwritten.
    """
    builder, fields = b.builder, (x, y, z, r, f)
    one_j = [b.repeat(field, j, b.width) for field in fields]
    root = b.square_root()
    with b.over(b.at(j, 1), n, b.width) as (k, _):
        one_k = [b.load(field, k, b.width) for field in fields]
        cosine = b.multiply(one_j[0], one_k[0])
        for i in (1, 2):
            cosine = b.multiply_add(one_j[i], one_k[i], cosine)
        cosine = b.multiply(b.constant(0.95), cosine)
        square = builder.fsub(b.constant(1.0), b.multiply(cosine, cosine), flags=_FAST)
        mean = b.multiply(b.constant(0.5), builder.fadd(one_j[3], one_k[3]))
        weight = b.multiply(b.multiply(b.constant(2.0), one_j[4]), one_k[4])
        at = builder.add(t, builder.sub(k, b.at(j, 1)))
        for value, out in ((cosine, c), (builder.call(root, [square]), s), (mean, m), (weight, w)):
            b.store(value, out, at)


@_vector_code
def geometry_change(b, dc, dm, dw, x, y, z, f, dx, dy, dz, dr, df, j, n, t):
    """Changes of c, m and w with those of unit vectors, distances and cutoff functions."""
    builder, fields = b.builder, (x, y, z, f, dx, dy, dz, dr, df)
    one_j = [b.repeat(field, j, b.width) for field in fields]
    with b.over(b.at(j, 1), n, b.width) as (k, _):
        one_k = [b.load(field, k, b.width) for field in fields]
        cosine = b.constant(0.0)
        for i in range(3):
            cosine = b.multiply_add(one_j[i], one_k[4 + i], b.multiply_add(one_j[4 + i], one_k[i], cosine))
        cosine = b.multiply(b.constant(0.95), cosine)
        mean = b.multiply(b.constant(0.5), builder.fadd(one_j[7], one_k[7]))
        weight = b.multiply_add(one_j[8], one_k[3], b.multiply(one_j[3], one_k[8]))
        at = builder.add(t, builder.sub(k, b.at(j, 1)))
        for value, out in ((cosine, dc), (mean, dm), (b.multiply(b.constant(2.0), weight), dw)):
            b.store(value, out, at)
