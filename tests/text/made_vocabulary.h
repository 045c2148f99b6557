// Small vocabularies for tests, written as GGUF files.
#ifndef BRINK_TESTS_TEXT_MADE_VOCABULARY_H_
#define BRINK_TESTS_TEXT_MADE_VOCABULARY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "brink/text/tokenizer.h"
#include "brink/text/unicode.h"
#include "tests/support/temporary_folder.h"

namespace brink::testing {

inline void append_character(char32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

/// Bytes as GPT-2 spells them: " a" is "Ġa".
inline std::string spelled(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto printable = [](int b) {
      return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    };
    const int byte = static_cast<unsigned char>(c);
    int code_point = byte;
    if (!printable(byte)) {
      code_point = 0x100;
      for (int b = 0; b < byte; ++b) code_point += !printable(b);
    }
    append_character(static_cast<char32_t>(code_point), text);
  }
  return text;
}

struct MadeVocabulary {
  enum Kind : std::int32_t {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUser = 4,
    kUnused = 5,
    kByte = 6
  };

  std::optional<std::string> model = "gpt2";
  std::optional<std::string> pre = "gpt-2";
  std::optional<std::string> name;
  std::vector<std::string> tokens;
  std::vector<std::int32_t> kinds;
  std::vector<float> scores;
  std::optional<std::vector<std::string>> merges;
  std::map<std::string, std::uint32_t> numbers;  // tokenizer.ggml.KEY
  std::map<std::string, bool> flags;             // tokenizer.ggml.KEY
  bool write_kinds = true;
  bool write_tokens = true;

  std::int32_t add(std::string text, Kind kind = kNormal, float score = 0) {
    tokens.push_back(std::move(text));
    kinds.push_back(kind);
    scores.push_back(score);
    return static_cast<std::int32_t>(tokens.size() - 1);
  }

  /// Bytes that become one token when `left` and `right` merge.
  std::int32_t add_merge(std::string_view left, std::string_view right) {
    merges->push_back(spelled(left) + " " + spelled(right));
    return add(spelled(std::string(left) + std::string(right)));
  }

  /// Token id of a byte is the byte; no merges yet.
  static MadeVocabulary bytes(std::string pre_tokenizer = "gpt-2") {
    MadeVocabulary v;
    v.pre = std::move(pre_tokenizer);
    v.merges.emplace();
    for (int b = 0; b < 256; ++b) v.add(spelled(std::string(1, static_cast<char>(b))));
    return v;
  }

  /// <unk>, <s>, </s>, then the 256 bytes from id 3 on.
  static MadeVocabulary sentence() {
    MadeVocabulary v;
    v.model = "llama";
    v.pre.reset();
    v.add("<unk>", kUnknown);
    v.add("<s>", kControl);
    v.add("</s>", kControl);
    for (int b = 0; b < 256; ++b) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(b));
      v.add(text, kByte);
    }
    return v;
  }

  Gguf open(const TemporaryFolder& folder) const {
    const std::string path = folder.path("vocabulary.gguf");
    GgufWriter writer(path);
    writer.set("general.architecture", "llama");
    if (name) writer.set("general.name", *name);
    if (model) writer.set("tokenizer.ggml.model", *model);
    if (pre) writer.set("tokenizer.ggml.pre", *pre);
    if (write_tokens) writer.set_array("tokenizer.ggml.tokens", tokens);
    if (write_kinds) writer.set_array("tokenizer.ggml.token_type", kinds);
    if (model == "llama") writer.set_array("tokenizer.ggml.scores", scores);
    if (merges) writer.set_array("tokenizer.ggml.merges", *merges);
    for (const auto& [key, value] : numbers) writer.set("tokenizer.ggml." + key, value);
    for (const auto& [key, value] : flags) writer.set("tokenizer.ggml." + key, value);
    writer.finish();
    return Gguf::open(path);
  }

  Tokenizer load(std::vector<std::string>* warnings = nullptr) const {
    const TemporaryFolder folder;
    const Gguf gguf = open(folder);
    return Tokenizer::load(gguf, warnings);
  }
};

using Ids = std::vector<std::int32_t>;

/// Neither BOS nor EOS, control tokens as text.
inline constexpr EncodeOptions kPlain{.add_special = false, .parse_special = false};
inline constexpr EncodeOptions kParse{.add_special = false, .parse_special = true};

}  // namespace brink::testing

#endif  // BRINK_TESTS_TEXT_MADE_VOCABULARY_H_
