// Implementation of core/fingerprint.h.
#ifndef BRINK_CORE_FINGERPRINT_IMPL_H_
#define BRINK_CORE_FINGERPRINT_IMPL_H_

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

#include "brink/core/fingerprint.h"

namespace brink {

namespace fingerprint_detail {

std::string hex_of(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : canonical.digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace fingerprint_detail

struct Fingerprint::State {
  XXH3_state_t xxh;
};

std::string fingerprint(std::span<const std::byte> bytes) {
  return fingerprint_detail::hex_of(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string fingerprint(std::string_view text) {
  return fingerprint(std::as_bytes(std::span(text.data(), text.size())));
}

Fingerprint::Fingerprint() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }
Fingerprint::Fingerprint(Fingerprint&&) noexcept = default;
Fingerprint& Fingerprint::operator=(Fingerprint&&) noexcept = default;
Fingerprint::~Fingerprint() = default;

void Fingerprint::add(std::span<const std::byte> bytes) {
  if (!bytes.empty()) XXH3_128bits_update(&state_->xxh, bytes.data(), bytes.size());
}

void Fingerprint::add(std::string_view text) {
  add(std::as_bytes(std::span(text.data(), text.size())));
}

std::string Fingerprint::hex() const {
  return fingerprint_detail::hex_of(XXH3_128bits_digest(&state_->xxh));
}

}  // namespace brink

#endif  // BRINK_CORE_FINGERPRINT_IMPL_H_
