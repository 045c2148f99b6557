// A KV cache as the Vulkan shaders see it (shaders/kv.glsl), and the same in float64.
#ifndef BRINK_TESTS_SUPPORT_SHADER_CACHE_H_
#define BRINK_TESTS_SUPPORT_SHADER_CACHE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/cpu/ops_reference.h"
#include "tests/support/shader_test.h"

namespace brink::testing {

/// Shaders know the types by the same numbers.
using CacheType = KvType;

inline constexpr CacheType kCacheTypes[] = {CacheType::kF32, CacheType::kF16, CacheType::kQ8_0,
                                            CacheType::kQ4_0};

inline const char* name_of(CacheType type) {
  constexpr const char* kNames[] = {"f32", "f16", "q8_0", "q4_0"};
  return kNames[static_cast<u32>(type)];
}

inline bool in_blocks(CacheType type) { return kv_block(type) > 1; }

inline u32 cache_row_bytes(CacheType type, u32 dim) {
  return static_cast<u32>(kv_row_bytes(type, dim));
}

/// Stores a row as the CPU does.
inline void store_row(CacheType type, std::span<const float> x, std::uint8_t* row) {
  best_kernels().kv_store(x.data(), x.size(), type, row);
}

struct AttentionShape {
  u32 heads, kv_heads, k_dim, v_dim;
};

inline bool fits(CacheType type, const AttentionShape& shape) {
  return !in_blocks(type) || (shape.k_dim % 32 == 0 && shape.v_dim % 32 == 0);
}

/// What of a sequence is in a batch: `count` tokens from `position` on.
struct BatchPart {
  u32 position, count;
};

/// Pages of all sequences of a batch, in no order, as one of several layers. What was not stored is
/// bytes 0xFF: NaN as f32, as f16 and as the scale of a block.
class TestCache {
 public:
  /// `room`: positions that each sequence has pages for beyond its batch's.
  TestCache(const AttentionShape& shape, CacheType type, const std::vector<BatchPart>& batch,
            Random& random, u32 room = 0)
      : shape_(shape), type_(type), batch_(batch) {
    const auto align = [](u32 bytes) { return ceil_div(bytes, 64) * 64; };
    k_offset = 192;  // behind other layers, and before more
    v_offset = k_offset + align(shape.kv_heads * kPage * cache_row_bytes(type, shape.k_dim));
    page_bytes = v_offset + align(shape.kv_heads * kPage * cache_row_bytes(type, shape.v_dim)) + 64;
    u32 page_count = 3;  // of nobody
    for (const BatchPart& part : batch) {
      entries_.push_back(page_count - 3);
      for (u32 i = 0; i < part.count; ++i) {
        sequence_of_row_.push_back(static_cast<u32>(entries_.size() - 1));
        places.insert(places.end(), {entries_.back(), part.position + i});
      }
      page_count += ceil_div(part.position + part.count + room, kPage);
    }
    pages.resize(page_count);
    std::iota(pages.begin(), pages.end(), 0u);
    std::shuffle(pages.begin(), pages.end(), random.bits());
    pages.resize(page_count - 3);
    pool.assign(std::size_t{page_count} * page_bytes, 0xff);
  }

  u32 rows() const { return static_cast<u32>(sequence_of_row_.size()); }
  u32 position(u32 row) const { return places[2 * row + 1]; }
  u32 sequence_of(u32 row) const { return sequence_of_row_[row]; }
  const AttentionShape& shape() const { return shape_; }
  CacheType type() const { return type_; }

  /// Where the pool has the key (the value) of a sequence, a head, a position.
  std::size_t at(bool value, u32 sequence, u32 head, u32 position) const {
    return std::size_t{pages[entries_[sequence] + position / kPage]} * page_bytes +
           (value ? v_offset : k_offset) +
           (head * kPage + position % kPage) * std::size_t{cache_row_bytes(type_, dim(value))};
  }

  void store(bool value, u32 sequence, u32 head, u32 position, std::span<const float> x) {
    store_row(type_, x, &pool[at(value, sequence, head, position)]);
  }

  /// Normal numbers up to the last position of each part.
  void fill(Random& random, float key_size) {
    for (u32 s = 0; s < batch_.size(); ++s)
      for (u32 p = 0; p < batch_[s].position + batch_[s].count; ++p)
        for (u32 h = 0; h < shape_.kv_heads; ++h) {
          store(false, s, h, p, random.normal(shape_.k_dim, key_size));
          store(true, s, h, p, random.normal(shape_.v_dim));
        }
  }

  /// Attention of all rows at their `places` in float64: [rows][heads][v_dim]. Zeros where all
  /// scores are minus infinity.
  std::vector<double> attention(std::span<const float> q, float scale) const {
    const std::size_t k_dim = shape_.k_dim, v_dim = shape_.v_dim;
    const u32 group = shape_.heads / shape_.kv_heads;
    std::vector<double> result(rows() * shape_.heads * v_dim);
    std::vector<double> k, v, query(k_dim);
    for (u32 kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
      for (u32 row = 0; row < rows(); ++row) {
        if (row == 0 || sequence_of(row) != sequence_of(row - 1)) {
          u32 last = row;  // rows of a sequence ascend
          while (last + 1 < rows() && sequence_of(last + 1) == sequence_of(row)) ++last;
          decode(false, sequence_of(row), kv_head, position(last) + 1, k);
          decode(true, sequence_of(row), kv_head, position(last) + 1, v);
        }
        for (u32 h = kv_head * group; h < (kv_head + 1) * group; ++h) {
          const std::size_t at = std::size_t{row} * shape_.heads + h;
          const std::span<const float> from = q.subspan(at * k_dim, k_dim);
          query.assign(from.begin(), from.end());
          std::vector<double> scores(position(row) + 1);
          for (std::size_t j = 0; j < scores.size(); ++j)
            scores[j] = static_cast<double>(scale) *
                        std::inner_product(query.begin(), query.end(), &k[j * k_dim], 0.0);
          if (*std::max_element(scores.begin(), scores.end()) ==
              -std::numeric_limits<double>::infinity())
            continue;
          const std::vector<double> weights = reference::softmax(scores);
          double* const out = &result[at * v_dim];
          for (std::size_t j = 0; j < weights.size(); ++j)
            for (std::size_t i = 0; i < v_dim; ++i) out[i] += weights[j] * v[j * v_dim + i];
        }
      }
    }
    return result;
  }

  std::vector<u32> places;  ///< [rows] entry in `pages`, position
  std::vector<u32> pages;   ///< the page table
  std::vector<std::uint8_t> pool;
  u32 page_bytes, k_offset, v_offset;

 private:
  static constexpr u32 kPage = static_cast<u32>(kKvPage);

  u32 dim(bool value) const { return value ? shape_.v_dim : shape_.k_dim; }

  void decode(bool value, u32 sequence, u32 head, u32 count, std::vector<double>& to) const {
    to.resize(std::size_t{count} * dim(value));
    for (u32 p = 0; p < count; ++p) {
      const std::uint8_t* const row = &pool[at(value, sequence, head, p)];
      for (u32 i = 0; i < dim(value); ++i)
        to[std::size_t{p} * dim(value) + i] = reference::kv_value(type_, row, i);
    }
  }

  AttentionShape shape_;
  CacheType type_;
  std::vector<BatchPart> batch_;
  std::vector<u32> entries_;  // of sequences in `pages`
  std::vector<u32> sequence_of_row_;
};

/// A TestCache's tables and pool on the device.
struct DeviceCache {
  DeviceCache(vulkan::Device& device, const TestCache& cache)
      : places(device, cache.places), pages(device, cache.pages), pool(device, cache.pool) {}
  Uints places, pages;
  Guarded<std::uint8_t> pool;
};

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_SHADER_CACHE_H_
