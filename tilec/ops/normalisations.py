"""Normalisations: by statistics that are known, and by those of some axes of the data."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.errors import ArgumentError, ShapeError
from tilec.ops.texts import Axes, axes_of, axis_of, listed, number, numbered, single, text
from tilec.ops.windows import Layout, channel_axis, image
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, apply, tensor


@public
def batch_norm(
    x: Operand,
    scale: Operand,
    bias: Operand,
    mean: Operand,
    variance: Operand,
    *,
    epsilon: float = 1e-5,
    axis: int = 1,
) -> Tensor:
    """``(x - mean) / np.sqrt(variance + epsilon) * scale + bias`` for each channel.

    It is computed as a factor and a summand for each channel, which depend on constants alone and
    can become part of the weights of a layer before.

    Args:
        x: Data with channels along ``axis``.
        scale: One number for each channel, like the following.
        bias: What is added.
        mean: Mean of the channel in all data.
        variance: Its variance.
        epsilon: Added to the variance.
        axis: Axis of the channels.

    Raises:
        UserError: something does not fit.
    """
    x = tensor(x)
    given = _channels("batch_norm", x, axis, scale=scale, bias=bias, mean=mean, variance=variance)
    called = _known_statistics(x.ndim - axis_of("batch_norm", axis, x.ndim) - 1)
    return single(called, x, *given, number(epsilon, given[3]))


@public
def batch_norm_training(
    x: Operand,
    scale: Operand,
    bias: Operand,
    mean: Operand,
    variance: Operand,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    axis: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalises with the statistics of ``x`` and moves those of all data toward them.

    ``mean`` and ``variance`` are the statistics so far, and ``momentum`` is their weight. The other
    parameters are those of ``batch_norm``.

    Returns:
        The normalised data, the new mean and the new variance.

    Raises:
        UserError: something does not fit.
    """
    x = tensor(x)
    at = axis_of("batch_norm_training", axis, x.ndim)
    given = _channels(
        "batch_norm_training", x, axis, scale=scale, bias=bias, mean=mean, variance=variance
    )
    called = _own_statistics(x.ndim, at)
    first, second, third = apply(
        called, x, *given, number(epsilon, given[3]), number(momentum, given[3])
    )
    return first, second, third


@public
def standardized(
    x: Operand, axes: Axes = None, *, epsilon: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """``(x - mean) / np.sqrt(variance + epsilon)`` with the statistics of some axes.

    Args:
        x: The data.
        axes: Over which axes mean and variance are taken; by default all.
        epsilon: Added to the variance.

    Returns:
        The result, the mean, and the factor; both with axes of size 1.

    Raises:
        ArgumentError: an axis does not exist.
    """
    x = tensor(x)
    found = axes_of("standardized", axes, x.ndim)
    first, second, third = apply(_standard(x.ndim, found), x, number(epsilon, x))
    return first, second, third


@public
def layer_norm(
    x: Operand,
    scale: Operand | None = None,
    bias: Operand | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
) -> Tensor:
    """``standardized`` over ``axis`` and all behind, then ``* scale + bias``.

    Args:
        x: The data.
        scale: Broadcast to ``x``.
        bias: Broadcast to ``x``.
        axis: The first axis over which statistics are taken.
        epsilon: Added to the variance.

    Raises:
        UserError: something does not fit.
    """
    x = tensor(x)
    first = axis_of("layer_norm", axis, x.ndim)
    found = standardized(x, range(first, x.ndim), epsilon=epsilon)[0]
    return _scaled(found, scale, bias)


@public
def rms_norm(
    x: Operand, scale: Operand | None = None, *, axis: int = -1, epsilon: float = 1e-5
) -> Tensor:
    """``x / np.sqrt(np.mean(x ** 2) + epsilon) * scale`` over ``axis`` and all behind.

    Args:
        x: The data.
        scale: Broadcast to ``x``.
        axis: The first axis over which the mean is taken.
        epsilon: Added to the mean.

    Raises:
        UserError: something does not fit.
    """
    x = tensor(x)
    first = axis_of("rms_norm", axis, x.ndim)
    called = _root_mean_square(x.ndim, tuple(range(first, x.ndim)))
    return _scaled(single(called, x, number(epsilon, x)), scale, None)


@public
def instance_norm(
    x: Operand,
    scale: Operand,
    bias: Operand,
    *,
    epsilon: float = 1e-5,
    layout: Layout = "channels_first",
) -> Tensor:
    """``standardized`` over the spatial axes, then a factor and a summand for each channel.

    Args:
        x: Images.
        scale: One number for each channel.
        bias: One number for each channel.
        epsilon: Added to the variance.
        layout: Where the channels stand.

    Raises:
        UserError: something does not fit.
    """
    x = tensor(x)
    channels = channel_axis("instance_norm", x.ndim, layout)
    scale, bias = _channels("instance_norm", x, channels, scale=scale, bias=bias)
    axes = [axis for axis in range(1, x.ndim) if axis != channels]
    found = standardized(x, axes, epsilon=epsilon)[0]
    return single(_by_channel(x.ndim - channels - 1), found, scale, bias)


@public
def group_norm(
    x: Operand,
    scale: Operand,
    bias: Operand,
    groups: int,
    *,
    epsilon: float = 1e-5,
    layout: Layout = "channels_first",
) -> Tensor:
    """``standardized`` over groups of channels and all spatial axes, then as ``instance_norm``.

    The channels fall into ``groups`` of neighbours. The other parameters are those of
    ``instance_norm``.

    Raises:
        UserError: something does not fit.
    """
    x = tensor(x)
    channels = channel_axis("group_norm", x.ndim, layout)
    scale, bias = _channels("group_norm", x, channels, scale=scale, bias=bias)
    if groups < 1 or x.shape[channels] % groups:
        raise ShapeError(f"group_norm: {x.shape[channels]} channels are not {groups} equal groups")
    called = _grouped(x.ndim, channels)
    return single(called, x, scale, bias, groups, number(epsilon, x))


@public
def local_response_norm(
    x: Operand,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    bias: float = 1.0,
    axis: int = 1,
) -> Tensor:
    """``x / (bias + alpha / size * sum of squares of neighbouring channels) ** beta``.

    Args:
        x: Data with channels along ``axis``.
        size: How many channels are neighbours, the channel itself included.
        alpha: Factor of the sum.
        beta: Exponent.
        bias: Summand.
        axis: Axis of the channels.

    Raises:
        ArgumentError: there is no such axis, or no such size.
    """
    x = tensor(x)
    at = axis_of("local_response_norm", axis, x.ndim)
    if size < 1:
        raise ArgumentError(f"local_response_norm: size is {size}; it must be 1 at least")
    called = _local_response(x.ndim, at)
    factor, exponent = number(alpha / size, x), number(-beta, x)
    return single(called, x, size, (size - 1) // 2, factor, exponent, number(bias, x))


@public
def lp_normalize(x: Operand, axis: int = -1, *, p: int = 2) -> Tensor:
    """``x / np.linalg.norm(x, p, axis, keepdims=True)``; 0 where the norm is 0.

    Args:
        x: The data.
        axis: Along which axis.
        p: Which norm, 1 or 2.

    Raises:
        ArgumentError: there is no such axis, or no such norm.
    """
    x = tensor(x)
    at = axis_of("lp_normalize", axis, x.ndim)
    if p not in (1, 2):
        raise ArgumentError(f"lp_normalize: p is {p}; it must be 1 or 2")
    return single(_by_norm(x.ndim, at, p), x)


def _channels(op: str, x: Tensor, axis: int, **given: Operand) -> list[Tensor]:
    """Vectors with a number for each channel."""
    channels = x.shape[axis_of(op, axis, x.ndim)]
    found = {name: tensor(each) for name, each in given.items()}
    for name, each in found.items():
        if each.shape != (channels,):
            raise ShapeError(
                f"{op}: {name} has the shape {list(each.shape)}, but x of shape {list(x.shape)} "
                f"has {channels} channels along axis {axis}"
            )
    return [*found.values()]


def _scaled(x: Tensor, scale: Operand | None, bias: Operand | None) -> Tensor:
    if scale is not None and bias is not None:
        called = text("function scaled_and_moved(X, S, B) -> (Y) { Y = X * S + B; }")
        return single(called, x, tensor(scale), tensor(bias))
    x = x if scale is None else x * tensor(scale)
    return x if bias is None else x + tensor(bias)


def _column(name: str, behind: int, size: str = "C") -> str:
    """A vector as it is broadcast along an axis with so many behind it."""
    return f"reshape({name}, {listed([size, *['1'] * behind])})" if behind else name


def _known_statistics(behind: int) -> Function:
    return text(
        f"function by_known_statistics_{behind}(X, G[C], B[C], M[C], V[C], E) -> (Y) {{ "
        f"S = G / sqrt(V + E); T = B - M * S; "
        f"Y = X * {_column('S', behind)} + {_column('T', behind)}; }}"
    )


def _own_statistics(rank: int, channels: int) -> Function:
    sizes = numbered("N", rank)
    sizes[channels] = "C"
    places = numbered("i", rank)
    kept = ["0"] * rank
    kept[channels] = places[channels]
    ones = ["1"] * rank
    ones[channels] = "C"
    others = " * ".join(size for axis, size in enumerate(sizes) if axis != channels) or "1"
    behind = rank - channels - 1
    return text(
        f"function by_own_statistics_{rank}_{channels}"
        f"(X[{listed(sizes)}], G[C], B[C], M[C], V[C], E, H) -> (Y, NM, NV) {{ "
        f"A = {others}; "
        f"S[{listed(kept)} : {listed(ones)}] = +(X[{listed(places)}]); "
        f"P = S / A; D = X - P; "
        f"Q[{listed(kept)} : {listed(ones)}] = +(D[{listed(places)}] * D[{listed(places)}]); "
        f"R = Q / A; "
        f"Y = D / sqrt(R + E) * {_column('G', behind)} + {_column('B', behind)}; "
        f"NM = M * H + reshape(P, C) * (1 - H); NV = V * H + reshape(R, C) * (1 - H); }}"
    )


def _reduced(rank: int, axes: Sequence[int]) -> tuple[str, str, str, str, str]:
    """Sizes, indices; indices and sizes of a result that keeps its axes; number of elements."""
    sizes, places = numbered("N", rank), numbered("i", rank)
    kept = ["0" if axis in axes else place for axis, place in enumerate(places)]
    ones = ["1" if axis in axes else size for axis, size in enumerate(sizes)]
    count = " * ".join(sizes[axis] for axis in axes) or "1"
    return listed(sizes), listed(places), listed(kept), listed(ones), count


def _title(name: str, rank: int, axes: Sequence[int]) -> str:
    return f"{name}_{rank}_{''.join(map(str, axes))}"


def _standard(rank: int, axes: tuple[int, ...]) -> Function:
    sizes, places, kept, ones, count = _reduced(rank, axes)
    return text(
        f"function {_title('standard', rank, axes)}(X[{sizes}], E) -> (Y, M, R) {{ A = {count}; "
        f"S[{kept} : {ones}] = +(X[{places}]); M = S / A; D = X - M; "
        f"V[{kept} : {ones}] = +(D[{places}] * D[{places}]); "
        f"R = recip(sqrt(V / A + E)); Y = D * R; }}"
    )


def _root_mean_square(rank: int, axes: tuple[int, ...]) -> Function:
    sizes, places, kept, ones, count = _reduced(rank, axes)
    return text(
        f"function {_title('root_mean_square', rank, axes)}(X[{sizes}], E) -> (Y) {{ "
        f"A = {count}; V[{kept} : {ones}] = +(X[{places}] * X[{places}]); "
        f"Y = X * recip(sqrt(V / A + E)); }}"
    )


def _by_norm(rank: int, axis: int, p: int) -> Function:
    sizes, places, kept, ones, _ = _reduced(rank, (axis,))
    what = f"abs(X[{places}])" if p == 1 else f"X[{places}] * X[{places}]"
    norm = "S" if p == 1 else "sqrt(S)"
    return text(
        f"function {_title(f'by_norm_{p}', rank, (axis,))}(X[{sizes}]) -> (Y) {{ "
        f"S[{kept} : {ones}] = +({what}); Y = X / (S == 0 ? 1 : {norm}); }}"
    )


def _by_channel(behind: int) -> Function:
    return text(
        f"function by_channel_{behind}(X, G[C], B[C]) -> (Y) {{ "
        f"Y = X * {_column('G', behind)} + {_column('B', behind)}; }}"
    )


def _grouped(rank: int, channels: int) -> Function:
    sizes = numbered("S", rank - 2)
    pixels = " * ".join(sizes)
    behind = rank - channels - 1
    if channels == 1:
        shape, read, kept, ones = "N, G, C / G, A", "n, g, c, a", "n, g, 0, 0", "N, G, 1, 1"
    else:
        shape, read, kept, ones = "N, A, G, C / G", "n, a, g, c", "n, 0, g, 0", "N, 1, G, 1"
    whole = image(channels, "N", "C", sizes)
    return text(
        f"function by_group_{rank}_{channels}(X[{whole}], F[C], B[C], G, E) -> (Y) {{ "
        f"A = {pixels}; P = A * C / G; R = reshape(X, {shape}); "
        f"S[{kept} : {ones}] = +(R[{read}]); D = R - S / P; "
        f"V[{kept} : {ones}] = +(D[{read}] * D[{read}]); "
        f"Z = reshape(D * recip(sqrt(V / P + E)), {whole}); "
        f"Y = Z * {_column('F', behind)} + {_column('B', behind)}; }}"
    )


def _local_response(rank: int, axis: int) -> Function:
    sizes, places = numbered("N", rank), numbered("i", rank)
    read = list(places)
    read[axis] = f"{places[axis]} + k - L"
    here = listed(read)
    return text(
        f"function by_neighbours_{rank}_{axis}(X[{listed(sizes)}], K, L, F, P, B) -> (Y) {{ "
        f"S[{listed(places)} : {listed(sizes)}] = +(X[{here}] * X[{here}]), k < K; "
        f"Y = X * pow(B + F * S, P); }}"
    )
