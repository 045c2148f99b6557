// Text to token ids and back, as the vocabulary in a GGUF file defines it.
#ifndef BRINK_TEXT_TOKENIZER_H_
#define BRINK_TEXT_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "brink/gguf/reader.h"

namespace brink {

struct EncodeOptions {
  /// Add BOS and EOS where the model wants them. Neither is doubled where the text, with
  /// `parse_special`, already begins or ends with it.
  bool add_special = true;
  /// Read control tokens such as <|im_end|> in the text as such; else they are plain text, as they
  /// must be in what a user wrote. User-defined tokens are matched in either case.
  bool parse_special = true;
};

/// Byte-level BPE (`tokenizer.ggml.model` gpt2, with the pre-tokenizers of pretokenizer.h) and
/// SentencePiece-style BPE (`llama`). Immutable, cheap to copy, safe to use from several threads;
/// it keeps nothing of the file.
class Tokenizer {
 public:
  /// Throws Error where the vocabulary is missing, malformed or of another kind. What is odd but
  /// can be lived with (no `tokenizer.ggml.pre`, ids out of range, ...) is told in `warnings`.
  static Tokenizer load(const Gguf& gguf, std::vector<std::string>* warnings = nullptr);

  std::size_t vocabulary_size() const;

  /// Any bytes are accepted. With byte-level BPE, decode(encode(x)) == x for every x, where the
  /// vocabulary has a token for every byte (bytes without one are read as U+FFFD).
  std::vector<std::int32_t> encode(std::string_view text, EncodeOptions options = {}) const;

  /// The text of tokens; control tokens give none unless `special`. Where encode() puts a space
  /// before a text (`add_space_prefix`), the first piece loses one.
  std::string decode(std::span<const std::int32_t> ids, bool special = false) const;

  /// Appends the bytes of one token, possibly a part of a UTF-8 character. Ids outside the
  /// vocabulary, as padded models can have, give none.
  void append_piece(std::int32_t id, std::string& out, bool special = false) const;

  std::optional<std::int32_t> bos() const;
  std::optional<std::int32_t> eos() const;
  bool adds_bos() const;  ///< encode() with `add_special` begins with bos()
  bool adds_eos() const;  ///< and ends with eos()
  bool adds_space_prefix() const;
  /// eos, eot, eom and what is known to end a turn by its text (<|eot_id|>, <|im_end|>, ...).
  bool is_end_of_generation(std::int32_t id) const;
  bool is_control(std::int32_t id) const;
  /// The token written exactly so in the file.
  std::optional<std::int32_t> find(std::string_view token_text) const;

 private:
  struct Parts;
  explicit Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<const Parts> parts_;
};

}  // namespace brink

#include "brink/text/stream_decoder.h"

#endif  // BRINK_TEXT_TOKENIZER_H_
