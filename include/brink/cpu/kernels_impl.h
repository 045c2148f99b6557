// Choice of the instruction set at run time, and, unless BRINK_SPLIT is defined, the
// kernels themselves.
#ifndef BRINK_CPU_KERNELS_IMPL_H_
#define BRINK_CPU_KERNELS_IMPL_H_

#include <cstdlib>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/cpu/highway_targets.h"
#include "brink/cpu/kernels.h"
#include "hwy/targets.h"

#if HWY_ARCH_X86
#include <cpuid.h>
#endif

#ifndef BRINK_SPLIT
#include "brink/cpu/kernels_unit.h"
#endif

namespace brink {

#if HWY_ARCH_X86
namespace isa_sse4 {
const Kernels& Table();
}
namespace isa_avx2 {
const Kernels& Table();
}
namespace isa_avx512 {
const Kernels& Table();
}
namespace isa_avx512_vnni {
const Kernels& Table();
}
#elif HWY_ARCH_ARM
namespace isa_neon {
const Kernels& Table();
}
#else
namespace isa_static {
const Kernels& Table();
}
#endif

namespace kernels_detail {

#if HWY_ARCH_X86
// What BRINK_TARGET_EXTRA of the avx512_vnni pass names: AVX512_VNNI, GFNI, AVX512_VBMI and
// AVX512_BF16 (leaf 7). All come with every Zen 4 and later and with Intel's servers from Sapphire
// Rapids (bf16 is absent on Ice Lake, which then runs the plain AVX-512 set).
inline bool have_avx512_vnni_pass() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kVnni = 1u << 11, kGfni = 1u << 8, kVbmi = 1u << 1;
  constexpr unsigned kAll = kVnni | kGfni | kVbmi;
  if ((c & kAll) != kAll) return false;
  if (a < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return false;
  return (a & (1u << 5)) != 0;
}
#endif

inline std::vector<const Kernels*> detect() {
  std::vector<const Kernels*> tables;
#if HWY_ARCH_X86
  const auto targets = hwy::SupportedTargets();
  if (targets & HWY_SSE4) tables.push_back(&isa_sse4::Table());
  if (targets & HWY_AVX2) tables.push_back(&isa_avx2::Table());
  if (targets & HWY_AVX3) {
    tables.push_back(&isa_avx512::Table());
    if (have_avx512_vnni_pass()) tables.push_back(&isa_avx512_vnni::Table());
  }
#elif HWY_ARCH_ARM
  tables.push_back(&isa_neon::Table());
#else
  tables.push_back(&isa_static::Table());
#endif
  return tables;
}

inline std::string available_names() {
  std::string names;
  for (const Kernels* k : available_kernels())
    names += (names.empty() ? "" : ", ") + std::string(k->name);
  return names;
}

}  // namespace kernels_detail

std::span<const Kernels* const> available_kernels() {
  static const std::vector<const Kernels*> tables = kernels_detail::detect();
  return tables;
}

const Kernels* find_kernels(std::string_view name) {
  for (const Kernels* k : available_kernels()) {
    if (name == k->name) return k;
  }
  return nullptr;
}

const Kernels& best_kernels() {
  if (available_kernels().empty()) {
    throw Error("this processor has none of the instruction sets that brink was built for");
  }
  if (const char* name = std::getenv("BRINK_ISA"); name != nullptr && *name != '\0') {
    const Kernels* k = find_kernels(name);
    if (k == nullptr) {
      throw Error("BRINK_ISA=" + std::string(name) +
                  ": not available here; there are: " + kernels_detail::available_names());
    }
    return *k;
  }
  return *available_kernels().back();
}

}  // namespace brink

#endif  // BRINK_CPU_KERNELS_IMPL_H_
