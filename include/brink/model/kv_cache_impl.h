// Definitions of model/kv_cache.h.
#ifndef BRINK_MODEL_KV_CACHE_IMPL_H_
#define BRINK_MODEL_KV_CACHE_IMPL_H_

#include <string>

#include "brink/core/error.h"
#include "brink/model/kv_cache.h"

namespace brink {

std::size_t KvPages::pages_for(std::size_t sequences, std::size_t context) {
  return sequences * ((context + kKvPage - 1) / kKvPage);
}

KvPages::KvPages(std::size_t sequences, std::size_t context)
    : context_(context), sequences_(sequences) {
  const std::size_t pages = pages_for(sequences, context);
  references_.assign(pages, 0);
  free_.resize(pages);
  for (std::size_t i = 0; i < pages; ++i) free_[i] = static_cast<std::uint32_t>(pages - 1 - i);
  // Reserved now, so that a step does not allocate.
  for (Sequence& s : sequences_) s.pages.reserve(pages_for(1, context));
}

// Every sequence is bounded by the context and sharing only lowers the need, so there is a page.
std::uint32_t KvPages::take() {
  const std::uint32_t page = free_.back();
  free_.pop_back();
  references_[page] = 1;
  return page;
}

void KvPages::release(std::uint32_t page) {
  if (--references_[page] == 0) free_.push_back(page);
}

std::optional<KvPages::Copy> KvPages::extend(std::size_t sequence, std::size_t count) {
  Sequence& s = sequences_[sequence];
  if (count > context_ - s.length)
    throw Error("sequence " + std::to_string(sequence) + " holds " + std::to_string(s.length) +
                " of " + std::to_string(context_) + " positions: no room for " +
                std::to_string(count) + " more (raise the context)");
  std::optional<Copy> copy;
  if (count > 0 && s.length % kKvPage != 0 && references_[s.pages.back()] > 1) {
    const std::uint32_t shared = s.pages.back();
    s.pages.back() = take();
    release(shared);
    copy = Copy{shared, s.pages.back()};
  }
  s.length += count;
  while (s.pages.size() * kKvPage < s.length) s.pages.push_back(take());
  return copy;
}

void KvPages::truncate(std::size_t sequence, std::size_t length) {
  Sequence& s = sequences_[sequence];
  s.length = length;
  while (s.pages.size() > pages_for(1, length)) {
    release(s.pages.back());
    s.pages.pop_back();
  }
}

void KvPages::fork(std::size_t from, std::size_t to) {
  if (from == to) return;
  truncate(to, 0);
  Sequence& copy = sequences_[to];
  copy.pages.assign(sequences_[from].pages.begin(), sequences_[from].pages.end());
  copy.length = sequences_[from].length;
  for (const std::uint32_t page : copy.pages) ++references_[page];
}

}  // namespace brink

#endif  // BRINK_MODEL_KV_CACHE_IMPL_H_
