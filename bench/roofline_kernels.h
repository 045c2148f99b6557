// The loops that reach a processor's ceilings, for each instruction set that changes them.
#ifndef BRINK_BENCH_ROOFLINE_KERNELS_H_
#define BRINK_BENCH_ROOFLINE_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace brink::bench {

/// The loops chosen for this processor. Each returns a value that depends on all of its work.
struct RooflineKernels {
  const char* name;
  /// Reads `bytes` (a multiple of 256) from `data` (64-byte aligned), in order.
  std::int64_t (*read)(const char* data, std::size_t bytes);
  /// `instructions` (a multiple of 12) independent multiply-adds; `*_ops` operations each, a
  /// multiply-add counting as two.
  std::int64_t (*int8)(std::size_t instructions);
  std::int64_t (*bf16)(std::size_t instructions);
  std::int64_t (*f32)(std::size_t instructions);
  double int8_ops;
  double bf16_ops;
  double f32_ops;
};

namespace roofline_detail {

// Twelve accumulators cover a latency of four to six cycles at two instructions a cycle.
inline constexpr std::size_t kChains = 12;

inline std::int64_t read_plain(const char* data, std::size_t bytes) {
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i < bytes; i += sizeof(sums)) {
    std::uint64_t words[8];
    std::memcpy(words, data + i, sizeof(words));
    for (std::size_t j = 0; j < 8; ++j) sums[j] += words[j];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t s : sums) sum += s;
  return static_cast<std::int64_t>(sum);
}

// Sixteen lanes a step, left to the compiler: what a processor without any of the sets below does.
template <class T>
std::int64_t multiply_add_plain(std::size_t instructions) {
  T sums[kChains][16] = {};
  T a[16], b[16];
  for (std::size_t i = 0; i < 16; ++i) {
    a[i] = static_cast<T>(i % 3);
    b[i] = static_cast<T>(1);
  }
  for (std::size_t k = 0; k < instructions / kChains; ++k) {
    for (auto& sum : sums)
      for (std::size_t i = 0; i < 16; ++i) sum[i] += a[i] * b[i];
    asm volatile("" : : "r"(a), "r"(b) : "memory");
  }
  T total{};
  for (const auto& sum : sums)
    for (const T s : sum) total += s;
  return static_cast<std::int64_t>(total);
}

#if defined(__x86_64__)

template <class T, std::size_t N>
std::int64_t sum_of(const T (&lanes)[N]) {
  // Only to make something of the lanes, whose sums wrap around or grow without bound.
  double sum = 0;
  for (const T lane : lanes) sum += static_cast<double>(lane);
  return sum > 0 ? 1 : 0;
}

#define BRINK_ROOFLINE_TARGET(isa) __attribute__((target(isa)))

BRINK_ROOFLINE_TARGET("avx512f")
inline std::int64_t read_avx512(const char* data, std::size_t bytes) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
  for (std::size_t i = 0; i < bytes; i += 256) {
    // 4 KiB ahead: the distance at which one core's reads of DRAM stop waiting for it. Prefetches
    // past the end are harmless.
    for (std::size_t line = 0; line < 256; line += 64)
      _mm_prefetch(data + i + 4096 + line, _MM_HINT_T0);
    s0 = _mm512_add_epi32(s0, _mm512_load_si512(data + i));
    s1 = _mm512_add_epi32(s1, _mm512_load_si512(data + i + 64));
    s2 = _mm512_add_epi32(s2, _mm512_load_si512(data + i + 128));
    s3 = _mm512_add_epi32(s3, _mm512_load_si512(data + i + 192));
  }
  alignas(64) std::int32_t lanes[16];
  _mm512_store_si512(lanes, _mm512_add_epi32(_mm512_add_epi32(s0, s1), _mm512_add_epi32(s2, s3)));
  return sum_of(lanes);
}

BRINK_ROOFLINE_TARGET("avx512f,avx512vnni")
inline std::int64_t int8_vnni(std::size_t instructions) {
  __m512i sums[kChains], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  for (std::size_t k = 0; k < instructions / kChains; ++k) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
    asm volatile("" : "+v"(a), "+v"(b));
  }
  for (std::size_t i = 1; i < kChains; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  alignas(64) std::int32_t lanes[16];
  _mm512_store_si512(lanes, sums[0]);
  return sum_of(lanes);
}

BRINK_ROOFLINE_TARGET("avx512f,avx512bw,avx512bf16")
inline std::int64_t bf16_avx512(std::size_t instructions) {
  __m512 sums[kChains];
  __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f80), b = a;  // NOLINT: the type has no other casts
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  for (std::size_t k = 0; k < instructions / kChains; ++k) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, a, b);
    asm volatile("" : "+v"(a), "+v"(b));
  }
  for (std::size_t i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  alignas(64) float lanes[16];
  _mm512_store_ps(lanes, sums[0]);
  return sum_of(lanes);
}

BRINK_ROOFLINE_TARGET("avx512f")
inline std::int64_t f32_avx512(std::size_t instructions) {
  __m512 sums[kChains], a = _mm512_set1_ps(1.0001f), b = _mm512_set1_ps(0.999f);
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  for (std::size_t k = 0; k < instructions / kChains; ++k) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_fmadd_ps(a, b, sum);
    asm volatile("" : "+v"(a), "+v"(b));
  }
  for (std::size_t i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  alignas(64) float lanes[16];
  _mm512_store_ps(lanes, sums[0]);
  return sum_of(lanes);
}

BRINK_ROOFLINE_TARGET("avx2")
inline std::int64_t read_avx2(const char* data, std::size_t bytes) {
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                     _mm256_setzero_si256()};
  for (std::size_t i = 0; i < bytes; i += 128) {
    _mm_prefetch(data + i + 4096, _MM_HINT_T0);
    _mm_prefetch(data + i + 4160, _MM_HINT_T0);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      const auto* p = reinterpret_cast<const __m256i*>(data + i + 32 * j);
      sums[j] = _mm256_add_epi32(sums[j], _mm256_load_si256(p));
    }
  }
  alignas(32) std::int32_t lanes[8];
  _mm256_store_si256(
      reinterpret_cast<__m256i*>(lanes),
      _mm256_add_epi32(_mm256_add_epi32(sums[0], sums[1]), _mm256_add_epi32(sums[2], sums[3])));
  return sum_of(lanes);
}

BRINK_ROOFLINE_TARGET("avx2,avxvnni")
inline std::int64_t int8_avx_vnni(std::size_t instructions) {
  __m256i sums[kChains], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  for (std::size_t k = 0; k < instructions / kChains; ++k) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_dpbusd_avx_epi32(sum, a, b);
    asm volatile("" : "+x"(a), "+x"(b));
  }
  for (std::size_t i = 1; i < kChains; ++i) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  return _mm256_extract_epi32(sums[0], 0);
}

// Three instructions stand for one dot product: bytes to 16 bits, to 32 bits, and the sum.
BRINK_ROOFLINE_TARGET("avx2")
inline std::int64_t int8_avx2(std::size_t instructions) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums[kChains], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  for (std::size_t k = 0; k < instructions / kChains; ++k) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      asm volatile("" : "+x"(a), "+x"(b));  // keeps the products of one step apart
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  for (std::size_t i = 1; i < kChains; ++i) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  return _mm256_extract_epi32(sums[0], 0);
}

BRINK_ROOFLINE_TARGET("avx2,fma")
inline std::int64_t f32_avx2(std::size_t instructions) {
  __m256 sums[kChains], a = _mm256_set1_ps(1.0001f), b = _mm256_set1_ps(0.999f);
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  for (std::size_t k = 0; k < instructions / kChains; ++k) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_fmadd_ps(a, b, sum);
    asm volatile("" : "+x"(a), "+x"(b));
  }
  for (std::size_t i = 1; i < kChains; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return static_cast<std::int64_t>(_mm256_cvtss_f32(sums[0]));
}

// Without bf16 instructions a vector of pairs is widened (a shift, a mask) and multiplied twice.
BRINK_ROOFLINE_TARGET("avx2,fma")
inline std::int64_t bf16_avx2(std::size_t instructions) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  __m256i pairs = _mm256_set1_epi32(0x3f803f80);
  __m256 sums[kChains], b = _mm256_set1_ps(1.0f);
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  for (std::size_t k = 0; k < instructions / kChains; ++k) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      asm volatile("" : "+x"(pairs));
      sum = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)), b, sum);
      sum = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(pairs, high)), b, sum);
    }
  }
  for (std::size_t i = 1; i < kChains; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return static_cast<std::int64_t>(_mm256_cvtss_f32(sums[0]));
}

#undef BRINK_ROOFLINE_TARGET

inline bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
}

#endif  // __x86_64__

}  // namespace roofline_detail

/// The fastest loops that this processor can run.
inline RooflineKernels roofline_kernels() {
  namespace d = roofline_detail;
  RooflineKernels k{"plain",
                    d::read_plain,
                    d::multiply_add_plain<std::int32_t>,
                    d::multiply_add_plain<float>,
                    d::multiply_add_plain<float>,
                    32,
                    32,
                    32};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    k = {"avx2", d::read_avx2, d::int8_avx2, d::bf16_avx2, d::f32_avx2, 64, 32, 16};
    if (d::has_avx_vnni()) k.int8 = d::int8_avx_vnni;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
    k.name = "avx512";
    k.read = d::read_avx512;
    k.f32 = d::f32_avx512;
    k.f32_ops = 32;
    if (__builtin_cpu_supports("avx512vnni")) {
      k.name = "avx512_vnni";
      k.int8 = d::int8_vnni;
      k.int8_ops = 128;
    }
    if (__builtin_cpu_supports("avx512bf16")) {
      k.bf16 = d::bf16_avx512;
      k.bf16_ops = 64;
    }
  }
#endif
  return k;
}

}  // namespace brink::bench

#endif  // BRINK_BENCH_ROOFLINE_KERNELS_H_
