// Definitions of verify.h.
#ifndef BRINK_QUANTIZE_VERIFY_IMPL_H_
#define BRINK_QUANTIZE_VERIFY_IMPL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/cpu/kernels.h"
#include "brink/cpu/thread_pool.h"
#include "brink/quant/format.h"
#include "brink/quantize/verify.h"

namespace brink {
namespace verify_detail {

struct Sums {
  double aa = 0, bb = 0, ab = 0, dd = 0, max = 0;
  std::uint64_t nonfinite = 0;

  void add(float x, float y) {
    if (!std::isfinite(x) || !std::isfinite(y)) {
      ++nonfinite;
      return;
    }
    const double a = x, b = y, d = b - a;
    aa += a * a;
    bb += b * b;
    ab += a * b;
    dd += d * d;
    max = std::max(max, std::abs(d));
  }
  void add(const Sums& other) {
    aa += other.aa;
    bb += other.bb;
    ab += other.ab;
    dd += other.dd;
    max = std::max(max, other.max);
    nonfinite += other.nonfinite;
  }
};

void decode_row(const Kernels& kernels, const GgufTensor& tensor, std::uint64_t row,
                std::vector<float>& out) {
  out.resize(tensor.shape[0]);
  kernels.decode[static_cast<std::size_t>(tensor.type)](
      reinterpret_cast<const std::uint8_t*>(tensor.data) +
          row * row_bytes(tensor.type, tensor.shape[0]),
      out.data(), out.size());
}

TensorError error_of(const GgufTensor& a, const GgufTensor& b, const Sums& sums) {
  TensorError error;
  error.tensor = a.name;
  error.type = a.type;
  error.other_type = b.type;
  error.weights = a.elements();
  error.nonfinite = sums.nonfinite;
  error.max = sums.max;
  if (sums.dd > 0)
    error.relative_rms =
        sums.aa > 0 ? std::sqrt(sums.dd / sums.aa) : std::numeric_limits<double>::infinity();
  // One square root of the product: of equal sums it gives them back, so that equal tensors get 1.
  if (sums.aa > 0 || sums.bb > 0)
    error.cosine = sums.aa > 0 && sums.bb > 0 ? sums.ab / std::sqrt(sums.aa * sums.bb) : 0;
  return error;
}

}  // namespace verify_detail

std::vector<TensorError> compare_tensors(
    const Gguf& a, const Gguf& b, unsigned threads,
    const std::function<void(std::uint64_t weights)>& on_progress) {
  namespace d = verify_detail;
  for (const GgufTensor& tensor : b.tensors())
    if (a.find_tensor(tensor.name) == nullptr)
      throw Error("is not in " + a.path(), {.file = b.path(), .tensor = std::string(tensor.name)});
  const Kernels& kernels = best_kernels();
  ThreadPool pool(threads);
  // A fixed number of rows an item: sums do not depend on the number of threads.
  constexpr std::uint64_t kItemWeights = std::uint64_t{1} << 16;
  std::vector<std::vector<float>> rows_a(pool.threads()), rows_b(pool.threads());
  std::vector<TensorError> errors;
  for (const GgufTensor& tensor : a.tensors()) {
    const GgufTensor* other = b.find_tensor(tensor.name);
    if (other == nullptr)
      throw Error("is not in " + b.path(), {.file = a.path(), .tensor = std::string(tensor.name)});
    if (other->shape != tensor.shape)
      throw Error("has another shape in " + a.path(),
                  {.file = b.path(), .tensor = std::string(tensor.name)});
    const std::uint64_t group = std::max<std::uint64_t>(1, kItemWeights / tensor.shape[0]);
    const std::uint64_t items = (tensor.rows() + group - 1) / group;
    std::vector<d::Sums> sums(items);
    pool.run(items, [&](std::size_t item, unsigned thread) {
      for (std::uint64_t row = item * group; row < std::min((item + 1) * group, tensor.rows());
           ++row) {
        d::decode_row(kernels, tensor, row, rows_a[thread]);
        d::decode_row(kernels, *other, row, rows_b[thread]);
        for (std::size_t i = 0; i < rows_a[thread].size(); ++i)
          sums[item].add(rows_a[thread][i], rows_b[thread][i]);
      }
    });
    for (std::size_t i = 1; i < items; ++i) sums[0].add(sums[i]);
    errors.push_back(d::error_of(tensor, *other, sums[0]));
    if (on_progress) on_progress(tensor.elements());
  }
  std::stable_sort(errors.begin(), errors.end(), [](const TensorError& x, const TensorError& y) {
    if ((x.nonfinite > 0) != (y.nonfinite > 0)) return x.nonfinite > 0;
    return x.relative_rms > y.relative_rms;
  });
  return errors;
}

}  // namespace brink

#endif  // BRINK_QUANTIZE_VERIFY_IMPL_H_
