// A transformer forward pass in float64, written for clarity and shared by no part of the engine:
// of brink it uses only the container reader and the scalar decoders. Metadata keys are read here
// anew, so that a mistake in the engine's reading of them shows too. It can simulate the roundings
// that brink documents: activations to all that there are, the KV cache to f16, q8_0 or q4_0.
#ifndef BRINK_TESTS_SUPPORT_FLOAT64_MODEL_H_
#define BRINK_TESTS_SUPPORT_FLOAT64_MODEL_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "brink/cpu/activations.h"
#include "brink/cpu/kernels.h"
#include "brink/gguf/reader.h"
#include "brink/quant/format.h"

namespace brink::testing {

using Vector = std::vector<double>;

/// Nearest number of `bits` significant bits, ties to even, no smaller step than `smallest`.
inline double round_to_bits(double x, int bits, double smallest) {
  if (x == 0.0 || !std::isfinite(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  const double step = std::max(std::ldexp(1.0, exponent - bits), smallest);
  return std::nearbyint(x / step) * step;
}

inline double round_bf16(double x) { return round_to_bits(x, 8, 0.0); }
inline double round_f16(double x) { return round_to_bits(x, 11, std::ldexp(1.0, -24)); }

/// Nearest number of FP8 E4M3: 4 significant bits, a step of 2^-9 or more, at most 448.
inline double round_e4m3(double x) {
  return std::clamp(round_to_bits(x, 4, std::ldexp(1.0, -9)), -448.0, 448.0);
}

/// x as FP8 times max|x| / 448.
inline Vector round_fp8(const Vector& x) {
  double most = 0.0;
  for (const double value : x) most = std::max(most, std::abs(value));
  const double scale = most / 448.0;
  Vector rounded(x.size());
  if (scale == 0.0) return rounded;
  for (std::size_t i = 0; i < x.size(); ++i) rounded[i] = scale * round_e4m3(x[i] / scale);
  return rounded;
}

/// x as int8 times a given scale.
inline Vector round_int8(const Vector& x, double scale) {
  Vector rounded(x.size());
  if (scale == 0.0) return rounded;
  for (std::size_t i = 0; i < x.size(); ++i)
    rounded[i] = scale * std::clamp(std::nearbyint(x[i] / scale), -127.0, 127.0);
  return rounded;
}

/// x as Q4_0: the value of the largest magnitude becomes -8 times the scale.
inline Vector round_q4(const Vector& x) {
  Vector rounded(x.size());
  for (std::size_t b = 0; b < x.size(); b += 32) {
    double most = 0.0;
    for (std::size_t i = b; i < b + 32; ++i)
      if (std::abs(x[i]) > std::abs(most)) most = x[i];
    const double scale = round_f16(most / -8.0);
    if (scale == 0.0) continue;
    for (std::size_t i = b; i < b + 32; ++i)
      rounded[i] = scale * std::clamp(std::nearbyint(x[i] / scale), -8.0, 7.0);
  }
  return rounded;
}

/// x as int8 times max|x| / 127 over each block.
inline Vector round_q8(const Vector& x, std::size_t block, bool f16_scale = false) {
  Vector rounded(x.size());
  for (std::size_t b = 0; b < x.size(); b += block) {
    double most = 0.0;
    for (std::size_t i = b; i < b + block; ++i) most = std::max(most, std::abs(x[i]));
    const double scale = f16_scale ? round_f16(most / 127.0) : most / 127.0;
    if (scale == 0.0) continue;
    for (std::size_t i = b; i < b + block; ++i)
      rounded[i] = scale * std::clamp(std::nearbyint(x[i] / scale), -127.0, 127.0);
  }
  return rounded;
}

class Float64Model {
 public:
  struct Rounding {
    Activations activations = Activations::kF32;
    KvType kv = KvType::kF32;
    std::map<std::string, double> scales = {};  ///< for kInt8Tensor, by tensor without ".weight"
  };

  explicit Float64Model(const Gguf& gguf, std::size_t context = 4096) : gguf_(gguf) {
    architecture_ = std::string(gguf.get_string("general.architecture").value());
    layers_ = integer("block_count", 0);
    width_ = integer("embedding_length", 0);
    epsilon_ = number("attention.layer_norm_rms_epsilon", -1.0);
    const std::size_t head = width_ / per_layer("attention.head_count", 0, 0);
    key_ = integer("attention.key_length", head);
    value_ = integer("attention.value_length", head);
    scale_ = number("attention.scale", 0.0);
    if (scale_ == 0.0) scale_ = 1.0 / std::sqrt(static_cast<double>(key_));
    experts_ = integer("expert_count", 0);
    read_rope(context);
  }

  std::size_t vocabulary() { return matrix("token_embd").rows; }

  /// Told what every matrix is multiplied with: its tensor, without ".weight", and its number in
  /// the tensor.
  std::function<void(const std::string& tensor, std::size_t expert, const Vector& x)> on_input;

  /// Logits [tokens][vocabulary] of one sequence from position 0.
  Vector logits(std::span<const std::int32_t> tokens, Rounding rounding) {
    rounding_ = rounding;
    const Matrix& embedding = matrix("token_embd");
    std::vector<Vector> x(tokens.size());
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const float* row = embedding.values.data() + static_cast<std::size_t>(tokens[t]) * width_;
      x[t].assign(row, row + width_);
    }
    for (std::size_t layer = 0; layer < layers_; ++layer) {
      attention(layer, x);
      for (Vector& row : x) feed_forward(layer, row);
    }
    const bool tied = gguf_.find_tensor("output.weight") == nullptr;
    Vector all;
    for (const Vector& row : x) {
      Vector y = multiply(matrix(tied ? "token_embd" : "output"), norm(row, "output_norm.weight"));
      add(y, vector("output.bias"));
      all.insert(all.end(), y.begin(), y.end());
    }
    return all;
  }

 private:
  struct Matrix {
    std::string tensor;
    std::size_t expert = 0;
    std::size_t rows = 0, columns = 0;
    std::size_t q8_block = 0;
    std::vector<float> values;
    double scale = 1.0;
  };

  std::string key(const std::string& name) const { return architecture_ + "." + name; }
  std::size_t integer(const std::string& name, std::size_t fallback) const {
    return static_cast<std::size_t>(gguf_.get_uint(key(name)).value_or(fallback));
  }
  double number(const std::string& name, double fallback) const {
    return gguf_.get_float(key(name)).value_or(fallback);
  }
  std::size_t per_layer(const std::string& name, std::size_t layer, std::size_t fallback) const {
    const GgufValue* value = gguf_.find(key(name));
    if (value == nullptr) return fallback;
    if (!value->is_array()) return static_cast<std::size_t>(value->as_uint().value());
    return static_cast<std::size_t>(value->ints().at(layer));
  }

  static std::vector<float> decode(const GgufTensor& tensor) {
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    format_of(tensor.type)
        .decode(reinterpret_cast<const std::uint8_t*>(tensor.data), values.data(), values.size());
    return values;
  }

  /// Empty when absent.
  const Vector& vector(const std::string& name) {
    const auto found = vectors_.find(name);
    if (found != vectors_.end()) return found->second;
    Vector values;
    if (const GgufTensor* tensor = gguf_.find_tensor(name)) {
      const std::vector<float> decoded = decode(*tensor);
      values.assign(decoded.begin(), decoded.end());
    }
    return vectors_[name] = values;
  }

  /// `expert` selects a slice of a tensor of three dimensions.
  const Matrix& matrix(const std::string& base, std::size_t expert = 0) {
    const std::string name = base + "#" + std::to_string(expert);
    const auto found = matrices_.find(name);
    if (found != matrices_.end()) return found->second;
    const GgufTensor* tensor = gguf_.find_tensor(base + ".weight");
    if (tensor == nullptr) throw std::runtime_error("no tensor " + base);
    Matrix m;
    m.tensor = base;
    m.expert = expert;
    m.columns = static_cast<std::size_t>(tensor->shape[0]);
    m.rows = static_cast<std::size_t>(tensor->shape[1]);
    m.q8_block = format_of(tensor->type).q8_block;
    const std::vector<float> all = decode(*tensor);
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(expert * m.rows * m.columns);
    m.values.assign(first, first + static_cast<std::ptrdiff_t>(m.rows * m.columns));
    if (const Vector& scale = vector(base + ".scale"); !scale.empty()) m.scale = scale.at(expert);
    return matrices_[name] = m;
  }

  Vector multiply(const Matrix& m, const Vector& x) const {
    if (on_input) on_input(m.tensor, m.expert, x);
    Vector input = x;
    if (rounding_.activations == Activations::kQ8 && m.q8_block != 0)
      input = round_q8(x, m.q8_block);
    // Routers and the output are left alone.
    if (m.tensor.find("gate_inp") == std::string::npos && m.tensor.starts_with("blk.")) {
      if (rounding_.activations == Activations::kInt8Token) input = round_q8(x, x.size());
      if (rounding_.activations == Activations::kInt8Tensor)
        input = round_int8(x, rounding_.scales.at(m.tensor));
      if (rounding_.activations == Activations::kFp8) input = round_fp8(x);
    }
    const bool bf16 = rounding_.activations == Activations::kBf16;
    if (bf16)
      for (double& value : input) value = round_bf16(value);
    Vector y(m.rows);
    for (std::size_t r = 0; r < m.rows; ++r) {
      const float* w = m.values.data() + r * m.columns;
      double sums[4] = {};
      for (std::size_t c = 0; c < m.columns; ++c) {
        const double weight = static_cast<double>(w[c]);
        sums[c % 4] += (bf16 ? round_bf16(weight) : weight) * input[c];
      }
      y[r] = (sums[0] + sums[1] + sums[2] + sums[3]) * m.scale;
    }
    return y;
  }

  static void add(Vector& x, const Vector& y) {
    for (std::size_t i = 0; i < y.size(); ++i) x[i] += y[i];
  }

  Vector normalised(std::span<const double> x, const Vector& weight) const {
    double squares = 0.0;
    for (const double value : x) squares += value * value;
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + epsilon_);
    Vector y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * factor * weight.at(i);
    return y;
  }

  Vector norm(const Vector& x, const std::string& name) { return normalised(x, vector(name)); }

  static double silu(double v) { return v / (1.0 + std::exp(-v)); }

  // --- Rotary positions ------------------------------------------------------------------------
  void read_rope(std::size_t context) {
    rotated_ = integer("rope.dimension_count", key_);
    const double base = number("rope.freq_base", 10000.0);
    double factor = number("rope.scaling.factor", number("rope.scale_linear", 1.0));
    const std::string type(gguf_.get_string(key("rope.scaling.type")).value_or("linear"));
    if (type == "none") factor = 1.0;
    const double original = static_cast<double>(
        integer("rope.scaling.original_context_length", integer("context_length", 0)));
    Vector divisors = vector("rope_freqs.weight");
    if (divisors.empty() && type == "longrope")
      divisors = vector(static_cast<double>(context) > original ? "rope_factors_long.weight"
                                                                : "rope_factors_short.weight");
    magnitude_ = number("rope.scaling.attn_factor", 1.0);
    const bool yarn = type == "yarn";
    const double n = static_cast<double>(rotated_);
    double low = 0.0, high = 0.0, extrapolation = 0.0;
    if (yarn) {
      const auto dimension = [&](double turns) {
        return n * std::log(original / (turns * 2.0 * M_PI)) / (2.0 * std::log(base));
      };
      low = std::max(0.0, std::floor(dimension(number("rope.scaling.yarn_beta_fast", 32.0))));
      high = std::min(n - 1.0, std::ceil(dimension(number("rope.scaling.yarn_beta_slow", 1.0))));
      extrapolation = number("rope.scaling.yarn_ext_factor", 1.0);
      magnitude_ *= number("rope.scaling.yarn_attn_factor", 1.0);
      const auto mscale = [&](double m) {
        return factor <= 1 ? 1 : 0.1 * m * std::log(factor) + 1;
      };
      if (extrapolation != 0.0) {
        magnitude_ *= mscale(1.0);
        const double m = number("rope.scaling.yarn_log_multiplier", 0.0);
        if (m != 0.0) magnitude_ /= mscale(m);
      }
    }
    for (std::size_t i = 0; i < rotated_ / 2; ++i) {
      const double frequency = std::pow(base, -2.0 * static_cast<double>(i) / n) /
                               (divisors.empty() ? 1.0 : divisors.at(i));
      double mix = 0.0;
      if (yarn) {
        const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
        mix = (1.0 - std::min(1.0, std::max(0.0, ramp))) * extrapolation;
      }
      frequencies_.push_back(frequency / factor * (1.0 - mix) + frequency * mix);
    }
  }

  void rotate(double* head, std::size_t position) const {
    const bool neox = architecture_ != "llama";
    const std::size_t half = rotated_ / 2;
    for (std::size_t i = 0; i < half; ++i) {
      double& a = neox ? head[i] : head[2 * i];
      double& b = neox ? head[half + i] : head[2 * i + 1];
      const double angle = static_cast<double>(position) * frequencies_[i];
      const double c = std::cos(angle) * magnitude_, s = std::sin(angle) * magnitude_;
      const double turned = a * c - b * s;
      b = a * s + b * c;
      a = turned;
    }
  }

  Vector cached(std::span<const double> head) const {
    Vector row(head.begin(), head.end());
    if (rounding_.kv == KvType::kF16)
      for (double& value : row) value = round_f16(value);
    if (rounding_.kv == KvType::kQ4_0) return round_q4(row);
    return rounding_.kv == KvType::kQ8_0 ? round_q8(row, 32, true) : row;
  }

  // --- Layers ----------------------------------------------------------------------------------
  void attention(std::size_t layer, std::vector<Vector>& x) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    const std::size_t heads = per_layer("attention.head_count", layer, 0);
    const std::size_t kv_heads = per_layer("attention.head_count_kv", layer, heads);
    const std::size_t q_size = heads * key_, k_size = kv_heads * key_, v_size = kv_heads * value_;
    const bool fused = gguf_.find_tensor(block + "attn_qkv.weight") != nullptr;
    const auto begin_end = [](const Vector& v, std::size_t from, std::size_t count) {
      const auto first = v.begin() + static_cast<std::ptrdiff_t>(from);
      return Vector(first, first + static_cast<std::ptrdiff_t>(count));
    };
    std::vector<std::vector<Vector>> keys(kv_heads), values(kv_heads);  // [kv head][position]
    for (std::size_t t = 0; t < x.size(); ++t) {
      const Vector n = norm(x[t], block + "attn_norm.weight");
      Vector q, k, v;
      if (fused) {
        Vector all = multiply(matrix(block + "attn_qkv"), n);
        add(all, vector(block + "attn_qkv.bias"));
        q = begin_end(all, 0, q_size);
        k = begin_end(all, q_size, k_size);
        v = begin_end(all, q_size + k_size, v_size);
      } else {
        q = multiply(matrix(block + "attn_q"), n);
        k = multiply(matrix(block + "attn_k"), n);
        v = multiply(matrix(block + "attn_v"), n);
        add(q, vector(block + "attn_q.bias"));
        add(k, vector(block + "attn_k.bias"));
        add(v, vector(block + "attn_v.bias"));
      }
      const auto turn = [&](Vector& all, std::size_t h, const std::string& norm_name) {
        double* head = all.data() + h * key_;
        if (const Vector& weight = vector(norm_name); !weight.empty()) {
          const Vector n_head = normalised({head, key_}, weight);
          std::copy(n_head.begin(), n_head.end(), head);
        }
        rotate(head, t);
      };
      for (std::size_t h = 0; h < kv_heads; ++h) {
        turn(k, h, block + "attn_k_norm.weight");
        keys[h].push_back(cached({k.data() + h * key_, key_}));
        values[h].push_back(cached({v.data() + h * value_, value_}));
      }
      Vector attended(heads * value_);
      for (std::size_t h = 0; h < heads; ++h) {
        turn(q, h, block + "attn_q_norm.weight");
        const std::size_t kv = h / (heads / kv_heads);
        Vector scores(t + 1);
        for (std::size_t p = 0; p <= t; ++p)
          scores[p] = scale_ * std::inner_product(keys[kv][p].begin(), keys[kv][p].end(),
                                                  q.data() + h * key_, 0.0);
        const double most = *std::max_element(scores.begin(), scores.end());
        double sum = 0.0;
        for (double& s : scores) sum += s = std::exp(s - most);
        for (std::size_t p = 0; p <= t; ++p)
          for (std::size_t i = 0; i < value_; ++i)
            attended[h * value_ + i] += scores[p] / sum * values[kv][p][i];
      }
      add(x[t], multiply(matrix(block + "attn_output"), attended));
      add(x[t], vector(block + "attn_output.bias"));
    }
  }

  Vector swiglu(const Matrix& gate_matrix, const Vector& gate_bias, const Matrix& up_matrix,
                const Vector& up_bias, const Matrix& down, const Vector& n) const {
    Vector gate = multiply(gate_matrix, n);
    Vector up = multiply(up_matrix, n);
    add(gate, gate_bias);
    add(up, up_bias);
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = silu(gate[i]) * up[i];
    return multiply(down, gate);
  }

  void feed_forward(std::size_t layer, Vector& x) {
    const std::string block = "blk." + std::to_string(layer) + ".ffn_";
    const Vector n = norm(x, block + "norm.weight");
    if (experts_ == 0) {
      add(x, swiglu(matrix(block + "gate"), vector(block + "gate.bias"), matrix(block + "up"),
                    vector(block + "up.bias"), matrix(block + "down"), n));
      add(x, vector(block + "down.bias"));
      return;
    }
    Vector p = multiply(matrix(block + "gate_inp"), n);
    const double most = *std::max_element(p.begin(), p.end());
    double total = 0.0;
    for (double& value : p) total += value = std::exp(value - most);
    for (double& value : p) value /= total;
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
    order.resize(integer("expert_used_count", 0));
    const bool normalise =
        gguf_.get_bool(key("expert_weights_norm")).value_or(architecture_ != "qwen2moe");
    double chosen = 0.0;
    for (const std::size_t e : order) chosen += p[e];
    double factor = number("expert_weights_scale", 1.0);
    if (factor == 0.0) factor = 1.0;
    if (normalise) factor /= chosen;
    for (const std::size_t e : order) {
      const Vector y = swiglu(matrix(block + "gate_exps", e), {}, matrix(block + "up_exps", e), {},
                              matrix(block + "down_exps", e), n);
      for (std::size_t i = 0; i < y.size(); ++i) x[i] += p[e] * factor * y[i];
    }
    if (gguf_.find_tensor(block + "gate_inp_shexp.weight") == nullptr) return;
    const double z = multiply(matrix(block + "gate_inp_shexp"), n).at(0);
    const Vector y = swiglu(matrix(block + "gate_shexp"), {}, matrix(block + "up_shexp"), {},
                            matrix(block + "down_shexp"), n);
    for (std::size_t i = 0; i < y.size(); ++i) x[i] += y[i] / (1.0 + std::exp(-z));
  }

  const Gguf& gguf_;
  std::string architecture_;
  std::size_t layers_ = 0, width_ = 0, key_ = 0, value_ = 0, experts_ = 0, rotated_ = 0;
  double epsilon_ = 0.0, scale_ = 0.0, magnitude_ = 1.0;
  Vector frequencies_;  // radians per position, per pair
  Rounding rounding_;
  std::map<std::string, Matrix> matrices_;
  std::map<std::string, Vector> vectors_;
};

/// |a - b| / |b| in the 2-norm.
template <class A, class B>
double relative_distance(const A& a, const B& b) {
  if (a.size() != b.size()) throw std::runtime_error("sizes differ");
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    size += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference / size);
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_FLOAT64_MODEL_H_
