// Tokens to text while they are generated.
#ifndef BRINK_TEXT_STREAM_DECODER_H_
#define BRINK_TEXT_STREAM_DECODER_H_

#include <cstdint>
#include <string>

#include "brink/text/tokenizer.h"

namespace brink {

/// Gives out whole UTF-8 characters only: bytes of an unfinished one wait for the next token. Bytes
/// that can no longer become a character turn into U+FFFD, one for each longest prefix of a
/// character (Unicode 3.9, "substitution of maximal subparts"). Keeps a copy of the tokenizer.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool special = false)
      : tokenizer_(tokenizer), special_(special) {}

  /// The text that token `id` completes; may be empty.
  std::string push(std::int32_t id);
  /// What is left when no token follows: U+FFFD if a character is unfinished, else nothing.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool special_;
  std::string pending_;  // of push() calls so far: an unfinished character, at most three bytes
};

}  // namespace brink

#endif  // BRINK_TEXT_STREAM_DECODER_H_
