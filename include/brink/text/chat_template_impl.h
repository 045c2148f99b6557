#ifndef BRINK_TEXT_CHAT_TEMPLATE_IMPL_H_
#define BRINK_TEXT_CHAT_TEMPLATE_IMPL_H_

#include <utility>
#include <vector>

#include "brink/core/error.h"
#include "brink/text/chat_formats.h"
#include "brink/text/chat_formats_builtin_impl.h"
#include "brink/text/chat_formats_impl.h"
#include "brink/text/chat_formats_recognise_impl.h"
#include "brink/text/chat_template.h"

namespace brink {

namespace chat_template_detail {

constexpr std::string_view kKey = "tokenizer.chat_template";

std::string advice() {
  std::string text = "; name one of these chat templates instead:";
  for (const std::string_view name : builtin_chat_format_names()) {
    text += ' ';
    text += name;
  }
  return text;
}

// SentencePiece vocabularies have BOS 1 and EOS 2 where the file does not say.
std::string token_text(const Gguf& file, std::string_view key, std::uint64_t spm_default) {
  const GgufValue* tokens = file.find("tokenizer.ggml.tokens");
  std::optional<std::uint64_t> id = file.get_uint(key);
  if (!id && file.get_string("tokenizer.ggml.model") == "llama") id = spm_default;
  if (tokens == nullptr || !id) return "";
  const std::vector<std::string_view> texts = tokens->strings();
  return *id < texts.size() ? std::string(texts[static_cast<std::size_t>(*id)]) : "";
}

void take_tokens(ChatFormat& format, const Gguf& file) {
  format.bos = token_text(file, "tokenizer.ggml.bos_token_id", 1);
  format.eos = token_text(file, "tokenizer.ggml.eos_token_id", 2);
}

}  // namespace chat_template_detail

ChatTemplate::ChatTemplate(ChatFormat format)
    : format_(std::make_shared<const ChatFormat>(std::move(format))) {}

ChatTemplate ChatTemplate::from_gguf(const Gguf& file) {
  namespace detail = chat_template_detail;
  const ErrorPlace place{file.path(), std::string(detail::kKey), std::nullopt};
  const std::optional<std::string_view> jinja = file.get_string(detail::kKey);
  if (!jinja) throw Error("the file has no chat template" + detail::advice(), place);
  std::optional<ChatFormat> format = recognise_chat_format(*jinja);
  if (!format)
    throw Error("the file's chat template is not of a known family" + detail::advice(), place);
  detail::take_tokens(*format, file);
  return ChatTemplate(*std::move(format));
}

ChatTemplate ChatTemplate::from_text(std::string_view jinja, std::string_view bos,
                                     std::string_view eos) {
  std::optional<ChatFormat> format = recognise_chat_format(jinja);
  if (!format) {
    throw Error("the chat template is not of a known family" + chat_template_detail::advice());
  }
  format->bos = bos;
  format->eos = eos;
  return ChatTemplate(*std::move(format));
}

ChatTemplate ChatTemplate::by_name(std::string_view name) {
  std::optional<ChatFormat> format = builtin_chat_format(name);
  if (!format) {
    throw Error("no chat template is called \"" + std::string(name) + '"' +
                chat_template_detail::advice());
  }
  return ChatTemplate(*std::move(format));
}

ChatTemplate ChatTemplate::by_name(std::string_view name, const Gguf& file) {
  ChatFormat format = *by_name(name).format_;
  chat_template_detail::take_tokens(format, file);
  return ChatTemplate(std::move(format));
}

std::span<const std::string_view> ChatTemplate::names() { return builtin_chat_format_names(); }

std::string_view ChatTemplate::name() const { return format_->name; }

std::string ChatTemplate::apply(std::span<const ChatMessage> messages,
                                const ChatOptions& options) const {
  return render_chat(*format_, messages, options);
}

}  // namespace brink

#endif  // BRINK_TEXT_CHAT_TEMPLATE_IMPL_H_
