#ifndef BRINK_TEXT_CHAT_FORMATS_RECOGNISE_IMPL_H_
#define BRINK_TEXT_CHAT_FORMATS_RECOGNISE_IMPL_H_

#include <algorithm>
#include <utility>

#include "brink/text/chat_formats.h"
#include "brink/text/chat_formats_canonical_impl.h"

namespace brink {

namespace chat_recognition_detail {

/// The canonical form and what is asked of it.
class Program {
 public:
  explicit Program(std::string_view jinja) : code_(Canonical(jinja).run()) {}

  const std::string& text() const { return code_; }
  bool has(std::string_view pattern) const {
    return code_.find(code(pattern)) != std::string::npos;
  }

  /// The literal right behind `pattern`, if there is one.
  std::optional<std::string> literal_after(std::string_view pattern) const {
    const std::string wanted = code(pattern) + kOpen;
    const std::size_t at = code_.find(wanted);
    if (at == std::string::npos) return std::nullopt;
    return code_.substr(at + wanted.size(),
                        code_.find(kClose, at + wanted.size()) - (at + wanted.size()));
  }

  /// The one literal that contains `needle`; nothing when there is none or several that differ.
  std::optional<std::string> only_literal_with(std::string_view needle) const {
    std::optional<std::string> found;
    for (std::size_t at = 0; (at = code_.find(kOpen, at)) != std::string::npos;) {
      const std::size_t end = std::min(code_.find(kClose, at), code_.size());
      std::string literal = code_.substr(at + 1, end - at - 1);
      at = end;
      if (literal.find(needle) == std::string::npos) continue;
      if (found && *found != literal) return std::nullopt;
      found = std::move(literal);
    }
    return found;
  }

 private:
  std::string code_;
};

/// Eats a canonical program from the left.
struct Cursor {
  std::string_view rest;

  bool eat(std::string_view pattern) {
    const std::string wanted = code(pattern);
    if (!rest.starts_with(wanted)) return false;
    rest.remove_prefix(wanted.size());
    return true;
  }

  std::optional<std::string> eat_literal() {
    if (!rest.starts_with(kOpen)) return std::nullopt;
    const std::size_t end = rest.find(kClose);
    if (end == std::string_view::npos) return std::nullopt;
    std::string literal(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
    return literal;
  }

  /// A sum of literals, tokens and fields of the message, up to `end` (eaten too).
  std::optional<ChatPieces> eat_pieces(std::string_view end) {
    using Kind = ChatPiece::Kind;
    ChatPieces pieces;
    do {
      if (std::optional<std::string> literal = eat_literal()) {
        pieces.push_back({Kind::kText, *std::move(literal)});
      } else if (eat("bos_token")) {
        pieces.push_back({Kind::kBos, ""});
      } else if (eat("eos_token")) {
        pieces.push_back({Kind::kEos, ""});
      } else if (eat("message.role")) {
        pieces.push_back({Kind::kRole, ""});
      } else if (eat("message.content|trim")) {
        pieces.push_back({Kind::kTrimmedContent, ""});
      } else if (eat("message.content")) {
        pieces.push_back({Kind::kContent, ""});
      } else if (eat("today")) {
        pieces.push_back({Kind::kDate, ""});
      } else {
        return std::nullopt;
      }
    } while (eat("+"));
    if (!eat(end)) return std::nullopt;
    return pieces;
  }

  std::optional<std::string> eat_text(std::string_view end) {
    std::optional<std::string> literal = eat_literal();
    if (!literal || !eat(end)) return std::nullopt;
    return literal;
  }
};

// Templates that write each message by itself, recognised whole: anything unusual in them and
// they are not of this family.
std::optional<ChatFormat> table(const Program& program) {
  ChatFormat format;
  Cursor c{program.text()};
  c.eat("{%ifnotadd_generation_promptisdefined%}{%setadd_generation_prompt=false%}{%endif%}");
  format.begins_with_bos = c.eat("{{bos_token}}");
  if (!c.eat("{%formessageinmessages%}")) return std::nullopt;
  if (c.eat("{%ifloop.firstandmessages[0].role!='system'%}{{")) {
    std::optional<ChatPieces> system = c.eat_pieces("}}{%endif%}");
    if (!system) return std::nullopt;
    format.default_system = *std::move(system);
  }
  if (c.eat("{{")) {
    std::optional<ChatPieces> pieces = c.eat_pieces("}}");
    if (!pieces) return std::nullopt;
    format.branches.push_back({"", *std::move(pieces)});
  } else {
    int nested = 1;
    if (!c.eat("{%if")) return std::nullopt;
    for (bool open = true; open;) {
      const bool parenthesis = c.eat("(");
      if (!c.eat("message.role==")) return std::nullopt;
      ChatBranch branch;
      const std::optional<std::string> role = c.eat_literal();
      if (!role || (parenthesis && !c.eat(")")) || !c.eat("%}{{")) return std::nullopt;
      std::optional<ChatPieces> pieces = c.eat_pieces("}}");
      if (!pieces) return std::nullopt;
      format.branches.push_back({*role, *std::move(pieces)});
      if (c.eat("{%elif")) continue;
      if (c.eat("{%else%}")) {
        if (c.eat("{%if")) {
          ++nested;
          continue;
        }
        if (!c.eat("{{")) return std::nullopt;
        if (c.eat("raise_exception(")) {
          if (!c.eat_text(")}}")) return std::nullopt;
        } else {
          // Vicuna's last branch writes whatever is left as an answer; only answers are meant.
          std::optional<ChatPieces> last = c.eat_pieces("}}");
          if (!last) return std::nullopt;
          format.branches.push_back({"", *std::move(last)});
        }
      }
      open = false;
    }
    while (nested-- > 0) {
      if (!c.eat("{%endif%}")) return std::nullopt;
    }
  }
  std::optional<std::string> prompt = "";
  if (c.eat("{%ifloop.lastandadd_generation_prompt%}{{")) {
    prompt = c.eat_text("}}{%endif%}{%endfor%}");
  } else if (c.eat("{%endfor%}{%ifadd_generation_prompt%}{{")) {
    prompt = c.eat_text("}}{%endif%}");
  } else if (!c.eat("{%endfor%}")) {
    return std::nullopt;
  }
  if (!prompt || !c.rest.empty()) return std::nullopt;
  format.generation_prompt = *std::move(prompt);

  const auto contains = [&](std::string_view s) {
    return program.text().find(s) != std::string::npos;
  };
  format.name = contains("<|im_start|>")      ? (contains("SmolLM") ? "smollm2" : "chatml")
                : contains("[SYSTEM_PROMPT]") ? "mistral-v7"
                : contains("<|user|>")        ? (contains("eos_token") ? "zephyr" : "phi3")
                : contains("SYSTEM: ")        ? "vicuna-orca"
                : contains("USER: ")          ? "vicuna"
                                              : "table";
  return format;
}

// The generation prompt of a template that ends in `{% if add_generation_prompt ... %}`.
bool take_generation_prompt(const Program& program, std::string_view condition,
                            ChatFormat& format) {
  const std::string start = "{%if" + std::string(condition) + "%}{{";
  const std::size_t at = program.text().rfind(code(start));
  if (at == std::string::npos) return false;
  Cursor c{std::string_view{program.text()}.substr(at + start.size())};
  std::optional<std::string> prompt = c.eat_literal();
  if (!prompt || !c.eat("}}")) return false;
  format.generation_prompt = *std::move(prompt);
  if (c.eat("{%ifenable_thinkingisdefinedandenable_thinkingisfalse%}{{")) {
    std::optional<std::string> closed = c.eat_text("}}{%endif%}");
    if (!closed) return false;
    format.unless_thinking = *std::move(closed);
  } else if (c.eat("{%ifnotenable_thinking%}{{")) {
    std::optional<std::string> closed = c.eat_text("}}{%endif%}");
    if (!closed) return false;
    format.unless_thinking = *std::move(closed);
    format.unless_thinking_by_default = true;
  }
  return c.eat("{%endif%}") && c.rest.empty();
}

std::optional<ChatFormat> chatml(const Program& program) {
  ChatFormat format;
  const bool turn =
      program.has("'<|im_start|>'+message.role+'\n'+message.content+'<|im_end|>\n'") ||
      program.has("'<|im_start|>'+message.role+'\n'+content+'<|im_end|>\n'");
  if (!turn || !take_generation_prompt(program, "add_generation_prompt", format)) {
    return std::nullopt;
  }
  if (program.has("loop.previtem") && program.has("'<|im_start|>system\n'+system_message") &&
      !program.has("'</think>'")) {
    // Qwen 3 Coder: without tools, ChatML for the three roles.
    ChatFormat plain = *builtin_chat_format("chatml");
    plain.name = "qwen3-coder";
    plain.generation_prompt = format.generation_prompt;
    const ChatPieces pieces = plain.branches.front().pieces;
    plain.branches = {{"user", pieces}, {"system", pieces}, {"assistant", pieces}};
    return plain;
  }
  const bool first_system =
      program.has("'<|im_start|>system\n'+messages[0].content+'<|im_end|>\n'");
  const bool tool_turns = program.has("message.role=='user')or(message.role=='system'and") &&
                          program.has("'\n<tool_response>\n'") && program.has("'<|im_start|>user'");
  if (!first_system || !tool_turns || program.has("{%macro")) return std::nullopt;
  if (program.has("last_query_index")) {
    format.family = ChatFamily::kQwen3;
    format.think_in_last_answer = program.has("ifloop.lastor(notloop.lastandreasoning_content)");
    if (!format.think_in_last_answer && !program.has("{%ifreasoning_content%}"))
      return std::nullopt;
    format.name = format.generation_prompt.ends_with("<think>\n") ? "qwen3-thinking"
                  : format.unless_thinking.empty()                ? "qwen3-instruct"
                                                                  : "qwen3";
    return format;
  }
  if (program.has("ifnotloop.last%}{%setcontent=message.content.split('</think>')[-1]")) {
    format.family = ChatFamily::kQwq;
    format.name = "qwq";
    return format;
  }
  if (program.has("</think>")) return std::nullopt;
  format.family = ChatFamily::kQwen2;
  format.name = "qwen2.5";
  // Behind the system message of the conversation stands the one for conversations without.
  if (const auto system = program.literal_after(
          "'<|im_start|>system\n'+messages[0].content+'<|im_end|>\n'}}{%else%}{{")) {
    format.default_system = {{ChatPiece::Kind::kText, *system}};
  }
  return format;
}

std::optional<ChatFormat> llama3(const Program& program) {
  const bool trims = program.has(
      "'<|start_header_id|>'+message.role+'<|end_header_id|>\n\n'+message.content|trim+'<|eot_id|>"
      "'");
  const bool plain = program.has(
      "'<|start_header_id|>'+message.role+'<|end_header_id|>\n\n'+message.content+'<|eot_id|>'");
  if (trims == plain || !program.has("bos_token")) return std::nullopt;
  using Kind = ChatPiece::Kind;
  if (const auto header = program.only_literal_with("Cutting Knowledge Date: ")) {
    ChatFormat format = *builtin_chat_format("llama3.1");
    ChatPiece date{Kind::kText, program.literal_after("{%setdate_string=").value_or("")};
    if (const auto today = program.literal_after("{%setdate_string=strftime_now(")) {
      date = {Kind::kDate, *today};
      format.name = "llama3.2";
    } else if (program.has("strftime_now") || !program.has("{%setdate_string='")) {
      return std::nullopt;
    }
    const auto close = program.literal_after("'" + *header + "'+date_string+");
    if (!trims || !close || !program.has("{{system_message+'<|eot_id|>'}}")) return std::nullopt;
    format.date_header = {{Kind::kText, *header}, date, {Kind::kText, *close}};
    if (!take_generation_prompt(program, "add_generation_prompt", format)) return std::nullopt;
    return format;
  }
  // A system message of the template's own would have to be rendered.
  if (program.has("'<|start_header_id|>system<|end_header_id|>") || program.has("tools")) {
    return std::nullopt;
  }
  ChatFormat format = *builtin_chat_format("llama3");
  if (plain) format.branches.front().pieces[3].kind = Kind::kContent;
  if (!program.has("add_generation_prompt")) {
    format.always_generation_prompt = true;
    return format;
  }
  if (!take_generation_prompt(program, "add_generation_prompt", format)) return std::nullopt;
  return format;
}

std::optional<ChatFormat> llama2(const Program& program) {
  ChatFormat format = *builtin_chat_format("llama2");
  const bool trims = program.has("{{bos_token+'[INST] '+content|trim+' [/INST]'}}") &&
                     program.has("{{' '+content|trim+' '+eos_token}}");
  const bool plain = program.has("{{bos_token+'[INST] '+content+' [/INST]'}}") &&
                     program.has("{{' '+content+' '+eos_token}}");
  const std::optional<std::string> open =
      program.literal_after("{%ifloop.index0==0andsystem_message!=false%}{%setcontent=");
  if (trims == plain || !open) return std::nullopt;
  const std::optional<std::string> close =
      program.literal_after("{%setcontent='" + *open + "'+system_message+");
  if (!close) return std::nullopt;
  // A default system prompt counts only where its condition can hold.
  if (program.has("system_message='") && !program.has("USE_DEFAULT_PROMPT==true") &&
      !program.has("false==true") && !program.has("true==false")) {
    return std::nullopt;
  }
  format.trim = trims;
  format.alternate = program.has("raise_exception");
  format.system_open = *open;
  format.system_close = *close;
  return format;
}

std::optional<ChatFormat> mistral(const Program& program) {
  const auto open = program.only_literal_with("[INST]");
  const auto close = program.only_literal_with("[/INST]");
  // Reasoning in [THINK] blocks (Magistral, Ministral) is another format.
  if (!open || !close || !program.has("{{bos_token}}") || program.has("[THINK]")) {
    return std::nullopt;
  }
  ChatFormat format = *builtin_chat_format("mistral-v1");
  format.user_open = *open;
  format.user_close = *close;
  format.alternate = program.has("%2==0)");
  format.trim = program.has("message.content|trim+eos_token");
  if (program.has("' '+message.content+eos_token") ||
      program.has("' '+message.content|trim+eos_token")) {
    format.assistant_open = " ";
  } else if (format.trim || program.has("{{message.content+eos_token") ||
             (program.has("{{message.content}}") && program.has("{{eos_token}}"))) {
    format.assistant_open = "";
  } else {
    return std::nullopt;
  }
  if (program.has("message.content+eos_token+' '}}")) format.assistant_close = " ";

  if (program.has("[SYSTEM_PROMPT]")) {
    const auto system_open = program.only_literal_with("[SYSTEM_PROMPT]");
    const auto system_close = program.only_literal_with("[/SYSTEM_PROMPT]");
    if (!system_open || !system_close) return std::nullopt;
    format.mistral_system = MistralSystem::kOwnBlock;
    format.system_open = *system_open;
    format.system_close = *system_close;
    const std::string start = "{%setdefault_system_message=";
    const std::size_t at = program.text().find(start);
    if (at != std::string::npos) {
      Cursor c{std::string_view{program.text()}.substr(at + start.size())};
      std::optional<ChatPieces> system = c.eat_pieces("%}");
      if (!system) return std::nullopt;
      for (ChatPiece& piece : *system) {
        if (piece.kind == ChatPiece::Kind::kText) continue;
        const auto date = program.literal_after("{%settoday=strftime_now(");
        if (piece.kind != ChatPiece::Kind::kDate || !date) return std::nullopt;
        piece.text = *date;
      }
      system->insert(system->begin(), {ChatPiece::Kind::kText, *system_open});
      system->push_back({ChatPiece::Kind::kText, *system_close});
      format.default_system = *std::move(system);
    }
    format.name = open->ends_with(' ') ? "mistral-v7" : "mistral-v7-tekken";
    return format;
  }
  format.mistral_system = MistralSystem::kNone;
  if (program.has("system_message")) {
    const bool first = program.has("loop.firstandsystem_messageisdefined");
    const bool last = program.has("loop.lastandsystem_messageisdefined");
    if (first == last || !program.has("+system_message+'\n\n'+message.content+")) {
      return std::nullopt;
    }
    format.mistral_system = first ? MistralSystem::kFirst : MistralSystem::kLast;
  }
  format.name = close->starts_with(' ') ? "mistral-v1"
                : open->ends_with(' ')  ? "mistral-v3"
                                        : "mistral-v3-tekken";
  return format;
}

std::optional<ChatFormat> deepseek(const Program& program) {
  ChatFormat format = *builtin_chat_format("deepseek-r1");
  if (!program.has("{{bos_token+ns.system_prompt}}")) return std::nullopt;
  if (program.has("'<｜User｜>'+message.content}}") &&
      program.has("ns.system_prompt=message.content") &&
      program.has("{{'<｜Assistant｜>'+content+'<｜end▁of▁sentence｜>'}}")) {
    if (!take_generation_prompt(program, "add_generation_promptandnotns.is_tool", format)) {
      return std::nullopt;
    }
    return format;
  }
  if (program.has("{{'<｜User｜>'+content+'<｜Assistant｜>'}}") &&
      program.has("ns.system_prompt+'\n\n'+message.content") &&
      program.has("{{content+'<｜end▁of▁sentence｜>'}}") &&
      take_generation_prompt(program, "add_generation_promptandnotns.is_last_userandnotns.is_tool",
                             format)) {
    format.name = "deepseek-r1-0528";
    format.joined_turns = true;
    return format;
  }
  return std::nullopt;
}

}  // namespace chat_recognition_detail

std::optional<ChatFormat> recognise_chat_format(std::string_view jinja) {
  namespace detail = chat_recognition_detail;
  const detail::Program program(jinja);
  if (std::optional<ChatFormat> format = detail::table(program)) return format;
  const auto contains = [&](std::string_view s) { return jinja.find(s) != std::string_view::npos; };
  if (contains("<|im_start|>")) return detail::chatml(program);
  if (contains("<<SYS>>")) return detail::llama2(program);
  if (contains("[INST]")) return detail::mistral(program);
  if (contains("<｜User｜>")) return detail::deepseek(program);
  if (contains("<|start_header_id|>")) return detail::llama3(program);
  return std::nullopt;
}

}  // namespace brink

#endif  // BRINK_TEXT_CHAT_FORMATS_RECOGNISE_IMPL_H_
