#ifndef BRINK_TEXT_SPECIAL_TOKENS_IMPL_H_
#define BRINK_TEXT_SPECIAL_TOKENS_IMPL_H_

#include <algorithm>

#include "brink/text/special_tokens.h"

namespace brink {
namespace special_tokens_detail {

// clang-format off
/// Tokens with which models end a turn or a text.
inline constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",            // Llama 3
    "<|im_end|>", "<|endoftext|>",                            // ChatML; GPT-2, Qwen
    "<|end|>",                                                // Phi-3
    "<|return|>", "<|call|>",                                 // gpt-oss
    "<|calls|>", "<|flush|>",                                 // Solar Open
    "<end_of_turn>", "<eos>", "<turn|>", "<|tool_response>",  // Gemma
    "</s>",                                                   // Llama 2, Mistral
    "<EOT>", "_<EOT>",                                        // CodeLlama
    "[EOT]", "[EOS]",                                         // Kimi
    "<end_of_utterance>",                                     // SmolVLM
    "<｜end▁of▁sentence｜>",                                  // DeepSeek
    "[e~[",                                                   // MiniMax
};

/// Padding and separators of code infilling: after one of them nothing useful follows.
inline constexpr std::string_view kInfillEndTexts[] = {
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",
    "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",
    "<|file_sep|>",
};

inline constexpr std::string_view kInfillTexts[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
    "<|prefix|>", "<｜fim▁begin｜>",
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
    "<|suffix|>", "<｜fim▁hole｜>",
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "▁<MID>", "<|code_middle|>",
    "<|middle|>", "<｜fim▁end｜>",
};
// clang-format on

inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Which literals swallow the whitespace around them. Files do not tell; models are known by name.
struct StripRule {
  bool right_of_all = false;      // Phi-3: except <unk>, <s>, <|endoftext|>
  std::string_view left_of = {};  // this token only
};

inline StripRule strip_rule(const Gguf& gguf) {
  const GgufValue* name_value = gguf.find("general.name");
  const GgufValue* pre_value = gguf.find("tokenizer.ggml.pre");
  std::string name(name_value ? name_value->as_string().value_or("") : "");
  const std::string_view pre = pre_value ? pre_value->as_string().value_or("") : "";
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  if (pre == "jina-v2-de" || pre == "jina-v2-es" || pre == "jina-v2-code") return {false, "<mask>"};
  if (name.find("phi-3") != name.npos || name.find("phi3") != name.npos) return {true, {}};
  if (name.find("modern-bert") != name.npos) return {false, "[MASK]"};
  return {};
}

}  // namespace special_tokens_detail

LiteralMatcher::LiteralMatcher(std::vector<Literal> literals) : literals_(std::move(literals)) {
  std::sort(literals_.begin(), literals_.end(), [](const Literal& a, const Literal& b) {
    return a.text != b.text ? a.text < b.text : a.id < b.id;
  });
  for (std::uint32_t i = 0; i < literals_.size(); ++i) {
    auto& range = by_first_byte_[static_cast<unsigned char>(literals_[i].text[0])];
    if (range.second == 0) range.first = i;
    range.second = i + 1;
  }
}

const LiteralMatcher::Literal* LiteralMatcher::match(std::string_view text) const {
  // Narrow the sorted literals byte by byte; in a range, those that are at their end come first.
  const Literal* best = nullptr;
  if (text.empty()) return best;
  const auto range = by_first_byte_[static_cast<unsigned char>(text[0])];
  const Literal* low = literals_.data() + range.first;
  const Literal* high = literals_.data() + range.second;
  for (std::size_t depth = 1; low != high; ++depth) {
    if (low->text.size() == depth) {
      best = low;
      while (low != high && low->text.size() == depth) ++low;
    }
    if (depth == text.size()) break;
    const auto byte = static_cast<unsigned char>(text[depth]);
    low = std::partition_point(low, high, [&](const Literal& x) {
      return static_cast<unsigned char>(x.text[depth]) < byte;
    });
    high = std::partition_point(low, high, [&](const Literal& x) {
      return static_cast<unsigned char>(x.text[depth]) == byte;
    });
  }
  return best;
}

std::size_t LiteralMatcher::skip(std::string_view text, std::size_t from) const {
  if (literals_.empty()) return text.size();
  while (from < text.size() && by_first_byte_[static_cast<unsigned char>(text[from])].second == 0)
    ++from;
  return from;
}

std::vector<Fragment> split_at_literals(std::string_view text, const LiteralMatcher& matcher) {
  std::vector<Fragment> fragments;
  std::size_t plain = 0;  // start of text that is in no fragment yet
  for (std::size_t at = matcher.skip(text, 0); at < text.size();) {
    const LiteralMatcher::Literal* literal = matcher.match(text.substr(at));
    if (!literal) {
      at = matcher.skip(text, at + 1);
      continue;
    }
    std::size_t plain_end = at;
    if (literal->strip_left)
      while (plain_end > plain && special_tokens_detail::is_space(text[plain_end - 1])) --plain_end;
    if (plain_end > plain) fragments.push_back({text.substr(plain, plain_end - plain)});
    fragments.push_back({{}, literal->id});
    at += literal->text.size();
    if (literal->strip_right)
      while (at < text.size() && special_tokens_detail::is_space(text[at])) ++at;
    plain = at;
    at = matcher.skip(text, at);
  }
  if (plain < text.size()) fragments.push_back({text.substr(plain)});
  return fragments;
}

std::optional<std::int32_t> token_id(const Gguf& gguf, std::string_view key,
                                     const Vocabulary& vocabulary,
                                     std::vector<std::string>& warnings) {
  const GgufValue* value = gguf.find(key);
  if (!value) return std::nullopt;
  const std::optional<std::int64_t> id = value->as_int();
  if (id && vocabulary.contains(*id)) return static_cast<std::int32_t>(*id);
  warnings.push_back(std::string(key) + " is not a token of the vocabulary; ignored");
  return std::nullopt;
}

std::vector<std::int32_t> mark_special_tokens(const Gguf& gguf, Vocabulary& vocabulary,
                                              std::vector<std::string>& warnings) {
  namespace d = special_tokens_detail;
  std::vector<std::int32_t> ends;
  const bool has_kinds = gguf.find("tokenizer.ggml.token_type") != nullptr;
  const auto mark = [&](std::string_view text) -> std::optional<std::int32_t> {
    const auto id = vocabulary.find(text);
    // Converters forget to mark <|im_end|>, which nobody writes by chance; but Qwen's vocabulary
    // has </s> for the end of struck-through text.
    const bool may_be_text =
        has_kinds && text.find('|') == text.npos && text.find("｜") == text.npos;
    if (!id || (may_be_text && vocabulary.kind(*id) == TokenKind::kNormal)) return std::nullopt;
    vocabulary.set_kind(*id, TokenKind::kControl);
    return id;
  };
  for (const std::string_view text : d::kInfillTexts) mark(text);
  for (const std::string_view text : d::kInfillEndTexts)
    if (const auto id = mark(text)) ends.push_back(*id);
  for (const std::string_view text : d::kEndTexts)
    if (const auto id = mark(text)) ends.push_back(*id);
  for (const char* key : {"eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"}) {
    const std::string full = "tokenizer.ggml." + std::string(key) + "_token_id";
    if (const auto id = token_id(gguf, full, vocabulary, warnings)) ends.push_back(*id);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());

  // Where other tokens end a turn, these two do not: gpt-oss and Solar Open end a part of a message
  // with <|end|>, Gemma 4 has <|tool_response> and an </s> that is ordinary text.
  const auto ends_with = [&](std::string_view text) {
    const auto id = vocabulary.find(text);
    return id && std::binary_search(ends.begin(), ends.end(), *id);
  };
  const auto remove = [&](std::string_view text, TokenKind kind) {
    if (!ends_with(text)) return;
    const std::int32_t id = *vocabulary.find(text);
    ends.erase(std::find(ends.begin(), ends.end(), id));
    vocabulary.set_kind(id, kind);
  };
  const bool calls = ends_with("<|call|>") || ends_with("<|calls|>");
  if (calls && (ends_with("<|return|>") || ends_with("<|flush|>")))
    remove("<|end|>", TokenKind::kUserDefined);
  if (ends_with("<|tool_response>")) remove("</s>", TokenKind::kNormal);
  return ends;
}

LiteralMatcher literals_of(const Gguf& gguf, const Vocabulary& vocabulary, bool with_control) {
  const auto rule = special_tokens_detail::strip_rule(gguf);
  std::vector<LiteralMatcher::Literal> literals;
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    if (!(vocabulary.kind(id) == TokenKind::kUserDefined ||
          (with_control && vocabulary.is_special(id))))
      continue;
    const std::string_view text = vocabulary.literal(id);
    if (text.empty() || text.size() > kLongestLiteral) continue;
    const bool right =
        rule.right_of_all && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
    literals.push_back({text, id, !rule.left_of.empty() && text == rule.left_of, right});
  }
  return LiteralMatcher(std::move(literals));
}

}  // namespace brink

#endif  // BRINK_TEXT_SPECIAL_TOKENS_IMPL_H_
