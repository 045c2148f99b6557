// Definitions of quant/importance.h.
#ifndef BRINK_QUANT_IMPORTANCE_IMPL_H_
#define BRINK_QUANT_IMPORTANCE_IMPL_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
#include <utility>

#include "brink/core/error.h"
#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "brink/quant/importance.h"

namespace brink {
namespace importance_detail {

inline constexpr std::string_view kSums = ".in_sum2";
inline constexpr std::string_view kCounts = ".counts";

inline std::vector<float> values_of(const Gguf& gguf, const GgufTensor& tensor) {
  const auto fail = [&](const std::string& message) {
    throw Error(message, {gguf.paths()[tensor.file], std::string(tensor.name), tensor.offset});
  };
  if (tensor.type != TensorType::kF32)
    fail(std::string("is of type ") + size_of(tensor.type).name +
         ", an importance matrix has only F32");
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  std::memcpy(values.data(), tensor.data, values.size() * sizeof(float));
  for (const float value : values)
    if (!std::isfinite(value) || value < 0.0f) fail("holds a value that is negative or not finite");
  return values;
}

}  // namespace importance_detail

ImportanceMatrix::Entry ImportanceMatrix::with_means(std::vector<float> sums,
                                                     std::vector<float> counts) {
  Entry entry{std::move(sums), std::move(counts), {}};
  const std::size_t columns = entry.sums.size() / entry.counts.size();
  std::vector<double> all(columns);
  double rows = 0;
  for (std::size_t m = 0; m < entry.counts.size(); ++m) {
    rows += static_cast<double>(entry.counts[m]);
    for (std::size_t c = 0; c < columns; ++c)
      all[c] += static_cast<double>(entry.sums[m * columns + c]);
  }
  if (rows == 0) return entry;
  entry.means.resize(entry.sums.size());
  for (std::size_t m = 0; m < entry.counts.size(); ++m) {
    const double count = static_cast<double>(entry.counts[m]);
    for (std::size_t c = 0; c < columns; ++c)
      entry.means[m * columns + c] = static_cast<float>(
          count > 0 ? static_cast<double>(entry.sums[m * columns + c]) / count : all[c] / rows);
  }
  return entry;
}

ImportanceMatrix ImportanceMatrix::load(const std::string& path) {
  using importance_detail::kCounts;
  using importance_detail::kSums;
  {
    std::array<char, 4> magic{};
    std::ifstream file(path, std::ios::binary);
    if (file.read(magic.data(), magic.size()) &&
        std::string_view(magic.data(), magic.size()) != "GGUF")
      throw Error(
          "is no GGUF file: importance matrices of the older .dat form are not read (llama-imatrix "
          "--in-file OLD.dat -o NEW.gguf converts them)",
          {.file = path});
  }
  const Gguf gguf = Gguf::open(path);
  if (gguf.get_string("general.type").value_or("") != "imatrix")
    throw Error("is not an importance matrix: \"general.type\" is not \"imatrix\"", {.file = path});
  ImportanceMatrix matrix;
  if (const GgufValue* datasets = gguf.find("imatrix.datasets"))
    for (const std::string_view name : datasets->strings()) matrix.datasets.emplace_back(name);
  const auto number = [&](const char* key) {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(gguf.get_uint(key).value_or(0), 0xffffffffu));
  };
  matrix.chunks = number("imatrix.chunk_count");
  matrix.chunk_size = number("imatrix.chunk_size");
  for (const GgufTensor& tensor : gguf.tensors()) {
    const bool sums = tensor.name.ends_with(kSums);
    const std::string_view suffix = sums ? kSums : kCounts;
    const auto fail = [&](const std::string& message) {
      throw Error(message, {path, std::string(tensor.name), tensor.offset});
    };
    if (!tensor.name.ends_with(suffix)) fail("is no part of an importance matrix");
    const std::string name(tensor.name.substr(0, tensor.name.size() - suffix.size()));
    const GgufTensor* other = gguf.find_tensor(name + std::string(sums ? kCounts : kSums));
    if (other == nullptr) fail("has no " + name + std::string(sums ? kCounts : kSums) + " beside");
    if (!sums) continue;
    if (other->elements() != tensor.rows())
      fail("has " + std::to_string(tensor.rows()) + " rows, but there are " +
           std::to_string(other->elements()) + " counts");
    matrix.entries_[name] = with_means(importance_detail::values_of(gguf, tensor),
                                       importance_detail::values_of(gguf, *other));
  }
  if (matrix.empty()) throw Error("holds no importance of any tensor", {.file = path});
  return matrix;
}

void ImportanceMatrix::write(const std::string& path) const {
  GgufWriter writer(path);
  writer.set("general.type", "imatrix");
  writer.set_array("imatrix.datasets", datasets);
  writer.set("imatrix.chunk_count", chunks);
  writer.set("imatrix.chunk_size", chunk_size);
  for (const auto& [name, entry] : entries_) {
    const std::uint64_t matrices = entry.counts.size();
    const std::array<std::uint64_t, 2> sums{entry.sums.size() / matrices, matrices};
    const std::array<std::uint64_t, 2> counts{1, matrices};
    writer.declare(name + std::string(importance_detail::kSums), TensorType::kF32, sums);
    writer.declare(name + std::string(importance_detail::kCounts), TensorType::kF32, counts);
  }
  for (const auto& [name, entry] : entries_) {
    writer.append(name + std::string(importance_detail::kSums),
                  std::as_bytes(std::span(entry.sums)));
    writer.append(name + std::string(importance_detail::kCounts),
                  std::as_bytes(std::span(entry.counts)));
  }
  writer.finish();
}

std::span<const float> ImportanceMatrix::of(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return {};
  return found->second.means;
}

std::span<const float> ImportanceMatrix::counts(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return {};
  return found->second.counts;
}

void ImportanceMatrix::set(std::string name, std::span<const double> sums,
                           std::span<const double> counts) {
  if (counts.empty() || sums.empty() || sums.size() % counts.size() != 0)
    throw Error("importance of '" + name + "': " + std::to_string(sums.size()) + " sums for " +
                std::to_string(counts.size()) + " matrices");
  const auto to_float = [](std::span<const double> values) {
    std::vector<float> floats;
    for (const double value : values) floats.push_back(static_cast<float>(value));
    return floats;
  };
  entries_[std::move(name)] = with_means(to_float(sums), to_float(counts));
}

std::vector<std::string> ImportanceMatrix::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

}  // namespace brink

#endif  // BRINK_QUANT_IMPORTANCE_IMPL_H_
