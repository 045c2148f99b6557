// Importance matrices: how large the inputs of each weight matrix are, column by column, which
// tells a quantizer where errors matter.
#ifndef BRINK_QUANT_IMPORTANCE_H_
#define BRINK_QUANT_IMPORTANCE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace brink {

/// Mean squared activations by tensor. Files are llama.cpp's GGUF form: for each tensor NAME the
/// f32 tensors NAME.in_sum2 [columns, matrices], sums of squares, and NAME.counts [1, matrices],
/// rows summed up; "general.type" is "imatrix".
class ImportanceMatrix {
 public:
  ImportanceMatrix() = default;

  /// Throws Error, naming file and tensor, when the file is not of this form (the older ".dat" form
  /// is not read), shapes do not fit each other or a value is negative or not finite.
  static ImportanceMatrix load(const std::string& path);

  /// The file appears under its name when it is complete.
  void write(const std::string& path) const;

  /// Mean squares of the inputs of tensor `name` ("blk.0.attn_q.weight"): [columns], of a tensor of
  /// experts [experts * columns]. An expert that no token was sent to has the mean over the tokens
  /// of all others. Empty when the tensor is not in it, or has no rows at all.
  std::span<const float> of(std::string_view name) const;

  /// Rows that the means are over: [1] or [experts]. Empty when the tensor is not in it.
  std::span<const float> counts(std::string_view name) const;

  /// Sets a tensor: `sums` [matrices * columns] of squares over as many rows as `counts`
  /// [matrices] says.
  void set(std::string name, std::span<const double> sums, std::span<const double> counts);

  std::vector<std::string> names() const;  ///< in alphabetical order
  bool empty() const { return entries_.empty(); }

  std::vector<std::string> datasets;  ///< texts that it was computed from
  std::uint32_t chunks = 0;           ///< windows of them
  std::uint32_t chunk_size = 0;       ///< tokens of a window

 private:
  struct Entry {
    std::vector<float> sums;    // [matrices * columns]
    std::vector<float> counts;  // [matrices]
    std::vector<float> means;   // [matrices * columns] or empty
  };
  static Entry with_means(std::vector<float> sums, std::vector<float> counts);
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace brink

#endif  // BRINK_QUANT_IMPORTANCE_H_
