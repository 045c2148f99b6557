// Chat templates: a conversation as the text a model was trained on.
#ifndef BRINK_TEXT_CHAT_TEMPLATE_H_
#define BRINK_TEXT_CHAT_TEMPLATE_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "brink/gguf/reader.h"

namespace brink {

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant"; "tool" where a family has it
  std::string content;
};

struct ChatOptions {
  bool add_generation_prompt = true;  ///< end with the opening of the assistant's turn
  /// The template's `enable_thinking`; nothing: the template's own default. Families without such
  /// a switch ignore it, as their templates do.
  std::optional<bool> thinking = std::nullopt;
  std::string date =
      {};  ///< "YYYY-MM-DD" for templates that print today's date; empty: the local date
};

struct ChatFormat;

/// How one model family writes a conversation. The text is byte for byte what the model's own
/// Jinja template renders (under the settings of Hugging Face transformers: trim_blocks and
/// lstrip_blocks), but written by C++: the template is only recognised, and its variable parts
/// (spacing, default system prompt, bare date) are read from it.
///
/// BOS and EOS are text here, as in Jinja: where the template prints `bos_token`, the rendered text
/// begins with it. Encode the text with `parse_special`; Tokenizer::encode adds no second BOS to
/// text that begins with one, and adds the one its metadata ask for where a template prints none.
class ChatTemplate {
 public:
  /// From `tokenizer.chat_template`, with the texts of the file's BOS and EOS tokens. Throws Error
  /// when the key is absent or the template is of no known family; the message lists names().
  static ChatTemplate from_gguf(const Gguf& file);
  /// From a Jinja template's text.
  static ChatTemplate from_text(std::string_view jinja, std::string_view bos, std::string_view eos);
  /// One of names(), with the family's usual BOS and EOS, or those of `file`. Throws Error.
  static ChatTemplate by_name(std::string_view name);
  static ChatTemplate by_name(std::string_view name, const Gguf& file);
  static std::span<const std::string_view> names();

  /// The family, one of names() or near it ("qwen2.5", "mistral-v3-tekken").
  std::string_view name() const;

  /// The conversation's text. Throws Error for an empty conversation, for a role or an order of
  /// roles that the template refuses, and for a message that it would leave out without a word.
  std::string apply(std::span<const ChatMessage> messages, const ChatOptions& options = {}) const;

 private:
  explicit ChatTemplate(ChatFormat format);
  std::shared_ptr<const ChatFormat> format_;
};

}  // namespace brink

#endif  // BRINK_TEXT_CHAT_TEMPLATE_H_
