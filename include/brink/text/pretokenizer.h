// Pre-tokenizers of byte-level BPE: they cut a text into the words inside which merges happen.
// Each is the regular expression (or sequence of them) published in the tokenizer.json of the
// models that name it, written out as a state machine over UTF-8.
#ifndef BRINK_TEXT_PRETOKENIZER_H_
#define BRINK_TEXT_PRETOKENIZER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace brink {

/// The distinct ways to cut; many names of `tokenizer.ggml.pre` share one.
enum class PretokenizerRule {
  kDefault,
  kGpt2,
  kLlama3,     ///< digits in groups of up to three
  kQwen2,      ///< digits one by one
  kQwen35,     ///< qwen2 with combining marks inside words
  kSeedCoder,  ///< qwen2 without newlines attached to punctuation
  kMiniCpm5,   ///< llama3 on what is left between groups of digits
  kGpt4o,      ///< words end before an upper-case letter; contractions stay attached
  kTekken,     ///< gpt-4o with digits one by one and contractions apart
  kDeepSeekLlm,
  kDeepSeekCoder,
  kDeepSeek3,
  kStarCoder,  ///< gpt-2 on what is left between single digits; smollm too
  kFalcon,
};

/// What a name in `tokenizer.ggml.pre` stands for.
struct Pretokenizer {
  PretokenizerRule rule = PretokenizerRule::kDefault;
  bool ignore_merges = false;  ///< a word that is a token is that token, whatever merges say
  bool add_bos = false;        ///< where the file does not say
};

/// Nothing when the name is not known.
std::optional<Pretokenizer> find_pretokenizer(std::string_view name);

/// All known names, for messages.
std::string pretokenizer_names();

/// Appends the end offset of every word of `text`; words are not empty and lie one after another,
/// the last ends at text.size(). Any bytes will do: what is not UTF-8 counts as a symbol. Linear
/// in the length of the text.
void pretokenize(PretokenizerRule rule, std::string_view text, std::vector<std::size_t>& ends);

}  // namespace brink

#endif  // BRINK_TEXT_PRETOKENIZER_H_
