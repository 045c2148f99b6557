#ifndef BRINK_TEXT_CHAT_FORMATS_BUILTIN_IMPL_H_
#define BRINK_TEXT_CHAT_FORMATS_BUILTIN_IMPL_H_

#include <array>
#include <utility>

#include "brink/text/chat_formats.h"

namespace brink {

namespace chat_builtin_detail {

using Kind = ChatPiece::Kind;

ChatPiece text(std::string_view t) { return {Kind::kText, std::string(t)}; }

ChatFormat chatml(std::string_view name, std::string_view default_system) {
  ChatFormat format;
  format.name = name;
  format.eos = "<|im_end|>";
  format.branches = {{"",
                      {text("<|im_start|>"),
                       {Kind::kRole, ""},
                       text("\n"),
                       {Kind::kContent, ""},
                       text("<|im_end|>\n")}}};
  format.generation_prompt = "<|im_start|>assistant\n";
  if (!default_system.empty()) {
    format.default_system = {text("<|im_start|>system\n"), text(default_system),
                             text("<|im_end|>\n")};
  }
  return format;
}

ChatFormat qwen3(std::string_view name, bool thinks) {
  ChatFormat format = chatml(name, "");
  format.family = ChatFamily::kQwen3;
  format.think_in_last_answer = thinks;
  return format;
}

ChatFormat llama3() {
  ChatFormat format;
  format.name = "llama3";
  format.bos = "<|begin_of_text|>";
  format.eos = "<|eot_id|>";
  format.begins_with_bos = true;
  format.branches = {{"",
                      {text("<|start_header_id|>"),
                       {Kind::kRole, ""},
                       text("<|end_header_id|>\n\n"),
                       {Kind::kTrimmedContent, ""},
                       text("<|eot_id|>")}}};
  format.generation_prompt = "<|start_header_id|>assistant<|end_header_id|>\n\n";
  return format;
}

ChatFormat llama31(std::string_view name, ChatPiece date) {
  ChatFormat format = llama3();
  format.name = name;
  format.family = ChatFamily::kLlama31;
  format.date_header = {text("Cutting Knowledge Date: December 2023\nToday Date: "),
                        std::move(date), text("\n\n")};
  return format;
}

ChatFormat llama2() {
  ChatFormat format;
  format.name = "llama2";
  format.family = ChatFamily::kLlama2;
  format.bos = "<s>";
  format.eos = "</s>";
  format.trim = true;
  format.alternate = true;
  format.user_open = "[INST] ";
  format.user_close = " [/INST]";
  format.assistant_open = " ";
  format.assistant_close = " ";
  format.system_open = "<<SYS>>\n";
  format.system_close = "\n<</SYS>>\n\n";
  return format;
}

ChatFormat mistral(std::string_view name, std::string_view open, std::string_view close,
                   std::string_view answer, MistralSystem system) {
  ChatFormat format;
  format.name = name;
  format.family = ChatFamily::kMistral;
  format.bos = "<s>";
  format.eos = "</s>";
  format.begins_with_bos = true;
  format.user_open = open;
  format.user_close = close;
  format.assistant_open = answer;
  format.mistral_system = system;
  format.alternate = system != MistralSystem::kOwnBlock;
  if (system == MistralSystem::kOwnBlock) {
    format.system_open = open.ends_with(' ') ? "[SYSTEM_PROMPT] " : "[SYSTEM_PROMPT]";
    format.system_close = "[/SYSTEM_PROMPT]";
  }
  return format;
}

ChatFormat deepseek(std::string_view name) {
  ChatFormat format;
  format.name = name;
  format.family = ChatFamily::kDeepSeek;
  format.bos = "<｜begin▁of▁sentence｜>";
  format.eos = "<｜end▁of▁sentence｜>";
  format.begins_with_bos = true;
  format.generation_prompt = "<｜Assistant｜><think>\n";
  return format;
}

ChatBranch branch(std::string_view role, std::string_view open, ChatPieces close) {
  close.insert(close.begin(), {text(open), {Kind::kContent, ""}});
  return {std::string(role), std::move(close)};
}

ChatFormat zephyr() {
  ChatFormat format;
  format.name = "zephyr";
  format.bos = "<s>";
  format.eos = "</s>";
  const ChatPieces close{{Kind::kEos, ""}, text("\n")};
  format.branches = {branch("user", "<|user|>\n", close), branch("system", "<|system|>\n", close),
                     branch("assistant", "<|assistant|>\n", close)};
  format.generation_prompt = "<|assistant|>\n";
  return format;
}

ChatFormat vicuna(std::string_view name, std::string_view system, std::string_view system_close) {
  ChatFormat format;
  format.name = name;
  format.bos = "<s>";
  format.eos = "</s>";
  format.branches = {branch("system", system, {text(system_close)}),
                     branch("user", "USER: ", {text("\n")}),
                     branch("assistant", "ASSISTANT: ", {text("</s>\n")})};
  format.generation_prompt = "ASSISTANT:";
  return format;
}

constexpr std::array<std::string_view, 22> kNames{"chatml",         "qwen2.5",
                                                  "qwen3",          "qwen3-instruct",
                                                  "qwen3-thinking", "smollm",
                                                  "smollm2",        "hermes",
                                                  "llama2",         "llama3",
                                                  "llama3.1",       "llama3.2",
                                                  "llama3.3",       "mistral-v1",
                                                  "mistral-v3",     "mistral-v3-tekken",
                                                  "mistral-v7",     "mistral-v7-tekken",
                                                  "deepseek-r1",    "zephyr",
                                                  "vicuna",         "vicuna-orca"};

}  // namespace chat_builtin_detail

std::span<const std::string_view> builtin_chat_format_names() {
  return chat_builtin_detail::kNames;
}

std::optional<ChatFormat> builtin_chat_format(std::string_view name) {
  namespace detail = chat_builtin_detail;
  if (name == "chatml" || name == "smollm") return detail::chatml(name, "");
  if (name == "qwen2.5") {
    ChatFormat format = detail::chatml(
        name, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    format.family = ChatFamily::kQwen2;
    return format;
  }
  if (name == "qwen3") {
    ChatFormat format = detail::qwen3(name, true);
    format.unless_thinking = "<think>\n\n</think>\n\n";
    return format;
  }
  if (name == "qwen3-instruct") return detail::qwen3(name, false);
  if (name == "qwen3-thinking") {
    ChatFormat format = detail::qwen3(name, true);
    format.generation_prompt += "<think>\n";
    return format;
  }
  if (name == "smollm2") {
    return detail::chatml(name,
                          "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
  }
  if (name == "hermes") {
    ChatFormat format = detail::chatml(name, "");
    format.bos = "<|begin_of_text|>";
    format.begins_with_bos = true;
    return format;
  }
  if (name == "llama2") return detail::llama2();
  if (name == "llama3") return detail::llama3();
  if (name == "llama3.1" || name == "llama3.3")
    return detail::llama31(name, detail::text("26 Jul 2024"));
  if (name == "llama3.2") return detail::llama31(name, {ChatPiece::Kind::kDate, "%d %b %Y"});
  if (name == "mistral-v1") {
    return detail::mistral(name, " [INST] ", " [/INST]", " ", MistralSystem::kFirst);
  }
  if (name == "mistral-v3") {
    ChatFormat format = detail::mistral(name, "[INST] ", "[/INST]", " ", MistralSystem::kLast);
    format.trim = true;
    return format;
  }
  if (name == "mistral-v3-tekken") {
    return detail::mistral(name, "[INST]", "[/INST]", "", MistralSystem::kLast);
  }
  if (name == "mistral-v7") {
    return detail::mistral(name, "[INST] ", "[/INST]", " ", MistralSystem::kOwnBlock);
  }
  if (name == "mistral-v7-tekken") {
    return detail::mistral(name, "[INST]", "[/INST]", "", MistralSystem::kOwnBlock);
  }
  if (name == "deepseek-r1") return detail::deepseek(name);
  if (name == "zephyr") return detail::zephyr();
  if (name == "vicuna") return detail::vicuna(name, "", "\n\n");
  if (name == "vicuna-orca") return detail::vicuna(name, "SYSTEM: ", "\n");
  return std::nullopt;
}

}  // namespace brink

#endif  // BRINK_TEXT_CHAT_FORMATS_BUILTIN_IMPL_H_
