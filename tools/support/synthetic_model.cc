#include "tools/support/synthetic_model.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <numbers>
#include <string>
#include <system_error>
#include <vector>

#include "brink/core/error.h"
#include "brink/core/progress.h"
#include "brink/gguf/writer.h"
#include "brink/quant/format.h"
#include "brink/text/unicode.h"
#include "tools/support/synthetic_blocks.h"

namespace brink::tools {
namespace {

namespace fs = std::filesystem;

// Part of every file name: another number whenever the contents change, so that a cache never
// serves files of an older version.
constexpr std::string_view kSuffix = ".synthetic1.gguf";

// Sizes as in the models' published config.json.
constexpr SyntheticShape kShapes[] = {
    {.name = "llama-3.2-1b",
     .architecture = "llama",
     .layers = 16,
     .width = 2048,
     .ffn = 8192,
     .heads = 32,
     .kv_heads = 8,
     .head_dim = 64,
     .vocabulary = 128256,
     .context = 131072,
     .tied_output = true,
     .qkv_bias = false,
     .qk_norm = false,
     .rope_base = 500000,
     .rope_factor = 32,
     .norm_epsilon = 1e-5f,
     .tokenizer_pre = "llama-bpe",
     .bos = 128000,
     .eos = 128009,
     .add_bos = true},
    {.name = "llama-3.1-8b",
     .architecture = "llama",
     .layers = 32,
     .width = 4096,
     .ffn = 14336,
     .heads = 32,
     .kv_heads = 8,
     .head_dim = 128,
     .vocabulary = 128256,
     .context = 131072,
     .tied_output = false,
     .qkv_bias = false,
     .qk_norm = false,
     .rope_base = 500000,
     .rope_factor = 8,
     .norm_epsilon = 1e-5f,
     .tokenizer_pre = "llama-bpe",
     .bos = 128000,
     .eos = 128009,
     .add_bos = true},
    {.name = "qwen2.5-0.5b",
     .architecture = "qwen2",
     .layers = 24,
     .width = 896,
     .ffn = 4864,
     .heads = 14,
     .kv_heads = 2,
     .head_dim = 64,
     .vocabulary = 151936,
     .context = 32768,
     .tied_output = true,
     .qkv_bias = true,
     .qk_norm = false,
     .rope_base = 1000000,
     .rope_factor = 0,
     .norm_epsilon = 1e-6f,
     .tokenizer_pre = "qwen2",
     .bos = 151643,
     .eos = 151645,
     .add_bos = false},
    {.name = "qwen3-0.6b",
     .architecture = "qwen3",
     .layers = 28,
     .width = 1024,
     .ffn = 3072,
     .heads = 16,
     .kv_heads = 8,
     .head_dim = 128,
     .vocabulary = 151936,
     .context = 40960,
     .tied_output = true,
     .qkv_bias = false,
     .qk_norm = true,
     .rope_base = 1000000,
     .rope_factor = 0,
     .norm_epsilon = 1e-6f,
     .tokenizer_pre = "qwen2",
     .bos = 151643,
     .eos = 151645,
     .add_bos = false},
};

enum class Fill { kWeights, kNorm, kBias, kRopeFactors };

struct Tensor {
  std::string name;
  TensorType type;
  std::vector<std::uint64_t> shape;
  Fill fill;
};

std::vector<Tensor> tensors_of(const SyntheticShape& s, const Mix& mix) {
  MixModel model;
  model.layers = s.layers;
  model.heads = s.heads;
  model.kv_heads = s.kv_heads;
  model.tied_output = s.tied_output;
  std::vector<Tensor> tensors;
  const auto matrix = [&](std::string name, std::uint64_t columns, std::uint64_t rows) {
    const TensorType type = mixed_type(mix, model, name, columns);
    tensors.push_back({std::move(name), type, {columns, rows}, Fill::kWeights});
  };
  const auto vector = [&](std::string name, std::uint64_t size, Fill fill) {
    tensors.push_back({std::move(name), TensorType::kF32, {size}, fill});
  };
  const std::uint64_t q = std::uint64_t{s.heads} * s.head_dim;
  const std::uint64_t kv = std::uint64_t{s.kv_heads} * s.head_dim;
  matrix("token_embd.weight", s.width, s.vocabulary);
  vector("output_norm.weight", s.width, Fill::kNorm);
  if (!s.tied_output) matrix("output.weight", s.width, s.vocabulary);
  if (s.rope_factor > 0) vector("rope_freqs.weight", s.head_dim / 2, Fill::kRopeFactors);
  for (std::uint32_t layer = 0; layer < s.layers; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    vector(block + "attn_norm.weight", s.width, Fill::kNorm);
    matrix(block + "attn_q.weight", s.width, q);
    matrix(block + "attn_k.weight", s.width, kv);
    matrix(block + "attn_v.weight", s.width, kv);
    matrix(block + "attn_output.weight", q, s.width);
    if (s.qkv_bias) {
      vector(block + "attn_q.bias", q, Fill::kBias);
      vector(block + "attn_k.bias", kv, Fill::kBias);
      vector(block + "attn_v.bias", kv, Fill::kBias);
    }
    if (s.qk_norm) {
      vector(block + "attn_q_norm.weight", s.head_dim, Fill::kNorm);
      vector(block + "attn_k_norm.weight", s.head_dim, Fill::kNorm);
    }
    vector(block + "ffn_norm.weight", s.width, Fill::kNorm);
    matrix(block + "ffn_gate.weight", s.width, s.ffn);
    matrix(block + "ffn_up.weight", s.width, s.ffn);
    matrix(block + "ffn_down.weight", s.ffn, s.width);
  }
  return tensors;
}

// Byte-level BPE needs a printable character for each byte (GPT-2's table): printable Latin-1 as it
// is, the rest in order from U+0100 on.
std::array<std::string, 256> byte_tokens() {
  std::array<std::string, 256> tokens;
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    unicode::append(tokens[byte], printable ? byte : next++);
  }
  return tokens;
}

// A vocabulary of the right size: the bytes, one merge (loaders ask for some), then words that no
// text is split into but that can be read when generated, then the control tokens.
void set_vocabulary(GgufWriter& writer, const SyntheticShape& s) {
  constexpr std::int32_t kNormal = 1, kControl = 3;
  const auto bytes = byte_tokens();
  std::vector<std::string> tokens(bytes.begin(), bytes.end());
  std::vector<std::int32_t> types(s.vocabulary, kNormal);
  tokens.reserve(s.vocabulary);
  const std::string space = bytes[' '];
  tokens.push_back(space + "t");
  for (std::size_t id = tokens.size(); id < s.vocabulary; ++id) {
    const bool control = id >= std::min(s.bos, s.eos);
    tokens.push_back(control ? "<|special_" + std::to_string(id) + "|>"
                             : space + "w" + std::to_string(id));
    if (control) types[id] = kControl;
  }
  writer.set("tokenizer.ggml.model", "gpt2");
  writer.set("tokenizer.ggml.pre", s.tokenizer_pre);
  writer.set_array("tokenizer.ggml.tokens", tokens);
  writer.set_array("tokenizer.ggml.token_type", types);
  writer.set_array("tokenizer.ggml.merges", std::vector<std::string>{space + " t"});
  writer.set("tokenizer.ggml.bos_token_id", s.bos);
  writer.set("tokenizer.ggml.eos_token_id", s.eos);
  writer.set("tokenizer.ggml.add_bos_token", s.add_bos);
}

void set_metadata(GgufWriter& writer, const SyntheticShape& s, const Mix& mix) {
  const std::string prefix = std::string(s.architecture) + ".";
  writer.set("general.architecture", s.architecture);
  writer.set("general.name", std::string(s.name) + " (synthetic)");
  writer.set("general.description", "Random weights in the shape of a published model");
  if (mix.file_type) writer.set("general.file_type", *mix.file_type);
  writer.set("general.quantization_version", std::uint32_t{2});
  writer.set(prefix + "block_count", s.layers);
  writer.set(prefix + "context_length", s.context);
  writer.set(prefix + "embedding_length", s.width);
  writer.set(prefix + "feed_forward_length", s.ffn);
  writer.set(prefix + "attention.head_count", s.heads);
  writer.set(prefix + "attention.head_count_kv", s.kv_heads);
  writer.set(prefix + "attention.key_length", s.head_dim);
  writer.set(prefix + "attention.value_length", s.head_dim);
  writer.set(prefix + "attention.layer_norm_rms_epsilon", s.norm_epsilon);
  writer.set(prefix + "rope.freq_base", s.rope_base);
  writer.set(prefix + "rope.dimension_count", s.head_dim);
  writer.set(prefix + "vocab_size", s.vocabulary);
  set_vocabulary(writer, s);
}

// Llama 3's scaling of rotary frequencies, as divisors (huggingface transformers,
// modeling_rope_utils: low_freq_factor 1, high_freq_factor 4, original context 8192).
std::vector<float> rope_factors(const SyntheticShape& s) {
  constexpr double kLow = 1, kHigh = 4, kContext = 8192;
  std::vector<float> factors;
  for (std::uint32_t i = 0; i < s.head_dim; i += 2) {
    const double wavelength =
        2 * std::numbers::pi * std::pow(double{s.rope_base}, static_cast<double>(i) / s.head_dim);
    double factor = 1;
    if (wavelength > kContext / kLow) {
      factor = double{s.rope_factor};
    } else if (wavelength > kContext / kHigh) {
      const double smooth = (kContext / wavelength - kLow) / (kHigh - kLow);
      factor = 1 / ((1 - smooth) / double{s.rope_factor} + smooth);
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

// Norm weights near 1, biases near 0.
std::vector<float> small_vector(const SyntheticShape& s, const Tensor& tensor, Random& random) {
  if (tensor.fill == Fill::kRopeFactors) return rope_factors(s);
  std::vector<float> values(tensor.shape[0]);
  for (float& value : values) {
    const double unit = static_cast<double>(random.next() >> 11) * 0x1p-53 - 0.5;
    value = static_cast<float>((tensor.fill == Fill::kNorm ? 1.0 : 0.0) + 0.2 * unit);
  }
  return values;
}

void write_tensor(GgufWriter& writer, const SyntheticShape& shape, const Tensor& tensor,
                  std::uint64_t seed, Progress& progress) {
  if (tensor.fill != Fill::kWeights) {
    Random random(seed);
    const std::vector<float> values = small_vector(shape, tensor, random);
    writer.append(tensor.name, std::as_bytes(std::span(values)));
    progress.add(values.size() * sizeof(float));
    return;
  }
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  const std::size_t block = size_of(tensor.type).block_bytes;
  BlockFiller filler(tensor.type, 1 / std::sqrt(static_cast<double>(tensor.shape[0])), seed);
  std::uint64_t left = row_bytes(tensor.type, tensor.shape[0]) * tensor.shape[1];
  std::vector<std::uint8_t> buffer(std::min<std::uint64_t>(left, kPiece / block * block));
  while (left > 0) {
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(left, buffer.size()));
    filler.fill(piece);
    writer.append(tensor.name, std::as_bytes(piece));
    progress.add(piece.size());
    left -= piece.size();
  }
}

// Makes the system read the file again. Written bytes lie in its cache in small pages, read ones in
// huge pages where it has them, as those of a model do that was not written a moment ago.
void drop_cached(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
}

}  // namespace

std::span<const SyntheticShape> synthetic_shapes() { return kShapes; }

const SyntheticShape& find_shape(std::string_view name) {
  std::string known;
  for (const SyntheticShape& shape : kShapes) {
    if (shape.name == name) return shape;
    known += (known.empty() ? "" : ", ") + std::string(shape.name);
  }
  throw Error("no synthetic model '" + std::string(name) + "'; there are " + known);
}

std::string default_cache_folder() {
  // An empty variable counts as unset (XDG base directory specification).
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0)
    return (fs::path(cache) / "brink").string();
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0)
    return (fs::path(home) / ".cache" / "brink").string();
  throw Error("neither XDG_CACHE_HOME nor HOME is set: name a folder with --cache-dir");
}

std::string synthetic_model(const SyntheticShape& shape, const Mix& mix, const std::string& folder,
                            bool silent) {
  std::string file = std::string(shape.name) + "-" + mix.name + std::string(kSuffix);
  std::replace(file.begin(), file.end(), ':', '-');
  const std::string path = (fs::path(folder) / file).string();
  if (fs::exists(path)) return path;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error("cannot create the folder: " + error.message(), {.file = folder});

  GgufWriter writer(path);
  set_metadata(writer, shape, mix);
  const std::vector<Tensor> tensors = tensors_of(shape, mix);
  for (const Tensor& tensor : tensors) writer.declare(tensor.name, tensor.type, tensor.shape);
  if (fs::space(folder, error).available < writer.data_bytes() && !error)
    throw Error("not enough space for " + std::to_string(writer.data_bytes() >> 20) + " MiB",
                {.file = path});
  Progress progress("building " + file, writer.data_bytes(),
                    {.unit = ProgressUnit::kBytes, .silent = silent});
  // Seeded by position, so that a type changes only its own tensors.
  std::uint64_t seed = 1;
  for (const Tensor& tensor : tensors) write_tensor(writer, shape, tensor, seed++, progress);
  writer.finish();
  progress.finish();
  drop_cached(path);
  return path;
}

std::uint64_t delete_synthetic_models(const std::string& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  if (!fs::exists(folder, error)) return 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || !name.ends_with(".gguf") ||
        name.find(".synthetic") == std::string::npos)
      continue;
    bytes += entry.file_size();
    fs::remove(entry.path());
  }
  return bytes;
}

}  // namespace brink::tools
