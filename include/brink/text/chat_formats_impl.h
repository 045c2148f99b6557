#ifndef BRINK_TEXT_CHAT_FORMATS_IMPL_H_
#define BRINK_TEXT_CHAT_FORMATS_IMPL_H_

#include <array>
#include <charconv>
#include <chrono>
#include <ctime>
#include <utility>

#include "brink/core/error.h"
#include "brink/text/chat_formats.h"

namespace brink {

namespace chat_formats_detail {

using Kind = ChatPiece::Kind;
using Day = std::chrono::year_month_day;

// What Python's str.strip() removes (str.isspace()), as UTF-8.
constexpr std::array<std::string_view, 29> kSpaces{
    "\t",           "\n",           "\v",           "\f",           "\r",
    "\x1C",         "\x1D",         "\x1E",         "\x1F",         " ",
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
    "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
    "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
    "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};

std::string_view trimmed(std::string_view s) {
  for (bool changed = true; changed;) {
    changed = false;
    for (const std::string_view space : kSpaces) {
      if (s.starts_with(space)) {
        s.remove_prefix(space.size());
        changed = true;
      }
      if (s.ends_with(space)) {
        s.remove_suffix(space.size());
        changed = true;
      }
    }
  }
  return s;
}

std::string_view without_leading_newlines(std::string_view s) {
  s.remove_prefix(std::min(s.find_first_not_of('\n'), s.size()));
  return s;
}

std::string_view without_trailing_newlines(std::string_view s) {
  return s.substr(0, s.find_last_not_of('\n') + 1);
}

std::string_view after_last(std::string_view s, std::string_view mark) {
  const std::size_t at = s.rfind(mark);
  return at == std::string_view::npos ? s : s.substr(at + mark.size());
}

Day today() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
#if defined(_WIN32)
  localtime_s(&local, &now);
#else
  localtime_r(&now, &local);
#endif
  return Day(std::chrono::year(local.tm_year + 1900),
             std::chrono::month(static_cast<unsigned>(local.tm_mon + 1)),
             std::chrono::day(static_cast<unsigned>(local.tm_mday)));
}

Day parse_date(const std::string& date) {
  if (date.empty()) return today();
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  const char* s = date.data();
  const bool shape = date.size() == 10 && date[4] == '-' && date[7] == '-';
  if (shape && std::from_chars(s, s + 4, year).ptr == s + 4 &&
      std::from_chars(s + 5, s + 7, month).ptr == s + 7 &&
      std::from_chars(s + 8, s + 10, day).ptr == s + 10) {
    const Day parsed{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
    if (parsed.ok() && year >= 1) return parsed;
  }
  throw Error("\"" + date + "\" is not a date of the form YYYY-MM-DD");
}

// English names whatever the locale, as the models were trained with.
std::string format_date(std::string_view format, Day date) {
  constexpr std::array<std::string_view, 12> kMonths{
      "January", "February", "March",     "April",   "May",      "June",
      "July",    "August",   "September", "October", "November", "December"};
  constexpr std::array<std::string_view, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                  "Thursday", "Friday", "Saturday"};
  const auto padded = [](unsigned value) {
    return std::string(value < 10 ? "0" : "") + std::to_string(value);
  };
  const unsigned month = static_cast<unsigned>(date.month());
  const std::string_view month_name = kMonths[month - 1];
  const std::string_view day_name = kDays[std::chrono::weekday(date).c_encoding()];
  const int year = static_cast<int>(date.year());
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    switch (format[++i]) {
      case 'a':
        out += day_name.substr(0, 3);
        break;
      case 'A':
        out += day_name;
        break;
      case 'b':
        out += month_name.substr(0, 3);
        break;
      case 'B':
        out += month_name;
        break;
      case 'd':
        out += padded(static_cast<unsigned>(date.day()));
        break;
      case 'm':
        out += padded(month);
        break;
      case 'y':
        out += padded(static_cast<unsigned>(year % 100));
        break;
      case 'Y':
        out += std::to_string(year);
        break;
      default:
        out += format[i];
        break;
    }
  }
  return out;
}

/// One rendering: the text so far and what every family needs to extend it.
class Rendering {
 public:
  Rendering(const ChatFormat& format, std::span<const ChatMessage> messages,
            const ChatOptions& options)
      : format_(format), messages_(messages), options_(options) {}

  std::string run() {
    if (messages_.empty()) throw Error("a conversation needs at least one message");
    if (format_.begins_with_bos) out_ += format_.bos;
    switch (format_.family) {
      case ChatFamily::kTable:
        table();
        break;
      case ChatFamily::kQwen2:
      case ChatFamily::kQwen3:
      case ChatFamily::kQwq:
        qwen();
        break;
      case ChatFamily::kLlama31:
        llama31();
        break;
      case ChatFamily::kLlama2:
        llama2();
        break;
      case ChatFamily::kMistral:
        mistral();
        break;
      case ChatFamily::kDeepSeek:
        deepseek();
        break;
    }
    return std::move(out_);
  }

 private:
  bool has_system() const { return messages_.front().role == "system"; }

  [[noreturn]] void refuse_role(const std::string& role) const {
    throw Error("the chat template " + format_.name +
                " has no place here for a message of role \"" + role + '"');
  }

  void write(const ChatPieces& pieces, const ChatMessage& message) {
    for (const ChatPiece& piece : pieces) {
      switch (piece.kind) {
        case Kind::kText:
          out_ += piece.text;
          break;
        case Kind::kBos:
          out_ += format_.bos;
          break;
        case Kind::kEos:
          out_ += format_.eos;
          break;
        case Kind::kRole:
          out_ += message.role;
          break;
        case Kind::kContent:
          out_ += message.content;
          break;
        case Kind::kTrimmedContent:
          out_ += trimmed(message.content);
          break;
        case Kind::kDate:
          out_ += format_date(piece.text, parse_date(options_.date));
          break;
      }
    }
  }

  void finish() {
    if (!options_.add_generation_prompt && !format_.always_generation_prompt) return;
    out_ += format_.generation_prompt;
    if (!options_.thinking.value_or(!format_.unless_thinking_by_default)) {
      out_ += format_.unless_thinking;
    }
  }

  void table() {
    if (!has_system()) write(format_.default_system, {});
    for (const ChatMessage& message : messages_) {
      const ChatBranch* chosen = nullptr;
      for (const ChatBranch& branch : format_.branches) {
        if (branch.role == message.role || branch.role.empty()) {
          chosen = &branch;
          break;
        }
      }
      if (chosen == nullptr) refuse_role(message.role);
      write(chosen->pieces, message);
    }
    finish();
  }

  void chatml_turn(std::string_view role, std::string_view content) {
    out_ += "<|im_start|>";
    out_ += role;
    out_ += '\n';
    out_ += content;
    out_ += "<|im_end|>\n";
  }

  // Qwen 3 keeps the reasoning of the answers that follow this message.
  std::size_t last_question() const {
    for (std::size_t i = messages_.size(); i-- > 0;) {
      const std::string& content = messages_[i].content;
      const bool is_tool_answer =
          content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
      if (messages_[i].role == "user" && !is_tool_answer) return i;
    }
    return messages_.size() - 1;
  }

  void qwen3_answer(std::size_t i, std::size_t question) {
    std::string_view content = messages_[i].content;
    std::string_view reasoning;
    const std::size_t end = content.find("</think>");
    if (end != std::string_view::npos) {
      reasoning = without_trailing_newlines(content.substr(0, end));
      reasoning = without_leading_newlines(after_last(reasoning, "<think>"));
      content = without_leading_newlines(after_last(content, "</think>"));
    }
    const bool is_last = i + 1 == messages_.size();
    if (i <= question || (reasoning.empty() && !(is_last && format_.think_in_last_answer))) {
      return chatml_turn("assistant", content);
    }
    std::string answer = "<think>\n";
    answer += without_trailing_newlines(reasoning);
    answer += "\n</think>\n\n";
    answer += without_leading_newlines(content);
    chatml_turn("assistant", answer);
  }

  void qwen() {
    if (!has_system()) write(format_.default_system, {});
    const std::size_t question = last_question();
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      const ChatMessage& message = messages_[i];
      const bool is_last = i + 1 == messages_.size();
      const bool is_answer = message.role == "assistant";
      if (is_answer && format_.family == ChatFamily::kQwen3) {
        qwen3_answer(i, question);
      } else if (is_answer && format_.family == ChatFamily::kQwq && !is_last) {
        chatml_turn(message.role,
                    without_leading_newlines(after_last(message.content, "</think>")));
      } else if (is_answer || message.role == "user" || message.role == "system") {
        chatml_turn(message.role, message.content);
      } else if (message.role == "tool") {
        if (i == 0 || messages_[i - 1].role != "tool") out_ += "<|im_start|>user";
        out_ += "\n<tool_response>\n" + message.content + "\n</tool_response>";
        if (is_last || messages_[i + 1].role != "tool") out_ += "<|im_end|>\n";
      } else {
        refuse_role(message.role);
      }
    }
    finish();
  }

  void llama31() {
    const auto turn = [&](std::string_view role, std::string_view content) {
      out_ += "<|start_header_id|>";
      out_ += role;
      out_ += "<|end_header_id|>\n\n";
      out_ += trimmed(content);
      out_ += "<|eot_id|>";
    };
    out_ += "<|start_header_id|>system<|end_header_id|>\n\n";
    write(format_.date_header, {});
    if (has_system()) out_ += trimmed(messages_.front().content);
    out_ += "<|eot_id|>";
    for (const ChatMessage& message : messages_.subspan(has_system() ? 1 : 0)) {
      // Tool answers are written as JSON there; this engine offers no tools.
      if (message.role == "tool" || message.role == "ipython") refuse_role(message.role);
      turn(message.role, message.content);
    }
    finish();
  }

  void check_turn(std::size_t i, const std::string& role) const {
    if (format_.alternate && (role == "user") != (i % 2 == 0)) {
      throw Error("the chat template " + format_.name +
                  " needs user and assistant messages in turn, after at most one system message");
    }
  }

  void llama2() {
    const auto rest = messages_.subspan(has_system() ? 1 : 0);
    if (rest.empty()) throw Error("the chat template " + format_.name + " needs a user message");
    for (std::size_t i = 0; i < rest.size(); ++i) {
      check_turn(i, rest[i].role);
      std::string content = rest[i].content;
      if (i == 0 && has_system()) {
        content.insert(0, format_.system_open + messages_.front().content + format_.system_close);
      }
      if (format_.trim) content = std::string(trimmed(content));
      if (rest[i].role == "user") {
        out_ += format_.bos + format_.user_open + content + format_.user_close;
      } else if (rest[i].role == "assistant") {
        out_ += format_.assistant_open + content + format_.assistant_close + format_.eos;
      } else {
        refuse_role(rest[i].role);
      }
    }
  }

  void mistral() {
    const bool own_block = format_.mistral_system == MistralSystem::kOwnBlock;
    if (has_system() && format_.mistral_system == MistralSystem::kNone) refuse_role("system");
    const auto system_block = [&](const std::string& content) {
      out_ += format_.system_open + content + format_.system_close;
    };
    if (own_block && has_system()) system_block(messages_.front().content);
    if (own_block && !has_system()) write(format_.default_system, {});
    const auto rest = messages_.subspan(has_system() ? 1 : 0);
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const ChatMessage& message = rest[i];
      check_turn(i, message.role);
      const std::size_t place =
          format_.mistral_system == MistralSystem::kFirst ? 0 : rest.size() - 1;
      if (message.role == "user") {
        out_ += format_.user_open;
        if (has_system() && !own_block && i == place) out_ += messages_.front().content + "\n\n";
        out_ += message.content + format_.user_close;
      } else if (message.role == "assistant") {
        out_ += format_.assistant_open;
        out_ += format_.trim ? trimmed(message.content) : std::string_view{message.content};
        out_ += format_.eos + format_.assistant_close;
      } else if (message.role == "system" && own_block) {
        system_block(message.content);
      } else {
        refuse_role(message.role);
      }
    }
  }

  void deepseek() {
    std::string system;
    bool first = true;
    for (const ChatMessage& message : messages_) {
      if (message.role != "system") continue;
      if (!format_.joined_turns) system.clear();  // the last one counts
      if (format_.joined_turns && !first) system += "\n\n";
      system += message.content;
      first = false;
    }
    out_ += system;
    bool after_tool = false;
    bool after_question = false;
    bool first_output = true;
    for (const ChatMessage& message : messages_) {
      if (message.role == "system") continue;
      after_question = message.role == "user";
      if (message.role == "user") {
        after_tool = false;
        out_ += "<｜User｜>" + message.content;
        if (format_.joined_turns) out_ += "<｜Assistant｜>";
      } else if (message.role == "assistant") {
        const std::string_view spoken = after_last(message.content, "</think>");
        if (after_tool) {
          out_ += "<｜tool▁outputs▁end｜>";
          out_ += format_.joined_turns ? spoken : std::string_view{message.content};
        } else {
          if (!format_.joined_turns) out_ += "<｜Assistant｜>";
          out_ += spoken;
        }
        out_ += "<｜end▁of▁sentence｜>";
        after_tool = false;
      } else if (message.role == "tool") {
        after_tool = true;
        out_ += first_output ? "<｜tool▁outputs▁begin｜>" : "\n";
        out_ += "<｜tool▁output▁begin｜>" + message.content + "<｜tool▁output▁end｜>";
        first_output = false;
      } else {
        refuse_role(message.role);
      }
    }
    if (after_tool) {
      out_ += "<｜tool▁outputs▁end｜>";
    } else if (!(format_.joined_turns && after_question)) {
      finish();
    }
  }

  const ChatFormat& format_;
  std::span<const ChatMessage> messages_;
  const ChatOptions& options_;
  std::string out_;
};

}  // namespace chat_formats_detail

std::string render_chat(const ChatFormat& format, std::span<const ChatMessage> messages,
                        const ChatOptions& options) {
  return chat_formats_detail::Rendering(format, messages, options).run();
}

}  // namespace brink

#endif  // BRINK_TEXT_CHAT_FORMATS_IMPL_H_
