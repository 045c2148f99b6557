// The next-token distributions of one model over a text, kept in a file: computed once, compared
// with any number of other models.
#ifndef BRINK_EVAL_BASE_LOGITS_H_
#define BRINK_EVAL_BASE_LOGITS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "brink/eval/windows.h"
#include "brink/model/model.h"
#include "brink/model/session.h"

namespace brink {

/// Of every scored token the whole distribution, in 2 bytes for each token of the vocabulary
/// (cpu/logit_gaps.h, which also says what the rounding costs: D(base || base from the file) stays
/// below 2e-7 nats) and 24 bytes beside them, among them -ln p of the right token as f64.
///
/// The file grows by whole rows. When it is opened again what is missing, from the last whole
/// window on, is computed. Every row has a checksum, compared when it is read.
class BaseLogits {
 public:
  /// Runs `model` over the windows with f32 activations and an f32 KV cache (`options` says the
  /// rest) and writes file `path`, or what it lacks. `windows` must outlive this. `on_window`:
  /// windows that are in the file. Throws Error, naming the file, when it is damaged, belongs to
  /// another model or text, is being written by another process, or the disk is full.
  BaseLogits(const Model& model, const TokenWindows& windows, std::string path,
             SessionOptions options, const std::function<void(std::size_t)>& on_window = {});
  BaseLogits(BaseLogits&& other) noexcept;
  BaseLogits& operator=(BaseLogits&&) = delete;
  ~BaseLogits();

  /// Hex digits that stand for all that the content depends on: the model's tensors and metadata,
  /// the token ids and windows, the settings and the format. For naming files. Reads the whole
  /// model.
  static std::string key(const Model& model, const TokenWindows& windows);

  const TokenWindows& windows() const { return windows_; }
  std::size_t vocabulary() const { return vocabulary_; }
  const std::string& path() const { return path_; }
  std::uint64_t file_bytes() const;
  /// Windows that the constructor found in the file.
  std::size_t windows_found() const { return windows_found_; }

  /// The distribution of one scored token.
  struct Row {
    double nll = 0;                       ///< -ln p of the token that came
    std::uint32_t top = 0;                ///< the most probable token
    std::span<const std::uint16_t> gaps;  ///< [vocabulary]
  };

  /// Reads `count` rows from the file into `buffer`, in the order of TokenWindows. Throws Error
  /// when that fails or a row is damaged.
  std::vector<Row> read(std::size_t first, std::size_t count,
                        std::vector<std::uint64_t>& buffer) const;

 private:
  std::size_t row_bytes() const;
  std::uint64_t row_offset(std::size_t row) const;
  void open(const std::string& key);
  void write_header(const std::string& key) const;
  void compute(const Model& model, SessionOptions options,
               const std::function<void(std::size_t)>& on_window);
  void write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  bool read_bytes(std::uint64_t offset, std::span<std::byte> bytes) const;
  [[noreturn]] void fail(const std::string& message) const;

  const TokenWindows& windows_;
  const std::size_t vocabulary_;
  std::string path_;
  int fd_ = -1;
  std::size_t windows_found_ = 0;
};

}  // namespace brink

#endif  // BRINK_EVAL_BASE_LOGITS_H_
