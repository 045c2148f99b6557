#include "tools/qeval/dial.h"

#include <algorithm>
#include <fstream>
#include <span>
#include <string>

#include "brink/core/fingerprint.h"
#include "tools/qeval/report.h"
#include "tools/support/cli.h"
#include "tools/support/engine_options.h"
#include "tools/support/output_file.h"
#include "tools/support/text_file.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

constexpr const char* kFileKind = "activation scales";

ActivationScales parse_scales(const std::string& path, const std::string& text) {
  const Json json = parse_json_if_any(text);
  if (!json.is_object() || !json.contains("brink") || json["brink"] != kFileKind ||
      !json.contains("scales") || !json["scales"].is_object())
    throw Error("is no file of activation scales (qeval calibrate writes them)", {.file = path});
  ActivationScales scales;
  for (const auto& [tensor, scale] : json["scales"].items()) {
    if (!scale.is_number()) throw Error("the scale is no number", {path, tensor, {}});
    scales[tensor] = scale.get<float>();
  }
  return scales;
}

}  // namespace

void add_dial_options(CLI::App& app, DialOptions& options) {
  add_rounding_lists(app, options.activations, options.kv_types);
  CLI::Option* calibrate =
      app.add_option(
             "--calibrate", options.calibration,
             "Text on whose first 65536 tokens the static scales of int8-tensor activations\n"
             "are found, for each model by itself")
          ->option_text("TEXT");
  app.add_option("--scales", options.scales, "Scales that qeval calibrate wrote, for all models")
      ->excludes(calibrate)
      ->option_text("FILE");
  app.add_option("--percentile", options.percentile,
                 "With --calibrate: what so many percent of the values do not exceed becomes the\n"
                 "largest int8, and values beyond saturate")
      ->check(number_from(0, 100))
      ->needs(calibrate)
      ->option_text("P (default: 100, the largest value)");
}

std::vector<DialSetting> settings_of(const DialOptions& options) {
  std::vector<Activations> activations = options.activations;
  if (activations.empty()) activations = {Activations::kF32, Activations::kQ8};
  std::vector<DialSetting> settings;
  for (const Activations how : activations) {
    std::vector<KvType> kv_types = options.kv_types;
    if (kv_types.empty()) kv_types = {how == Activations::kF32 ? KvType::kF32 : KvType::kF16};
    for (const KvType kv_type : kv_types) settings.push_back({how, kv_type});
  }
  if (std::ranges::find(activations, Activations::kInt8Tensor) != activations.end() &&
      options.calibration.empty() && options.scales.empty())
    throw UsageError("--activations int8-tensor needs --calibrate TEXT or --scales FILE");
  return settings;
}

Dial::Dial(const DialOptions& options) : options_(options), settings_(settings_of(options)) {
  if (!options.scales.empty())
    scales_ = read_scales(options.scales);
  else if (!options.calibration.empty())
    text_ = read_text(options.calibration);
}

SessionOptions Dial::apply(const DialSetting& setting, const Model& model, SessionOptions session) {
  session.activations = setting.activations;
  session.kv_type = setting.kv_type;
  if (setting.activations != Activations::kInt8Tensor) return session;
  if (options_.scales.empty() && model_ != model.gguf().path()) {
    TextOptions text;
    text.text = options_.calibration;
    text.context = kCalibrationContext;
    text.most_windows = kCalibrationWindows;
    text.parse_special = options_.parse_special;
    const TokenWindows windows = windows_of(model, text_, text);
    WindowProgress progress("calibration", windows);
    progress.on_window()(0);
    scales_ = naming(model.gguf().path(), [&] {
      return calibrate_activations(model, windows, session, options_.percentile,
                                   progress.on_window());
    });
    progress.finish();
    model_ = model.gguf().path();
  }
  session.activation_scales = scales_;
  return session;
}

std::string Dial::key(const DialSetting& setting) const {
  if (setting.activations != Activations::kInt8Tensor) return "";
  Fingerprint key;
  if (options_.scales.empty()) {
    key.add(text_);
    key.add(std::as_bytes(std::span(&options_.percentile, 1)));
    if (options_.parse_special) key.add("special");
  }
  for (const auto& [tensor, scale] : options_.scales.empty() ? ActivationScales() : scales_) {
    key.add(tensor);
    key.add(std::as_bytes(std::span(&scale, 1)));
  }
  return key.hex();
}

void write_scales(const std::string& path, const ActivationScales& scales, const Json& about) {
  Json json = {{"brink", kFileKind}};
  json.update(about);
  for (const auto& [tensor, scale] : scales) json["scales"][tensor] = scale;
  OutputFile file(path);
  const std::string text = to_text(json, 1);
  file.write(std::as_bytes(std::span(text)));
  file.close();
}

ActivationScales read_scales(const std::string& path) {
  return parse_scales(path, read_text(path));
}

}  // namespace brink::tools
