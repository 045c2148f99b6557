// Content fingerprints: 128 bits of XXH3 (https://xxhash.com), to tell whether data are the same.
// Not a cryptographic hash: it does not withstand somebody who wants two data to look alike.
#ifndef BRINK_CORE_FINGERPRINT_H_
#define BRINK_CORE_FINGERPRINT_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace brink {

/// 32 lower-case hexadecimal digits, as `xxh128sum` prints them.
std::string fingerprint(std::span<const std::byte> bytes);
std::string fingerprint(std::string_view text);

/// The same of data that come in pieces; where the pieces are cut makes no difference.
class Fingerprint {
 public:
  Fingerprint();
  Fingerprint(Fingerprint&&) noexcept;
  Fingerprint& operator=(Fingerprint&&) noexcept;
  ~Fingerprint();

  void add(std::span<const std::byte> bytes);
  void add(std::string_view text);
  std::string hex() const;  ///< of all bytes so far

 private:
  struct State;  // defined by the implementation, which alone needs xxhash.h
  std::unique_ptr<State> state_;
};

}  // namespace brink

#endif  // BRINK_CORE_FINGERPRINT_H_
