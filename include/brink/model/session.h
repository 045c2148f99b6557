// A session: sequences of tokens fed through a model.
#ifndef BRINK_MODEL_SESSION_H_
#define BRINK_MODEL_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/core/aligned.h"
#include "brink/cpu/activations.h"
#include "brink/cpu/kernels.h"
#include "brink/model/activation_scales.h"
#include "brink/model/backend.h"
#include "brink/model/generate.h"
#include "brink/model/kv_cache.h"
#include "brink/model/memory.h"
#include "brink/model/model.h"

namespace brink {

/// What computes.
enum class BackendKind : std::uint8_t { kCpu, kVulkan };

/// SessionOptions::device_layers, whatever the model has.
inline constexpr std::size_t kAllLayers = ~std::size_t{0};

struct SessionOptions {
  std::size_t context = 4096;  ///< positions per sequence, whatever the model was trained for
  Activations activations = Activations::kQ8;
  KvType kv_type = KvType::kF16;
  unsigned threads = 0;              ///< 0: one per core
  std::size_t batch = 512;           ///< largest number of tokens computed at once
  std::size_t sequences = 1;         ///< 0 to sequences - 1 can be named
  const Kernels* kernels = nullptr;  ///< instruction set; nullptr: best_kernels()
  BackendKind backend = BackendKind::kCpu;
  bool profile = false;     ///< Vulkan: gather profile(), at some cost
  std::string device = {};  ///< Vulkan: number or part of the name; empty: the best one
  /// Vulkan: the first so many layers are computed there, the others and the output on the CPU.
  /// With at least as many as the model has everything is on the device, with 0 nothing.
  std::size_t device_layers = kAllLayers;
  std::uint64_t device_memory = 0;  ///< Vulkan: bytes that may be used there; 0: what is free
  /// Vulkan: called by the constructor while weights are copied to the device, with the bytes done
  /// and the total; what it throws ends the construction.
  std::function<void(std::uint64_t done, std::uint64_t total)> on_upload = {};
  /// Compute any number of rows with the kernels for many. Then the same tokens give the same bits
  /// whatever else is in a step, at some cost in steps of few tokens.
  bool same_kernels = false;
  /// For Activations::kInt8Tensor: a scale for every matrix concerned.
  ActivationScales activation_scales = {};
  /// CPU only: sees the input of every product, as f32, before it is rounded to `activations`.
  ProductObserver observer = {};
};

/// Of which tokens logits are wanted.
enum class Logits : std::uint8_t { kNone, kLast, kAll, kChosen };

struct SequenceInput {
  std::size_t sequence = 0;
  std::span<const std::int32_t> tokens;  ///< appended to the sequence
  Logits logits = Logits::kLast;
  std::span<const std::uint32_t> chosen = {};  ///< for kChosen: indices into `tokens`, ascending
};

/// The state of some sequences (prompts, chats, samples) over one model. Not for use by several
/// threads at once; any number of sessions may share a Model.
///
/// The same tokens give the same bits whatever the number of threads, however a prompt is cut into
/// steps and whatever other sequences are in the step, as long as each product uses the same kind
/// of kernel: those for few rows of a step (up to kMatvecTokens, or Kernels::matvec_q8_tokens,
/// which may be one), or those for more. SessionOptions::same_kernels makes it always the latter.
class Session {
 public:
  /// Throws Error when options are out of range, the KV type does not fit the model or there is
  /// not enough memory.
  explicit Session(Model model, SessionOptions options = {});
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  const Model& model() const { return model_; }
  const SessionOptions& options() const { return options_; }
  /// What computes: instruction set ("avx512_vnni") or device ("vulkan: NVIDIA H100").
  const char* backend_name() const;

  /// Appends tokens to sequences, each sequence at most once. Returns rows of `vocabulary` logits
  /// for the tokens asked for, in the order of the inputs, valid until the next step. Throws
  /// Error, with nothing changed, on a sequence or token id out of range or a full context.
  std::span<const float> step(std::span<const SequenceInput> inputs);

  /// The same, but where the backend can choose tokens where it computes (Backend::most_best) only
  /// the `best` largest logits of each are given, with their ids: less to read back from a device,
  /// and to search. 0: all logits.
  Outputs step_best(std::span<const SequenceInput> inputs, std::size_t best);

  /// step() for very many logits: they are not kept but given to `sink` in pieces, in the same
  /// order. What it throws ends the step, with the tokens taken back.
  void step_to(std::span<const SequenceInput> inputs, const LogitsSink& sink);

  /// step() for one sequence.
  std::span<const float> feed(std::span<const std::int32_t> tokens, Logits logits = Logits::kLast,
                              std::size_t sequence = 0);

  /// Tokens that the sequence holds; the next one fed gets this position.
  std::size_t position(std::size_t sequence = 0) const;
  /// Keeps the first `positions` tokens. Throws Error when there are fewer.
  void truncate(std::size_t sequence, std::size_t positions);
  /// Makes `to` a copy of `from`; they share memory until they differ.
  void fork(std::size_t from, std::size_t to);
  void clear(std::size_t sequence) { truncate(sequence, 0); }

  /// Continues a sequence with text: a range of std::string_view pieces, each whole UTF-8
  /// characters and valid until the next is taken. The work is done while the range is iterated;
  /// it must not outlive the session. A sequence that is empty gets the model's BOS token first.
  Generation generate(std::string_view prompt, const GenerateOptions& options = {});
  /// The same, from ids.
  Generation generate(std::span<const std::int32_t> tokens, const GenerateOptions& options = {});

  MemoryUse memory() const;
  /// Where the time of the steps went since the last reset, by shader, most first; empty on the
  /// CPU and without SessionOptions::profile.
  std::vector<Backend::Work> profile() const { return backend_->profile(); }
  void reset_profile() { backend_->reset_profile(); }
  /// What memory() of a session with these options would say.
  static MemoryUse predict_memory(const Model& model, const SessionOptions& options = {});

 private:
  struct Run;  // buffers of step()

  void check_sequence(std::size_t sequence) const;
  void check(std::span<const SequenceInput> inputs) const;
  void reserve(std::span<const SequenceInput> inputs);
  void choose_outputs(const SequenceInput& input, std::size_t begin, std::size_t end,
                      std::size_t first);
  Outputs step(std::span<const SequenceInput> inputs, std::size_t best, const LogitsSink* sink);
  Outputs run(std::span<const SequenceInput> inputs, std::size_t tokens, std::size_t rows,
              std::size_t best, const LogitsSink* sink);

  Model model_;
  SessionOptions options_;
  KvPages pages_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Run> run_;
};

}  // namespace brink

#endif  // BRINK_MODEL_SESSION_H_
