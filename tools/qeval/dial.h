// What is quantized beside the weights, as lists on the command line: each measurement is made for
// every combination of them.
#ifndef BRINK_TOOLS_QEVAL_DIAL_H_
#define BRINK_TOOLS_QEVAL_DIAL_H_

#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/support/engine_options.h"
#include "tools/support/json.h"

namespace brink::tools {

/// Set by --activations, --kv-type, --calibrate, --scales and --percentile.
struct DialOptions {
  std::vector<Activations> activations;  // empty: f32 and q8
  std::vector<KvType> kv_types;          // empty: f32 with f32 activations, else f16
  std::string calibration;               // a text
  std::string scales;                    // a file that qeval calibrate wrote
  double percentile = 100;
  /// Control tokens in the calibration's text are tokens. Set it to what the text that is measured
  /// is read with, or true where the model is asked in chats.
  bool parse_special = false;
};
void add_dial_options(CLI::App& app, DialOptions& options);

struct DialSetting {
  Activations activations = Activations::kF32;
  KvType kv_type = KvType::kF32;
};

/// All combinations, in the order given: activations, and for each the types of the cache. Throws
/// UsageError when int8-tensor activations are among them and there is nothing to take scales from.
std::vector<DialSetting> settings_of(const DialOptions& options);

/// The settings, and the scales that int8-tensor activations need: read from a file, or found once
/// for each model.
class Dial {
 public:
  /// Reads the file or the text; throws Error.
  explicit Dial(const DialOptions& options);

  const std::vector<DialSetting>& settings() const { return settings_; }

  /// `session` with the setting, and with scales for this model where they are needed. Calibration
  /// shows its progress.
  SessionOptions apply(const DialSetting& setting, const Model& model, SessionOptions session);

  /// What besides the names of the settings makes a difference to a result, for keys of results:
  /// nothing but for int8-tensor; there a fingerprint of the scales, or of the text and how it is
  /// used. "" or 32 hexadecimal digits.
  std::string key(const DialSetting& setting) const;

 private:
  const DialOptions options_;
  const std::vector<DialSetting> settings_;
  std::string text_;
  std::string model_;  // whose scales these are
  ActivationScales scales_;
};

/// --calibrate uses windows of so many tokens, and at most so many of them.
inline constexpr std::size_t kCalibrationContext = 512;
inline constexpr std::size_t kCalibrationWindows = 128;

/// Scales as JSON: {"brink": "activation scales", ..., "scales": {"blk.0.attn_q.weight": 0.01}}.
void write_scales(const std::string& path, const ActivationScales& scales, const Json& about);
/// Throws Error naming the file, and the tensor where it is about one.
ActivationScales read_scales(const std::string& path);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_DIAL_H_
