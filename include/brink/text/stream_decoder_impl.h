#ifndef BRINK_TEXT_STREAM_DECODER_IMPL_H_
#define BRINK_TEXT_STREAM_DECODER_IMPL_H_

#include "brink/text/stream_decoder.h"
#include "brink/text/unicode.h"

namespace brink {

std::string StreamDecoder::push(std::int32_t id) {
  tokenizer_.append_piece(id, pending_, special_);
  std::string text;
  const char* p = pending_.data();
  const char* end = p + pending_.size();
  while (p != end) {
    const unicode::Decoded d = unicode::decode(p, end);
    if (d.valid) {
      text.append(p, d.bytes);
      p += d.bytes;
      continue;
    }
    const unicode::Prefix prefix = unicode::longest_prefix(p, end);
    if (prefix.unfinished) break;
    text += unicode::kReplacementUtf8;
    p += prefix.bytes;
  }
  pending_.erase(0, static_cast<std::size_t>(p - pending_.data()));
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  if (!pending_.empty()) text = unicode::kReplacementUtf8;
  pending_.clear();
  return text;
}

}  // namespace brink

#endif  // BRINK_TEXT_STREAM_DECODER_IMPL_H_
