// Definitions of quantize.h.
#ifndef BRINK_QUANTIZE_QUANTIZE_IMPL_H_
#define BRINK_QUANTIZE_QUANTIZE_IMPL_H_

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "brink/core/error.h"
#include "brink/core/half.h"
#include "brink/cpu/kernels.h"
#include "brink/cpu/thread_pool.h"
#include "brink/gguf/writer.h"
#include "brink/quant/format.h"
#include "brink/quantize/quantize.h"
#include "brink/quantize/row_encoder.h"

namespace brink {
namespace quantize_detail {

/// Weights encoded between two writes: large enough to keep all threads busy, small enough to stay
/// in their caches together with what becomes of them.
inline constexpr std::uint64_t kPieceWeights = std::uint64_t{1} << 20;
/// A thread's share of a piece: rows are claimed in groups of about so many weights.
inline constexpr std::uint64_t kItemWeights = std::uint64_t{1} << 14;

/// Numbers beyond this become infinite in the type.
float largest_finite(TensorType type) {
  return type == TensorType::kF16 ? 65504.0f : std::numeric_limits<float>::max();
}

/// Bit patterns with the sign cut off from `limit` + 1 on are too large, infinite or NaN. Whole
/// numbers, so that the loop runs at the speed of memory.
std::uint64_t count_nonfinite(std::span<const float> values, float largest) {
  const std::uint32_t limit = std::bit_cast<std::uint32_t>(largest);
  std::uint32_t count = 0;
  for (const float value : values)
    count += (std::bit_cast<std::uint32_t>(value) & 0x7fffffffu) > limit ? 1u : 0u;
  return count;
}

void replace_nonfinite(std::span<float> values, float largest) {
  for (float& value : values) {
    if (std::isnan(value)) value = 0;
    value = std::clamp(value, -largest, largest);
  }
}

/// One tensor's way from its source to its new blocks.
class Converter {
 public:
  Converter(const Gguf& gguf, const PlannedTensor& planned, const QuantizeOptions& options,
            const Kernels& kernels, ThreadPool& pool)
      : gguf_(gguf),
        planned_(planned),
        options_(options),
        kernels_(kernels),
        pool_(pool),
        columns_(planned.source->shape[0]),
        rows_(planned.source->rows()),
        matrix_rows_(planned.source->shape[1]),
        source_row_(row_bytes(planned.source->type, columns_)),
        row_(row_bytes(planned.type, columns_)),
        largest_(largest_finite(planned.type)),
        values_(pool.threads()),
        encoders_(pool.threads(), RowEncoder(kernels, planned.type, options.effort)) {
    const GgufTensor& source = *planned.source;
    if (copies()) return;
    if (!is_quantize_source(source.type) && !options.allow_requantize)
      fail(std::string("is ") + size_of(source.type).name +
           ": quantized already (better start from F16; or allow requantizing)");
    if (kernels_.encode[static_cast<std::size_t>(planned.type)] == nullptr)
      fail(std::string("cannot be made ") + size_of(planned.type).name);
    std::span<const float> importance;
    if (options.importance) importance = options.importance(source.name);
    if (importance.empty()) return;
    if (importance.size() != importance_values(source))
      fail("the importance matrix has " + std::to_string(importance.size()) +
           " values for it instead of " + std::to_string(importance_values(source)));
    for (const float value : importance)
      if (!(value >= 0 && value <= std::numeric_limits<float>::max()))
        fail("the importance matrix holds a value for it that is negative or not finite");
    importance_ = column_importance(gguf, source, importance);
  }

  /// The same type: bytes are taken as they are.
  bool copies() const { return planned_.type == planned_.source->type; }
  bool has_importance() const { return !importance_.empty(); }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t replaced() const { return nonfinite_; }

  std::uint64_t rows_of_a_piece() const {
    return std::clamp<std::uint64_t>(kPieceWeights / columns_, 1, rows_);
  }

  /// Converts rows [first, first + count) to `out`, while `meanwhile` runs on one of the threads.
  template <class F>
  void convert(std::uint64_t first, std::uint64_t count, std::vector<std::uint8_t>& out,
               F&& meanwhile) {
    const std::uint64_t group = std::max<std::uint64_t>(1, kItemWeights / columns_);
    const std::uint64_t groups = (count + group - 1) / group;
    out.resize(count * row_);
    std::atomic<std::uint64_t> nonfinite{0};
    pool_.run(groups + 1, [&](std::size_t item, unsigned thread) {
      if (item == 0) {
        meanwhile();
        return;
      }
      const std::uint64_t begin = (item - 1) * group;
      for (std::uint64_t row = begin; row < std::min(begin + group, count); ++row)
        nonfinite += convert_row(first + row, thread, out.data() + row * row_);
    });
    nonfinite_ += nonfinite;
    if (nonfinite_ > 0 && !options_.allow_nonfinite) fail_nonfinite(first + count);
  }

 private:
  std::uint64_t convert_row(std::uint64_t row, unsigned thread, std::uint8_t* out) {
    const GgufTensor& source = *planned_.source;
    const auto* blocks = reinterpret_cast<const std::uint8_t*>(source.data) + row * source_row_;
    std::vector<float>& values = values_[thread];
    values.resize(columns_);
    kernels_.decode[static_cast<std::size_t>(source.type)](blocks, values.data(), columns_);
    const std::uint64_t nonfinite = count_nonfinite(values, largest_);
    if (nonfinite > 0) {
      if (!options_.allow_nonfinite) return nonfinite;  // this piece will not be written
      replace_nonfinite(values, largest_);
    }
    const float* importance =
        importance_.empty() ? nullptr : importance_.data() + row / matrix_rows_ * columns_;
    encoders_[thread].encode(values.data(), importance, columns_, out);
    return nonfinite;
  }

  /// Counts what is left of the tensor, so that the message gives the whole number.
  [[noreturn]] void fail_nonfinite(std::uint64_t from_row) {
    const GgufTensor& source = *planned_.source;
    std::vector<float>& values = values_[0];
    values.resize(columns_);
    for (std::uint64_t row = from_row; row < rows_; ++row) {
      kernels_.decode[static_cast<std::size_t>(source.type)](
          reinterpret_cast<const std::uint8_t*>(source.data) + row * source_row_, values.data(),
          columns_);
      nonfinite_ += count_nonfinite(values, largest_);
    }
    const bool range = planned_.type == TensorType::kF16;
    fail(std::to_string(nonfinite_) + " of " + std::to_string(source.elements()) +
         " weights are NaN" + (range ? ", infinite or beyond the range of F16" : " or infinite"));
  }

  [[noreturn]] void fail(const std::string& message) const {
    throw Error(message, {.file = gguf_.paths()[planned_.source->file],
                          .tensor = std::string(planned_.source->name)});
  }

  const Gguf& gguf_;
  const PlannedTensor& planned_;
  const QuantizeOptions& options_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::uint64_t columns_;
  std::uint64_t rows_;
  std::uint64_t matrix_rows_;  // of one expert
  std::uint64_t source_row_;   // bytes
  std::uint64_t row_;          // bytes
  float largest_;
  std::vector<float> importance_;
  std::vector<std::vector<float>> values_;  // one row a thread
  std::vector<RowEncoder> encoders_;        // one a thread
  std::uint64_t nonfinite_ = 0;
};

void refuse_own_source(const Gguf& gguf, const std::string& output) {
  for (const std::string& path : gguf.paths()) {
    std::error_code error;  // a file that is not there yet is equal to none
    if (path == output || std::filesystem::equivalent(path, output, error))
      throw Error("would be written over while it is read; choose another name", {.file = output});
  }
}

void declare(GgufWriter& writer, const Gguf& gguf, const std::vector<PlannedTensor>& plan,
             const QuantizeOptions& options) {
  writer.copy_metadata(gguf);
  writer.set("general.quantization_version", std::uint32_t{2});
  if (options.file_type) writer.set("general.file_type", *options.file_type);
  for (const auto& [key, value] : options.metadata) writer.set(key, std::string_view(value));
  for (const PlannedTensor& planned : plan) writer.declare(*planned.source, planned.type);
}

}  // namespace quantize_detail

bool is_quantize_source(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16 ||
         type == TensorType::kQ8_0;
}

std::uint64_t importance_values(const GgufTensor& tensor) {
  return tensor.shape[0] * tensor.shape[2] * tensor.shape[3];
}

bool needs_importance(TensorType type) {
  switch (type) {
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_S:
    case TensorType::kIQ3_XXS:
      return true;
    default:
      return false;
  }
}

QuantizeResult quantize(const Gguf& gguf, const std::vector<PlannedTensor>& plan,
                        const std::string& output, const QuantizeOptions& options) {
  namespace d = quantize_detail;
  d::refuse_own_source(gguf, output);
  const Kernels& kernels = options.kernels != nullptr ? *options.kernels : best_kernels();
  ThreadPool pool(options.threads);
  GgufWriter writer(output, gguf.alignment());
  d::declare(writer, gguf, plan, options);
  QuantizeResult result;
  const auto progress = [&](std::uint64_t bytes) {
    result.source_bytes += bytes;
    if (options.on_progress) options.on_progress(bytes);
  };
  // One piece is written while the next one is computed.
  std::vector<std::uint8_t> pieces[2];
  for (const PlannedTensor& planned : plan) {
    const GgufTensor& source = *planned.source;
    d::Converter converter(gguf, planned, options, kernels, pool);
    result.weights += source.elements();
    result.bytes += planned.bytes();
    if (converter.copies()) {
      constexpr std::uint64_t kCopy = std::uint64_t{4} << 20;
      for (std::uint64_t done = 0; done < source.bytes; done += kCopy) {
        const std::uint64_t bytes = std::min(kCopy, source.bytes - done);
        writer.append(source.name, {source.data + done, static_cast<std::size_t>(bytes)});
        progress(bytes);
      }
      continue;
    }
    if (needs_importance(planned.type) && !converter.has_importance())
      result.without_importance.emplace_back(source.name);
    const std::uint64_t piece = converter.rows_of_a_piece();
    std::size_t current = 0;
    bool pending = false;
    for (std::uint64_t row = 0; row < converter.rows(); row += piece) {
      const std::uint64_t count = std::min(piece, converter.rows() - row);
      converter.convert(row, count, pieces[current], [&] {
        if (pending) writer.append(source.name, std::as_bytes(std::span(pieces[1 - current])));
      });
      pending = true;
      current = 1 - current;
      progress(source.bytes / converter.rows() * count);
    }
    if (pending) writer.append(source.name, std::as_bytes(std::span(pieces[1 - current])));
    result.replaced += converter.replaced();
  }
  writer.finish();
  return result;
}

TensorBlocks encode_tensor(const Gguf& gguf, const GgufTensor& tensor, TensorType type,
                           const QuantizeOptions& options) {
  const Kernels& kernels = options.kernels != nullptr ? *options.kernels : best_kernels();
  ThreadPool pool(options.threads);
  const PlannedTensor planned{&tensor, type, true};
  quantize_detail::Converter converter(gguf, planned, options, kernels, pool);
  TensorBlocks result{std::string(tensor.name), type, {}};
  if (converter.copies()) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(tensor.data);
    result.blocks.assign(bytes, bytes + tensor.bytes);
  } else {
    converter.convert(0, converter.rows(), result.blocks, [] {});
  }
  return result;
}

}  // namespace brink

#endif  // BRINK_QUANTIZE_QUANTIZE_IMPL_H_
