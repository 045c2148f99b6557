// SentencePiece-style byte-pair encoding (`tokenizer.ggml.model` = llama): neighbours merge where
// together they are a token, the one with the highest score first; what is left over is spelled in
// byte tokens. After Kudo and Richardson, "SentencePiece" (2018).
#ifndef BRINK_TEXT_SPM_H_
#define BRINK_TEXT_SPM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "brink/text/vocabulary.h"
#include "brink/text/word_cache.h"

namespace brink {

/// `vocabulary` must outlive it.
class SentencePieceEncoder {
 public:
  /// Reads `tokenizer.ggml.scores`. Throws Error where they are malformed. `unknown` stands for
  /// what has neither a token nor byte tokens.
  SentencePieceEncoder(const Gguf& gguf, const Vocabulary& vocabulary,
                       std::optional<std::int32_t> unknown, std::vector<std::string>& warnings);

  /// Appends the tokens of a text without special tokens, as if a space stood before it where
  /// `space_prefix`. Safe from several threads at once.
  void encode(std::string_view text, bool space_prefix, WordCache& cache,
              std::vector<std::int32_t>& ids) const;

 private:
  struct Work;

  void encode_word(std::string_view word, Work& work, std::vector<std::int32_t>& ids) const;
  void push_pair(Work& work, std::int32_t left, std::int32_t right) const;

  const Vocabulary& vocabulary_;
  std::vector<float> scores_;
  std::optional<std::int32_t> unknown_;
  bool spaces_only_lead_ = true;  // in no token does a space follow anything but spaces
};

}  // namespace brink

#endif  // BRINK_TEXT_SPM_H_
