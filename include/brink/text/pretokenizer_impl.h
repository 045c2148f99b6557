#ifndef BRINK_TEXT_PRETOKENIZER_IMPL_H_
#define BRINK_TEXT_PRETOKENIZER_IMPL_H_

#include "brink/text/pretokenizer.h"
#include "brink/text/pretokenizer_rules.h"

namespace brink {
namespace pretokenizer_detail {

struct NamedPretokenizer {
  std::string_view name;
  Pretokenizer value;
};

using Rule = PretokenizerRule;

/// Names as converters write them. Several are there because the published expressions of two
/// models are equal or match the same strings (bailingmoe's `\s*[\r\n]` and qwen2's `\s*[\r\n]+`).
inline constexpr NamedPretokenizer kPretokenizers[] = {
    {"default", {Rule::kDefault}},
    {"llama3", {Rule::kLlama3, true, true}},
    {"llama-v3", {Rule::kLlama3, true, true}},
    {"llama-bpe", {Rule::kLlama3, true, true}},
    {"falcon3", {Rule::kLlama3, true, true}},
    {"falcon-h1", {Rule::kLlama3, true, true}},
    {"pixtral", {Rule::kLlama3, true, true}},
    {"midm-2.0", {Rule::kLlama3, true, true}},
    {"lfm2", {Rule::kLlama3, true, true}},
    {"jina-v5-nano", {Rule::kLlama3, true, true}},
    {"dbrx", {Rule::kLlama3}},
    {"smaug-bpe", {Rule::kLlama3}},
    {"glm4", {Rule::kLlama3}},
    {"chatglm-bpe", {Rule::kLlama3}},
    {"minicpm5", {Rule::kMiniCpm5, true}},
    {"qwen2", {Rule::kQwen2}},
    {"deepseek-r1-qwen", {Rule::kQwen2}},
    {"kormo", {Rule::kQwen2}},
    {"f2llmv2", {Rule::kQwen2}},
    {"megrez", {Rule::kQwen2}},
    {"stablelm2", {Rule::kQwen2}},
    {"hunyuan", {Rule::kQwen2}},
    {"solar-open", {Rule::kQwen2}},
    {"grok-2", {Rule::kQwen2}},
    {"bailingmoe", {Rule::kQwen2}},
    {"bailingmoe2", {Rule::kQwen2}},
    {"llada-moe", {Rule::kQwen2}},
    {"qwen35", {Rule::kQwen35}},
    {"seed-coder", {Rule::kSeedCoder}},
    {"gpt-4o", {Rule::kGpt4o}},
    {"llama4", {Rule::kGpt4o}},
    {"kanana2", {Rule::kGpt4o}},
    {"talkie", {Rule::kGpt4o}},
    {"minimax-m2", {Rule::kGpt4o}},
    {"tekken", {Rule::kTekken, true, true}},
    {"deepseek-llm", {Rule::kDeepSeekLlm}},
    {"deepseek-coder", {Rule::kDeepSeekCoder}},
    {"deepseek-v3", {Rule::kDeepSeek3}},
    {"hunyuan-dense", {Rule::kDeepSeek3}},
    {"joyai-llm", {Rule::kDeepSeek3}},
    {"falcon", {Rule::kFalcon}},
    {"starcoder", {Rule::kStarCoder}},
    {"smollm", {Rule::kStarCoder}},
    {"refact", {Rule::kStarCoder}},
    {"command-r", {Rule::kStarCoder}},
    {"codeshell", {Rule::kStarCoder}},
    {"exaone", {Rule::kStarCoder}},
    {"minerva-7b", {Rule::kStarCoder}},
    {"mellum2", {Rule::kStarCoder}},
    {"gpt-2", {Rule::kGpt2}},
    {"phi-2", {Rule::kGpt2}},
    {"mpt", {Rule::kGpt2}},
    {"olmo", {Rule::kGpt2}},
    {"jais", {Rule::kGpt2}},
    {"exaone4", {Rule::kGpt2}},
    {"trillion", {Rule::kGpt2}},
    {"granite-docling", {Rule::kGpt2}},
    {"gigachat", {Rule::kGpt2}},
    {"a.x-4.0", {Rule::kGpt2}},
    {"mellum", {Rule::kGpt2}},
    {"modern-bert", {Rule::kGpt2}},
    {"roberta-bpe", {Rule::kGpt2}},
    {"jina-es", {Rule::kGpt2}},
    {"jina-de", {Rule::kGpt2}},
    {"jina-v1-en", {Rule::kGpt2}},
    {"jina-v2-es", {Rule::kGpt2}},
    {"jina-v2-de", {Rule::kGpt2}},
    {"jina-v2-code", {Rule::kGpt2}},
};

inline constexpr ModernRule kLlama3Words{};
inline constexpr ModernRule kQwen2Words{.digits = 1};
inline constexpr ModernRule kQwen35Words{.words = Words::kLettersAndMarks, .digits = 1};
inline constexpr ModernRule kSeedCoderWords{.digits = 1, .newlines_after_symbols = false};
inline constexpr ModernRule kMiniCpm5Words{.digits = static_cast<std::size_t>(-1)};
inline constexpr ModernRule kTekkenWords{
    .words = Words::kCased, .digits = 1, .contractions_first = false, .slash_after_symbols = true};
inline constexpr ModernRule kGpt4oWords{.words = Words::kCased,
                                        .contractions_first = false,
                                        .contraction_suffix = true,
                                        .slash_after_symbols = true};

inline bool is_number(const Character& c) { return (c.classes & kNumber) != 0; }
inline bool is_letter(const Character& c) { return (c.classes & kLetter) != 0; }
inline bool is_punctuation(const Character& c) { return (c.classes & kPunctuation) != 0; }
inline bool is_line_end(const Character& c) { return c.code_point == '\r' || c.code_point == '\n'; }

/// [\p{P}\$\+<=>\^~\|], and ` for Falcon.
template <bool kBacktick>
bool is_falcon_punctuation(const Character& c) {
  constexpr std::string_view kSymbols = kBacktick ? "$+<=>^~|`" : "$+<=>^~|";
  return (c.classes & kPunctuation) ||
         (c.code_point < 0x80 && kSymbols.find(static_cast<char>(c.code_point)) != kSymbols.npos);
}

template <bool kBacktick, class Next>
void split_falcon(const char* p, const char* end, Next&& next) {
  split_runs(p, end, is_falcon_punctuation<kBacktick>,
             [&](const char* a, const char* b) { split_gpt2(a, b, next); });
}

template <class Next>
void split_default(const char* p, const char* end, Next&& next) {
  split_falcon<false>(p, end, [&](const char* a, const char* b) {
    split_runs(a, b, is_number,
               [&](const char* c, const char* d) { split_digit_triples(c, d, next); });
  });
}

template <class Next>
void split_deepseek_llm(const char* p, const char* end, Next&& next) {
  const auto numbers = [&](const char* a, const char* b) { split_runs(a, b, is_number, next); };
  const auto cjk = [&](const char* a, const char* b) {
    split_runs(a, b, is_deepseek_cjk, numbers);
  };
  const auto tail = [&](const char* a, const char* b) { split_trailing_space(a, b, cjk); };
  const auto punctuation = [&](const char* a, const char* b) {
    split_spaced_runs(a, b, is_deepseek_punctuation, tail);
  };
  const auto words = [&](const char* a, const char* b) {
    split_spaced_runs(a, b, is_deepseek_letter, punctuation);
  };
  split_groups(p, end, 1, is_line_end, words);
}

template <class Next>
void split_deepseek_coder(const char* p, const char* end, Next&& next) {
  const auto numbers = [&](const char* a, const char* b) {
    split_groups(a, b, 1, is_number, next);
  };
  const auto cjk = [&](const char* a, const char* b) {
    split_runs(a, b, is_deepseek_cjk, numbers);
  };
  const auto punctuation = [&](const char* a, const char* b) {
    split_spaced_runs(a, b, is_punctuation, cjk);
  };
  const auto words = [&](const char* a, const char* b) {
    split_spaced_runs(a, b, is_letter, punctuation);
  };
  split_groups(p, end, 1, is_line_end, words);
}

template <class Next>
void split_deepseek3(const char* p, const char* end, Next&& next) {
  // [一-龥぀-ゟ゠-ヿ]
  const auto is_han_or_kana = [](const Character& c) {
    return (c.code_point >= 0x4E00 && c.code_point <= 0x9FA5) ||
           (c.code_point >= 0x3040 && c.code_point <= 0x30FF);
  };
  const auto words = [&](const char* a, const char* b) { split_deepseek3_words(a, b, next); };
  const auto han = [&](const char* a, const char* b) { split_runs(a, b, is_han_or_kana, words); };
  split_groups(p, end, 3, is_number, han);
}

}  // namespace pretokenizer_detail

std::optional<Pretokenizer> find_pretokenizer(std::string_view name) {
  for (const auto& known : pretokenizer_detail::kPretokenizers)
    if (known.name == name) return known.value;
  return std::nullopt;
}

std::string pretokenizer_names() {
  std::string names;
  for (const auto& known : pretokenizer_detail::kPretokenizers) {
    if (!names.empty()) names += ", ";
    names += known.name;
  }
  return names;
}

void pretokenize(PretokenizerRule rule, std::string_view text, std::vector<std::size_t>& ends) {
  namespace d = pretokenizer_detail;
  const char* p = text.data();
  const char* end = p + text.size();
  const auto emit = [&](const char*, const char* b) {
    ends.push_back(static_cast<std::size_t>(b - text.data()));
  };
  switch (rule) {
    case PretokenizerRule::kDefault:
      return d::split_default(p, end, emit);
    case PretokenizerRule::kGpt2:
      return d::split_gpt2(p, end, emit);
    case PretokenizerRule::kLlama3:
      return d::split_modern<d::kLlama3Words>(p, end, emit);
    case PretokenizerRule::kQwen2:
      return d::split_modern<d::kQwen2Words>(p, end, emit);
    case PretokenizerRule::kQwen35:
      return d::split_modern<d::kQwen35Words>(p, end, emit);
    case PretokenizerRule::kSeedCoder:
      return d::split_modern<d::kSeedCoderWords>(p, end, emit);
    case PretokenizerRule::kMiniCpm5:
      return d::split_groups(p, end, 3, d::is_number, [&](const char* a, const char* b) {
        d::split_modern<d::kMiniCpm5Words>(a, b, emit);
      });
    case PretokenizerRule::kGpt4o:
      return d::split_modern<d::kGpt4oWords>(p, end, emit);
    case PretokenizerRule::kTekken:
      return d::split_modern<d::kTekkenWords>(p, end, emit);
    case PretokenizerRule::kDeepSeekLlm:
      return d::split_deepseek_llm(p, end, emit);
    case PretokenizerRule::kDeepSeekCoder:
      return d::split_deepseek_coder(p, end, emit);
    case PretokenizerRule::kDeepSeek3:
      return d::split_deepseek3(p, end, emit);
    case PretokenizerRule::kStarCoder:
      return d::split_groups(p, end, 1, d::is_number,
                             [&](const char* a, const char* b) { d::split_gpt2(a, b, emit); });
    case PretokenizerRule::kFalcon:
      return d::split_falcon<true>(
          p, end, [&](const char* a, const char* b) { d::split_digit_triples(a, b, emit); });
  }
}

}  // namespace brink

#endif  // BRINK_TEXT_PRETOKENIZER_IMPL_H_
