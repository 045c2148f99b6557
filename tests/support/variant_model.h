// Variants of a small reference model: the same file with metadata and tensors changed.
#ifndef BRINK_TESTS_SUPPORT_VARIANT_MODEL_H_
#define BRINK_TESTS_SUPPORT_VARIANT_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "brink/quant/format.h"

namespace brink::testing {

class VariantModel {
 public:
  explicit VariantModel(const std::string& base)
      : gguf_(std::make_shared<const Gguf>(Gguf::open(base))) {
    for (const GgufTensor& t : gguf_->tensors()) {
      const std::uint64_t* shape = t.shape.data();
      tensors_.push_back({std::string(t.name),
                          t.type,
                          {shape, shape + t.dimensions},
                          std::string(reinterpret_cast<const char*>(t.data), t.bytes)});
    }
  }

  const Gguf& base() const { return *gguf_; }

  /// `key` without "ARCHITECTURE." in front.
  template <class T>
  VariantModel& set(const std::string& key, T value) {
    return edit([key = full(key), value](GgufWriter& w) { w.set(key, value); });
  }
  template <class T>
  VariantModel& set_array(const std::string& key, std::vector<T> values) {
    return edit([key = full(key), values](GgufWriter& w) { w.set_array(key, values); });
  }
  VariantModel& erase(const std::string& key) {
    return edit([key = full(key)](GgufWriter& w) { w.erase(key); });
  }
  VariantModel& edit(std::function<void(GgufWriter&)> change) {
    edits_.push_back(std::move(change));
    return *this;
  }

  bool has(const std::string& name) const {
    return std::any_of(tensors_.begin(), tensors_.end(),
                       [&](const Tensor& t) { return t.name == name; });
  }

  std::vector<float> values(const std::string& name) {
    const Tensor& t = find(name);
    std::uint64_t count = 1;
    for (const std::uint64_t n : t.shape) count *= n;
    std::vector<float> decoded(count);
    format_of(t.type).decode(reinterpret_cast<const std::uint8_t*>(t.bytes.data()), decoded.data(),
                             decoded.size());
    return decoded;
  }

  VariantModel& remove(const std::string& name) {
    std::erase_if(tensors_, [&](const Tensor& t) { return t.name == name; });
    return *this;
  }

  VariantModel& put_bytes(const std::string& name, TensorType type,
                          std::vector<std::uint64_t> shape, std::string bytes) {
    remove(name);
    tensors_.push_back({name, type, std::move(shape), std::move(bytes)});
    return *this;
  }

  VariantModel& put(const std::string& name, std::vector<std::uint64_t> shape,
                    const std::vector<float>& values) {
    std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    return put_bytes(name, TensorType::kF32, std::move(shape), std::move(bytes));
  }

  /// Small pseudo-random values, different for every name.
  VariantModel& put_noise(const std::string& name, std::vector<std::uint64_t> shape, float size) {
    std::uint64_t count = 1;
    for (const std::uint64_t n : shape) count *= n;
    std::uint32_t state = static_cast<std::uint32_t>(std::hash<std::string>()(name)) | 1u;
    std::vector<float> values(count);
    for (float& v : values) {
      state = state * 1664525u + 1013904223u;
      v = size * (static_cast<float>(state >> 8) / 8388608.0f - 1.0f);
    }
    return put(name, std::move(shape), values);
  }

  /// Keeps the first `columns` of each row and the first `rows` rows of a matrix.
  VariantModel& crop(const std::string& name, std::uint64_t columns, std::uint64_t rows) {
    const std::uint64_t old = find(name).shape.at(0);
    const std::vector<float> all = values(name);
    std::vector<float> kept;
    for (std::uint64_t r = 0; r < rows; ++r)
      for (std::uint64_t c = 0; c < columns; ++c) kept.push_back(all.at(r * old + c));
    return put(name, {columns, rows}, kept);
  }

  /// Replaces `names` by one tensor with their rows one after the other.
  VariantModel& fuse(const std::vector<std::string>& names, const std::string& fused) {
    Tensor all = find(names.front());
    all.name = fused;
    for (std::size_t i = 1; i < names.size(); ++i) {
      const Tensor& next = find(names[i]);
      all.bytes += next.bytes;
      all.shape.back() += next.shape.back();
    }
    for (const std::string& name : names) remove(name);
    tensors_.push_back(std::move(all));
    return *this;
  }

  std::string write(const std::string& path) const {
    GgufWriter writer(path);
    writer.copy_metadata(*gguf_);
    for (const auto& change : edits_) change(writer);
    for (const Tensor& t : tensors_) writer.declare(t.name, t.type, t.shape);
    for (const Tensor& t : tensors_)
      writer.append(t.name, std::as_bytes(std::span(t.bytes.data(), t.bytes.size())));
    writer.finish();
    return path;
  }

 private:
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<std::uint64_t> shape;
    std::string bytes;
  };

  std::string full(const std::string& key) const {
    return std::string(gguf_->get_string("general.architecture").value()) + "." + key;
  }
  const Tensor& find(const std::string& name) const {
    for (const Tensor& t : tensors_)
      if (t.name == name) return t;
    throw std::runtime_error("no tensor " + name);
  }

  std::shared_ptr<const Gguf> gguf_;
  std::vector<Tensor> tensors_;
  std::vector<std::function<void(GgufWriter&)>> edits_;
};

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_VARIANT_MODEL_H_
