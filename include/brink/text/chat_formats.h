// What distinguishes one chat format from another: the data behind ChatTemplate.
#ifndef BRINK_TEXT_CHAT_FORMATS_H_
#define BRINK_TEXT_CHAT_FORMATS_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/text/chat_template.h"

namespace brink {

/// A part of a text that a template puts together.
struct ChatPiece {
  enum class Kind { kText, kBos, kEos, kRole, kContent, kTrimmedContent, kDate };
  Kind kind = Kind::kText;
  std::string text;  ///< kText: itself; kDate: a strftime format of %a %A %b %B %d %m %y %Y
};
using ChatPieces = std::vector<ChatPiece>;

enum class ChatFamily {
  kTable,     ///< each message by itself: ChatML, Hermes, SmolLM, Llama 3, Zephyr, Vicuna
  kQwen2,     ///< ChatML with tool answers inside user turns
  kQwen3,     ///< as kQwen2, with reasoning kept only after the last question
  kQwq,       ///< as kQwen2, with reasoning kept only in the last message
  kLlama31,   ///< Llama 3 with a system turn that is always there and holds the date
  kLlama2,    ///< the system prompt inside the first question
  kMistral,   ///< [INST], spacing by version
  kDeepSeek,  ///< DeepSeek-R1 and its distillations
};

enum class MistralSystem {
  kNone,      ///< no system prompt
  kFirst,     ///< before the first question, inside its [INST]
  kLast,      ///< before the last message, if it is a question
  kOwnBlock,  ///< [SYSTEM_PROMPT] where it stands
};

/// One kind of message of a kTable format.
struct ChatBranch {
  std::string role;  ///< empty: any role not named by another branch
  ChatPieces pieces;
};

struct ChatFormat {
  std::string name;
  ChatFamily family = ChatFamily::kTable;
  std::string bos;
  std::string eos;
  bool begins_with_bos = false;
  ChatPieces default_system;  ///< the whole text that stands in for a missing system message
  std::string generation_prompt;
  bool always_generation_prompt = false;  ///< the template does not ask add_generation_prompt
  /// Text appended to the generation prompt for thinking == false, and when nothing is said.
  std::string unless_thinking;
  bool unless_thinking_by_default = false;

  std::vector<ChatBranch> branches;  ///< kTable

  bool think_in_last_answer = false;  ///< kQwen3: an empty block even without reasoning
  ChatPieces date_header;             ///< kLlama31
  bool trim = false;                  ///< kLlama2, kMistral (answers only)
  bool alternate = false;             ///< kLlama2, kMistral: questions and answers must take turns

  std::string user_open;  ///< kMistral
  std::string user_close;
  std::string assistant_open;
  std::string assistant_close;  ///< after EOS
  std::string system_open;      ///< kLlama2, kMistral with kOwnBlock
  std::string system_close;
  MistralSystem mistral_system = MistralSystem::kNone;

  bool joined_turns =
      false;  ///< kDeepSeek: the question itself opens the answer; systems are joined
};

/// The format of a Jinja template, nothing when it is of no known family.
std::optional<ChatFormat> recognise_chat_format(std::string_view jinja);

/// The format of that name, nothing when there is none.
std::optional<ChatFormat> builtin_chat_format(std::string_view name);
std::span<const std::string_view> builtin_chat_format_names();

std::string render_chat(const ChatFormat& format, std::span<const ChatMessage> messages,
                        const ChatOptions& options);

}  // namespace brink

#endif  // BRINK_TEXT_CHAT_FORMATS_H_
