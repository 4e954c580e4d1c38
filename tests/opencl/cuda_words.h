// What CUDA C has and C++ does not, as far as tilec's kernels use it: enough for any C++ compiler to
// check their syntax, names and types.
#pragma once
#include <cmath>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(most, groups)
#define __align__(bytes) __attribute__((aligned(bytes)))

struct Words { unsigned int x, y, z; };
extern const Words blockIdx, threadIdx, blockDim, gridDim;

#define VECTORS(name, element) \
  struct name##2 { element x, y; }; \
  struct name##4 { element x, y, z, w; }; \
  inline name##2 make_##name##2(element x, element y) { return {x, y}; } \
  inline name##4 make_##name##4(element x, element y, element z, element w) { return {x, y, z, w}; }
VECTORS(char, signed char)
VECTORS(uchar, unsigned char)
VECTORS(short, short)
VECTORS(ushort, unsigned short)
VECTORS(int, int)
VECTORS(uint, unsigned int)
VECTORS(longlong, long long)
VECTORS(ulonglong, unsigned long long)
VECTORS(float, float)
VECTORS(double, double)

void __syncthreads();
float __uint_as_float(unsigned int);
unsigned int __float_as_uint(float);

using std::acos; using std::acosh; using std::asin; using std::asinh; using std::atan;
using std::atanh; using std::ceil; using std::cos; using std::cosh; using std::erf; using std::exp;
using std::fabs; using std::floor; using std::fma; using std::fmod; using std::log; using std::pow;
using std::rint; using std::sin; using std::sinh; using std::sqrt; using std::tan; using std::tanh;
