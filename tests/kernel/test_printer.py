"""The pseudo-code of kernels: golden texts."""

from __future__ import annotations

import pytest

from tilec.dtypes import BOOL, F16, F32, F64, I32, I64, U8
from tilec.kernel import build
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Buffer,
    Call,
    Const,
    ConstantData,
    Expr,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Module,
    Ramp,
    Scope,
    Splat,
    Store,
    Temporary,
    Var,
    VType,
    Zip,
)
from tilec.kernel.printer import print_expression, print_kernel, print_module

F = VType(F32)
F8 = VType(F32, 8)
i, j = build.var("i"), build.var("j")


def op(name: str, *args: Expr) -> Apply:
    return Apply(name, args, args[0].type)


X, Y, Z = (Var(name, F) for name in "xyz")


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (build.add(build.mul(i, build.const(4)), j), "i * 4 + j"),
        (build.add(i, build.const(-1)), "i - 1"),
        (op("mul", op("add", X, Y), Z), "(x + y) * z"),
        (op("sub", X, op("sub", Y, Z)), "x - (y - z)"),
        (op("sub", op("sub", X, Y), Z), "x - y - z"),
        (op("neg", op("add", X, Y)), "-(x + y)"),
        (op("neg", X), "-x"),
        (op("mul", op("neg", X), Y), "-x * y"),
        (op("exp", op("div", X, Y)), "exp(x / y)"),
        (op("max", X, Const(0.0, F)), "max(x, 0.0)"),
        (build.floor_div(i, 3), "floor_div(i, 3)"),
        (build.compare("cmp_lt", i, j), "i < j"),
        (
            build.both(build.compare("cmp_lt", i, j), build.compare("cmp_ge", j, i)),
            "i < j && j >= i",
        ),
        (Apply("cast", (X,), VType(F64)), "f64(x)"),
        (Apply("cast", (Load("A", i, F8),), VType(F16, 8)), "f16x8(A[i; 8])"),
        (Load("A", i, F), "A[i]"),
        (Load("A", i, F8, stride=-2), "A[i; 8 by -2]"),
        (Load("A", build.ramp(i, 8), F8), "A[<ramp8(i)>]"),
        (Load("A", i, F8, mask=Var("m", VType(BOOL, 8))), "(A[i; 8] if m)"),
        (Ramp(i, 3, VType(I64, 4)), "ramp4(i by 3)"),
        (Splat(X, F8), "splat8(x)"),
        (Fold("max", Load("A", i, F8), F), "fold_max(A[i; 8])"),
        (Zip(Load("A", i, F8), Splat(X, F8), False, F8), "zip_lower(A[i; 8], splat8(x))"),
        (Zip(Splat(X, F8), Load("A", i, F8), True, F8), "zip_upper(splat8(x), A[i; 8])"),
        (Const(1.5, F8), "1.5"),
        (Const(1.5, VType(F64)), "1.5_f64"),
        (Const(7, VType(U8)), "7_u8"),
        (Const(7, INDEX), "7"),
        (Const(True, VType(BOOL)), "true"),
        (Const(float("-inf"), F), "-inf"),
    ],
)
def test_expressions(expr: Expr, text: str) -> None:
    assert print_expression(expr) == text


def sample() -> Kernel:
    """Row sums of a guarded matrix, with every kind of statement."""
    a = Buffer("A", F, 64, low=-8)
    out = Buffer("C", F, 8, writable=True)
    part = Buffer("part", F8, 2, scope=Scope.REGISTER, writable=True)
    panel = Buffer("panel", F, 64, scope=Scope.CACHE, writable=True)
    zero = build.const(0)
    count = Var("count", VType(I32))
    loop = For(
        "k",
        zero,
        build.minimum(i, build.const(8)),
        (Store("part", zero, op("add", Load("part", zero, F8), Load("A", j, F8))),),
        step=2,
    )
    body = (
        For("j", zero, build.const(2), (Store("part", j, Const(0.0, F8)),), kind=LoopKind.UNROLL),
        For(
            "i",
            zero,
            build.const(8),
            (
                Let(count, Apply("cast", (i,), VType(I32))),
                loop,
                If(
                    build.compare("cmp_eq", i, build.const(3)),
                    (Store("C", i, Const(1.0, F)),),
                    (Store("C", i, Fold("add", Load("part", zero, F8), F)),),
                ),
                Store("panel", zero, Const(0.0, F8), stride=4, mask=Const(True, VType(BOOL, 8))),
            ),
            kind=LoopKind.PARALLEL,
        ),
    )
    return Kernel("rows", ("C[i] = +(A[i, k])", "sizes: 8"), (a, out), (part, panel), body)


def test_a_kernel() -> None:
    assert (
        print_kernel(sample())
        == """\
// C[i] = +(A[i, k])
// sizes: 8
kernel rows(A: f32[-8..64], out C: f32[8]) {
  register part: f32x8[2]
  cache panel: f32[64]
  unrolled for j in 0 .. 2 {
    part[j; 8] = 0.0
  }
  parallel for i in 0 .. 8 {
    let count: i32 = i32(i)
    for k in 0 .. min(i, 8) by 2 {
      part[0; 8] = part[0; 8] + A[j; 8]
    }
    if i == 3 {
      C[i] = 1.0
    } else {
      C[i] = fold_add(part[0; 8])
    }
    panel[0; 8 by 4] = 0.0 if true
  }
}
"""
    )


def test_a_module() -> None:
    kernel = Kernel("k", ("one",), (Buffer("B", F, 2, writable=True),), (), ())
    module = Module(
        name="m",
        inputs=(Buffer("A", F, 2),),
        outputs=(Buffer("B", F, 2, writable=True),),
        temporaries=(Temporary(Buffer("t", F, 2, writable=True), 64),),
        constants=(ConstantData(Buffer("c", VType(U8), 2), b"\x01\x02"),),
        workspace_bytes=128,
        kernels=(kernel,),
        calls=(Call("k", ("B",)), Call("k", ("t",))),
    )
    assert (
        print_module(module)
        == """\
module m {
  input A: f32[2]
  output B: f32[2]
  temporary t: f32[2] at byte 64
  constant c: u8[2] sha256 a12871fee210fb86
  workspace 128 bytes
  k(B)
  k(t)
}

// one
kernel k(out B: f32[2]) {
}
"""
    )
