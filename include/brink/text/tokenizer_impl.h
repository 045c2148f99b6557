#ifndef BRINK_TEXT_TOKENIZER_IMPL_H_
#define BRINK_TEXT_TOKENIZER_IMPL_H_

#include <algorithm>
#include <utility>

#include "brink/text/bpe_impl.h"
#include "brink/text/pretokenizer_impl.h"
#include "brink/text/special_tokens_impl.h"
#include "brink/text/spm_impl.h"
#include "brink/text/stream_decoder_impl.h"
#include "brink/text/tokenizer.h"
#include "brink/text/vocabulary_impl.h"

namespace brink {

struct Tokenizer::Parts {
  Parts(const Gguf& gguf, TokenSpelling spelling, std::vector<std::string>& warnings)
      : vocabulary(gguf, spelling, warnings) {}

  Vocabulary vocabulary;
  // Exactly one of the two; both point at `vocabulary`.
  std::unique_ptr<const BytePairEncoder> bpe;
  std::unique_ptr<const SentencePieceEncoder> spm;
  LiteralMatcher all_literals;
  LiteralMatcher user_literals;
  std::optional<std::int32_t> bos, eos;
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = false;
  std::vector<std::int32_t> ends;  // sorted
};

namespace tokenizer_detail {

inline Pretokenizer read_pretokenizer(const Gguf& gguf, std::vector<std::string>& warnings) {
  constexpr const char* kKey = "tokenizer.ggml.pre";
  const std::string_view name = gguf.get_string(kKey).value_or("");
  if (name.empty()) {
    warnings.push_back(std::string(kKey) +
                       " is missing: the pre-tokenizer 'default' is used, which may not be the one "
                       "the model was trained with");
    return Pretokenizer{};
  }
  if (const auto known = find_pretokenizer(name)) return *known;
  throw Error(
      "unknown pre-tokenizer '" + std::string(name) + "'; known are " + pretokenizer_names(),
      {gguf.path(), kKey, {}});
}

inline TokenSpelling read_spelling(const Gguf& gguf) {
  constexpr const char* kKey = "tokenizer.ggml.model";
  const ErrorPlace place{gguf.path(), kKey, {}};
  const auto model = gguf.get_string(kKey);
  if (!model) throw Error("missing: the file has no tokenizer", place);
  if (*model == "gpt2") return TokenSpelling::kBytes;
  if (*model == "llama") return TokenSpelling::kSentence;
  throw Error(
      "tokenizer model '" + std::string(*model) +
          "' is not supported; supported are gpt2 (byte-level BPE) and llama (SentencePiece)",
      place);
}

}  // namespace tokenizer_detail

Tokenizer Tokenizer::load(const Gguf& gguf, std::vector<std::string>* warnings) {
  std::vector<std::string> unheard;
  std::vector<std::string>& told = warnings ? *warnings : unheard;
  const TokenSpelling spelling = tokenizer_detail::read_spelling(gguf);
  const bool is_bpe = spelling == TokenSpelling::kBytes;
  const Pretokenizer pre =
      is_bpe ? tokenizer_detail::read_pretokenizer(gguf, told) : Pretokenizer{.add_bos = true};

  auto parts = std::make_shared<Parts>(gguf, spelling, told);
  Vocabulary& vocabulary = parts->vocabulary;
  parts->ends = mark_special_tokens(gguf, vocabulary, told);
  // SentencePiece models number <unk>, <s> and </s> so unless told otherwise.
  const auto special_id = [&](const char* key, std::int32_t otherwise) {
    auto id = token_id(gguf, key, vocabulary, told);
    if (!id && !is_bpe && vocabulary.contains(otherwise)) id = otherwise;
    return id;
  };
  parts->bos = special_id("tokenizer.ggml.bos_token_id", 1);
  parts->eos = special_id("tokenizer.ggml.eos_token_id", 2);
  const auto unknown = special_id("tokenizer.ggml.unknown_token_id", 0);
  if (parts->eos && !std::binary_search(parts->ends.begin(), parts->ends.end(), *parts->eos))
    parts->ends.insert(std::upper_bound(parts->ends.begin(), parts->ends.end(), *parts->eos),
                       *parts->eos);

  const auto wanted = [&](const char* key, bool otherwise, const auto& id, const char* what) {
    const bool add = gguf.get_bool(key).value_or(otherwise);
    if (add && !id) told.push_back(std::string(what) + " should be added, but the file names none");
    return add && id;
  };
  parts->add_bos = wanted("tokenizer.ggml.add_bos_token", pre.add_bos, parts->bos, "BOS");
  parts->add_eos = wanted("tokenizer.ggml.add_eos_token", false, parts->eos, "EOS");
  parts->add_space_prefix =
      !is_bpe && gguf.get_bool("tokenizer.ggml.add_space_prefix").value_or(true);

  parts->all_literals = literals_of(gguf, vocabulary, true);
  parts->user_literals = literals_of(gguf, vocabulary, false);
  if (is_bpe) {
    parts->bpe = std::make_unique<const BytePairEncoder>(gguf, vocabulary, pre, told);
  } else {
    parts->spm = std::make_unique<const SentencePieceEncoder>(gguf, vocabulary, unknown, told);
  }
  return Tokenizer(std::move(parts));
}

std::size_t Tokenizer::vocabulary_size() const { return parts_->vocabulary.size(); }

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const Parts& parts = *parts_;
  std::vector<std::int32_t> ids;
  // English text is about four bytes a token.
  ids.reserve(text.size() / 4 + 8);
  const std::vector<Fragment> fragments =
      split_at_literals(text, options.parse_special ? parts.all_literals : parts.user_literals);
  if (options.add_special && parts.add_bos &&
      (fragments.empty() || fragments.front().token != *parts.bos))
    ids.push_back(*parts.bos);
  WordCache cache(text.size());
  for (const Fragment& fragment : fragments) {
    if (fragment.token >= 0) {
      ids.push_back(fragment.token);
    } else if (parts.bpe) {
      parts.bpe->encode(fragment.text, cache, ids);
    } else {
      // Plain text always begins a text or follows a special token; either calls for the prefix.
      parts.spm->encode(fragment.text, parts.add_space_prefix, cache, ids);
    }
  }
  if (options.add_special && parts.add_eos &&
      (fragments.empty() || fragments.back().token != *parts.eos))
    ids.push_back(*parts.eos);
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool special) const {
  std::string text;
  bool strip = parts_->add_space_prefix;
  for (const std::int32_t id : ids) {
    const std::size_t before = text.size();
    append_piece(id, text, special);
    if (!strip || text.size() == before || is_control(id)) continue;
    if (text[before] == ' ') text.erase(before, 1);
    strip = false;
  }
  return text;
}

void Tokenizer::append_piece(std::int32_t id, std::string& out, bool special) const {
  const Vocabulary& vocabulary = parts_->vocabulary;
  if (!vocabulary.contains(id)) return;
  if (!special && (is_control(id) || vocabulary.kind(id) == TokenKind::kUnused)) return;
  vocabulary.append_piece(id, out);
}

std::optional<std::int32_t> Tokenizer::bos() const { return parts_->bos; }

std::optional<std::int32_t> Tokenizer::eos() const { return parts_->eos; }

bool Tokenizer::adds_bos() const { return parts_->add_bos; }

bool Tokenizer::adds_eos() const { return parts_->add_eos; }

bool Tokenizer::adds_space_prefix() const { return parts_->add_space_prefix; }

bool Tokenizer::is_end_of_generation(std::int32_t id) const {
  return std::binary_search(parts_->ends.begin(), parts_->ends.end(), id);
}

bool Tokenizer::is_control(std::int32_t id) const {
  return parts_->vocabulary.contains(id) && parts_->vocabulary.is_special(id);
}

std::optional<std::int32_t> Tokenizer::find(std::string_view token_text) const {
  return parts_->vocabulary.find(token_text);
}

}  // namespace brink

#endif  // BRINK_TEXT_TOKENIZER_IMPL_H_
