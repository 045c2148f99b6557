// Definitions of mixes.h: the rules as a table.
#ifndef BRINK_QUANT_MIXES_IMPL_H_
#define BRINK_QUANT_MIXES_IMPL_H_

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/gguf/tensor_types.h"
#include "brink/quant/mixes.h"

namespace brink {
namespace mixes_detail {

using T = TensorType;

enum class Part : std::uint8_t {
  kOther,
  kOutput,
  kEmbedding,
  kV,
  kK,
  kQ,
  kAttentionOut,
  kGate,
  kUp,
  kDown
};

// Conditions of a rule; all that are set must hold.
enum When : std::uint32_t {
  kAlways = 0,
  kMoreBits = 1u << 0,      // the layers that get more bits, see more_bits()
  kFirst2 = 1u << 1,        // layers 0 and 1
  kFirst4 = 1u << 2,        // layers 0 to 3
  kFirstEighth = 1u << 3,   // the first layers / 8 layers
  kFirst16th = 1u << 4,     // the first layers / 16 layers
  kMiddle = 1u << 5,        // neither the first nor the last eighth
  kGrouped = 1u << 6,       // at least four query heads share a KV head
  kNoImportance = 1u << 7,  // no importance matrix
  kImportance = 1u << 8,
  kEightExperts = 1u << 9,
  kFourExperts = 1u << 10,  // at least four
  k70B = 1u << 11,          // 80 layers with grouped heads
};

struct Rule {
  Part part;
  std::uint32_t when;
  TensorType type;
};

struct MixRules {
  const char* name;
  TensorType base;
  TensorType output;  // of output.weight or of embeddings that serve as the head
  std::uint32_t file_type;
  std::span<const Rule> rules;  // the first that holds decides; otherwise `base`
};

// With eight experts attention is a small part of the file and gets more bits in every mix.
inline constexpr Rule kV8{Part::kV, kEightExperts, T::kQ8_0};
inline constexpr Rule kK8{Part::kK, kEightExperts, T::kQ8_0};
inline constexpr Rule kOut8{Part::kAttentionOut, kEightExperts, T::kQ5_K};

// In a 70B model V is an eighth of Q, so that more bits cost next to nothing.
inline constexpr Rule kV70{Part::kV, k70B, T::kQ5_K};

inline constexpr Rule kOnlyExperts[] = {kV8, kK8};
inline constexpr Rule kQ3KSRules[] = {kV8, kK8, kOut8, kV70};
inline constexpr Rule kSmallBlocks4[] = {
    kV8, kK8, {Part::kDown, kFirstEighth | kImportance, T::kQ4_1}};
inline constexpr Rule kSmallBlocks5[] = {
    kV8, kK8, {Part::kDown, kFirstEighth | kImportance, T::kQ5_1}};
inline constexpr Rule kTernary[] = {kV8, kK8, {Part::kEmbedding, kAlways, T::kQ4_K}};
inline constexpr Rule kQ2KRules[] = {kV8,
                                     kK8,
                                     kOut8,
                                     kV70,
                                     {Part::kV, kGrouped, T::kQ4_K},
                                     {Part::kV, kAlways, T::kQ3_K},
                                     {Part::kDown, kAlways, T::kQ3_K},
                                     {Part::kAttentionOut, kAlways, T::kQ3_K}};
inline constexpr Rule kQ2KSRules[] = {
    kV8, kK8, kV70, {Part::kV, kGrouped, T::kQ4_K}, {Part::kDown, kFirstEighth, T::kQ4_K}};
inline constexpr Rule kQ3KMRules[] = {kV8,
                                      kK8,
                                      kOut8,
                                      {Part::kV, kFirst2, T::kQ5_K},
                                      kV70,
                                      {Part::kV, kAlways, T::kQ4_K},
                                      {Part::kDown, kFirst16th, T::kQ5_K},
                                      {Part::kDown, kAlways, T::kQ4_K},
                                      {Part::kAttentionOut, kAlways, T::kQ4_K}};
inline constexpr Rule kQ3KLRules[] = {kV8,
                                      kK8,
                                      {Part::kAttentionOut, kEightExperts, T::kQ3_K},
                                      {Part::kV, kAlways, T::kQ5_K},
                                      {Part::kDown, kAlways, T::kQ5_K},
                                      {Part::kAttentionOut, kAlways, T::kQ5_K}};
inline constexpr Rule kQ4KMRules[] = {
    kV8, kK8, kOut8, {Part::kV, kMoreBits, T::kQ6_K}, kV70, {Part::kDown, kMoreBits, T::kQ6_K}};
inline constexpr Rule kQ4KSRules[] = {
    kV8, kK8, kOut8, {Part::kV, kFirst4, T::kQ5_K}, kV70, {Part::kDown, kFirstEighth, T::kQ5_K}};
inline constexpr Rule kQ5KMRules[] = {
    kV8, kK8, {Part::kV, kMoreBits, T::kQ6_K}, {Part::kDown, kMoreBits, T::kQ6_K}};
inline constexpr Rule kIQ4Rules[] = {kV8,
                                     kK8,
                                     kOut8,
                                     {Part::kV, kGrouped, T::kQ5_K},
                                     {Part::kDown, kFirstEighth | kNoImportance, T::kQ5_K}};
inline constexpr Rule kIQ3MRules[] = {kV8,
                                      kK8,
                                      kOut8,
                                      kV70,
                                      {Part::kV, kAlways, T::kQ4_K},
                                      {Part::kDown, kFirstEighth, T::kQ4_K},
                                      {Part::kDown, kEightExperts | kMoreBits, T::kQ4_K},
                                      {Part::kAttentionOut, kAlways, T::kQ4_K}};
inline constexpr Rule kIQ3SRules[] = {kV8, kK8, kOut8, kV70, {Part::kV, kGrouped, T::kQ4_K}};
inline constexpr Rule kIQ3XSRules[] = {kV8,
                                       kK8,
                                       kOut8,
                                       kV70,
                                       {Part::kV, kGrouped, T::kQ4_K},
                                       {Part::kK, kAlways, T::kIQ3_XXS},
                                       {Part::kQ, kAlways, T::kIQ3_XXS},
                                       {Part::kGate, kMiddle, T::kIQ3_XXS},
                                       {Part::kUp, kMiddle, T::kIQ3_XXS}};
inline constexpr Rule kIQ3XXSRules[] = {kV8,
                                        kK8,
                                        kOut8,
                                        {Part::kEmbedding, kAlways, T::kIQ3_S},
                                        kV70,
                                        {Part::kV, kGrouped, T::kQ4_K},
                                        {Part::kV, kNoImportance, T::kIQ3_S},
                                        {Part::kK, kAlways, T::kIQ2_S},
                                        {Part::kQ, kAlways, T::kIQ2_S},
                                        {Part::kDown, kFirstEighth | kNoImportance, T::kQ4_K},
                                        {Part::kDown, kNoImportance, T::kQ3_K},
                                        {Part::kAttentionOut, kAlways, T::kIQ3_S}};
inline constexpr Rule kIQ2SRules[] = {{Part::kEmbedding, kAlways, T::kIQ3_S},
                                      {Part::kV, kFourExperts, T::kQ4_K},
                                      {Part::kV, kGrouped, T::kQ4_K},
                                      {Part::kV, kAlways, T::kIQ3_S},
                                      {Part::kK, kEightExperts, T::kQ4_K},
                                      {Part::kDown, kFirstEighth, T::kIQ3_S},
                                      kOut8,
                                      {Part::kAttentionOut, kAlways, T::kIQ3_S}};
inline constexpr Rule kIQ2XSRules[] = {{Part::kEmbedding, kAlways, T::kQ2_K},
                                       {Part::kV, kFourExperts, T::kQ4_K},
                                       {Part::kV, kGrouped, T::kQ4_K},
                                       {Part::kV, kAlways, T::kQ2_K},
                                       {Part::kK, kEightExperts, T::kQ4_K},
                                       {Part::kDown, kFirstEighth, T::kQ2_K},
                                       kOut8};
inline constexpr Rule kIQ1Rules[] = {{Part::kEmbedding, kAlways, T::kQ2_K},
                                     {Part::kV, kFourExperts, T::kQ4_K},
                                     {Part::kV, kGrouped, T::kQ4_K},
                                     {Part::kV, kAlways, T::kQ2_K},
                                     {Part::kK, kEightExperts, T::kQ4_K},
                                     {Part::kDown, kFirstEighth, T::kQ2_K},
                                     kOut8,
                                     {Part::kAttentionOut, kAlways, T::kIQ2_XXS}};

inline constexpr MixRules kMixes[] = {
    {"F32", T::kF32, T::kF32, 0, {}},
    {"F16", T::kF16, T::kF16, 1, {}},
    {"BF16", T::kBF16, T::kBF16, 32, {}},
    {"Q8_0", T::kQ8_0, T::kQ8_0, 7, kOnlyExperts},
    {"Q6_K", T::kQ6_K, T::kQ6_K, 18, kOnlyExperts},
    {"Q5_1", T::kQ5_1, T::kQ6_K, 9, kOnlyExperts},
    {"Q5_K_M", T::kQ5_K, T::kQ6_K, 17, kQ5KMRules},
    {"Q5_K_S", T::kQ5_K, T::kQ6_K, 16, kOnlyExperts},
    {"Q5_0", T::kQ5_0, T::kQ6_K, 8, kSmallBlocks5},
    {"Q4_1", T::kQ4_1, T::kQ6_K, 3, kOnlyExperts},
    {"Q4_K_M", T::kQ4_K, T::kQ6_K, 15, kQ4KMRules},
    {"Q4_K_S", T::kQ4_K, T::kQ6_K, 14, kQ4KSRules},
    {"Q4_0", T::kQ4_0, T::kQ6_K, 2, kSmallBlocks4},
    {"IQ4_NL", T::kIQ4_NL, T::kQ6_K, 25, kIQ4Rules},
    {"IQ4_XS", T::kIQ4_XS, T::kQ6_K, 30, kIQ4Rules},
    {"Q3_K_L", T::kQ3_K, T::kQ6_K, 13, kQ3KLRules},
    {"Q3_K_M", T::kQ3_K, T::kQ6_K, 12, kQ3KMRules},
    {"IQ3_M", T::kIQ3_S, T::kQ6_K, 27, kIQ3MRules},
    {"IQ3_S", T::kIQ3_S, T::kQ6_K, 26, kIQ3SRules},
    {"Q3_K_S", T::kQ3_K, T::kQ6_K, 11, kQ3KSRules},
    {"IQ3_XS", T::kIQ3_S, T::kQ6_K, 22, kIQ3XSRules},
    {"IQ3_XXS", T::kIQ3_XXS, T::kQ5_K, 23, kIQ3XXSRules},
    {"Q2_K", T::kQ2_K, T::kQ6_K, 10, kQ2KRules},
    {"Q2_K_S", T::kQ2_K, T::kQ6_K, 21, kQ2KSRules},
    {"IQ2_M", T::kIQ2_S, T::kQ5_K, 29, kIQ2SRules},
    {"IQ2_S", T::kIQ2_XS, T::kQ5_K, 28, kIQ2SRules},
    {"IQ2_XS", T::kIQ2_XS, T::kQ5_K, 20, kIQ2XSRules},
    {"IQ2_XXS", T::kIQ2_XXS, T::kQ5_K, 19, kIQ2XSRules},
    {"Q2_0", T::kQ2_0, T::kQ6_K, 41, kTernary},
    {"TQ2_0", T::kTQ2_0, T::kQ6_K, 37, kTernary},
    {"IQ1_M", T::kIQ1_M, T::kQ5_K, 31, kIQ1Rules},
    {"TQ1_0", T::kTQ1_0, T::kQ6_K, 36, kTernary},
    {"IQ1_S", T::kIQ1_S, T::kQ5_K, 24, kIQ1Rules},
    {"Q1_0", T::kQ1_0, T::kQ6_K, 40, kOnlyExperts},
};

inline constexpr struct {
  const char* alias;
  const char* name;
} kAliases[] = {{"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};

const MixRules* find_rules(std::string_view name) {
  for (const auto& [alias, target] : kAliases)
    if (name == alias) name = target;
  for (const MixRules& rules : kMixes)
    if (name == rules.name) return &rules;
  return nullptr;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Fused q, k and v get the type of v, the most sensitive of the three.
Part part_of(std::string_view tensor) {
  if (tensor == "output.weight") return Part::kOutput;
  if (tensor == "token_embd.weight") return Part::kEmbedding;
  if (contains(tensor, "attn_v.weight") || contains(tensor, "attn_qkv.weight")) return Part::kV;
  if (contains(tensor, "attn_k.weight")) return Part::kK;
  if (contains(tensor, "attn_q.weight")) return Part::kQ;
  if (contains(tensor, "attn_output.weight")) return Part::kAttentionOut;
  if (contains(tensor, "ffn_up")) return Part::kUp;
  if (contains(tensor, "ffn_gate")) return Part::kGate;
  if (contains(tensor, "ffn_down")) return Part::kDown;
  return Part::kOther;
}

std::size_t layer_of(std::string_view tensor) {
  std::size_t layer = 0;
  if (tensor.starts_with("blk."))
    std::from_chars(tensor.data() + 4, tensor.data() + tensor.size(), layer);
  return layer;
}

// The first and the last eighth of the layers, and every third between them.
bool more_bits(std::size_t layer, std::size_t layers) {
  const std::size_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

bool holds(std::uint32_t when, const MixModel& model, std::size_t layer) {
  const std::size_t n = model.layers;
  const bool grouped = model.heads >= 4 * model.kv_heads;
  return (!(when & kMoreBits) || more_bits(layer, n)) && (!(when & kFirst2) || layer < 2) &&
         (!(when & kFirst4) || layer < 4) && (!(when & kFirstEighth) || layer < n / 8) &&
         (!(when & kFirst16th) || layer < n / 16) &&
         (!(when & kMiddle) || (layer >= n / 8 && layer < 7 * n / 8)) &&
         (!(when & kGrouped) || grouped) && (!(when & kNoImportance) || !model.importance_matrix) &&
         (!(when & kImportance) || model.importance_matrix) &&
         (!(when & kEightExperts) || model.experts == 8) &&
         (!(when & kFourExperts) || model.experts >= 4) &&
         (!(when & k70B) || (n == 80 && model.heads > model.kv_heads));
}

}  // namespace mixes_detail

std::optional<Mix> find_mix(std::string_view name) {
  constexpr std::string_view kPure = "pure:";
  const bool pure = name.starts_with(kPure);
  if (!pure)
    if (const mixes_detail::MixRules* rules = mixes_detail::find_rules(name))
      return Mix{rules->name, rules->base, false, rules->file_type};
  const TensorTypeSize* type = find_tensor_type(pure ? name.substr(kPure.size()) : name);
  if (type == nullptr) return std::nullopt;
  switch (type->type) {  // these hold numbers, not weights
    case TensorType::kF64:
    case TensorType::kI8:
    case TensorType::kI16:
    case TensorType::kI32:
    case TensorType::kI64:
      return std::nullopt;
    default:
      return Mix{std::string(name), type->type, true, std::nullopt};
  }
}

std::optional<Mix> mix_of_file_type(std::uint64_t file_type) {
  for (const mixes_detail::MixRules& rules : mixes_detail::kMixes)
    if (rules.file_type == file_type) return Mix{rules.name, rules.base, false, rules.file_type};
  return std::nullopt;
}

std::vector<std::string_view> mix_names() {
  std::vector<std::string_view> names;
  for (const mixes_detail::MixRules& rules : mixes_detail::kMixes) names.emplace_back(rules.name);
  return names;
}

bool is_quantizable(std::string_view tensor, std::uint32_t dimensions) {
  return dimensions >= 2 && tensor.ends_with("weight") &&
         !mixes_detail::contains(tensor, "_norm.weight") &&
         !mixes_detail::contains(tensor, "ffn_gate_inp");
}

TensorType fitting_type(TensorType type, std::uint64_t columns) {
  if (columns % size_of(type).block_size == 0) return type;
  TensorType other = TensorType::kQ4_0;
  switch (type) {
    case TensorType::kQ4_K:
      other = TensorType::kQ5_0;
      break;
    case TensorType::kQ5_K:
      other = TensorType::kQ5_1;
      break;
    case TensorType::kQ6_K:
      other = TensorType::kQ8_0;
      break;
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_S:
    case TensorType::kIQ3_XXS:
    case TensorType::kIQ3_S:
    case TensorType::kIQ4_XS:
    case TensorType::kNVFP4:
      other = TensorType::kIQ4_NL;
      break;
    default:
      break;
  }
  return columns % size_of(other).block_size == 0 ? other : TensorType::kF16;
}

TensorType mixed_type(const Mix& mix, const MixModel& model, std::string_view tensor,
                      std::uint64_t columns) {
  namespace d = mixes_detail;
  const d::MixRules* rules = mix.pure ? nullptr : d::find_rules(mix.name);
  if (rules == nullptr || size_of(mix.base).block_size == 1) return fitting_type(mix.base, columns);
  const d::Part part = d::part_of(tensor);
  if (part == d::Part::kOutput || (part == d::Part::kEmbedding && model.tied_output)) {
    const bool fits = columns % size_of(mix.base).block_size == 0;
    return fitting_type(fits ? rules->output : TensorType::kQ8_0, columns);
  }
  TensorType type = mix.base;
  const std::size_t layer = d::layer_of(tensor);
  for (const d::Rule& rule : rules->rules) {
    if (rule.part != part || !d::holds(rule.when, model, layer)) continue;
    type = rule.type;
    break;
  }
  return fitting_type(type, columns);
}

}  // namespace brink

#endif  // BRINK_QUANT_MIXES_IMPL_H_
